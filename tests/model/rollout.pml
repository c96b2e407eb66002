/* The state machine of docs/formats/rollout.md for one service with one instance per fleet, checked by spin over every
 * interleaving of: two commands given at any moment (an apply of r2; an apply of r3 or an abort), up to CRASHES kills of
 * the daemon between any two of its acts, up to FAULTS instances that die, and one call that fails after its effect.
 *
 * RECREATE 0: blue-green. 1: the old instance ends before the new one starts. BROKEN n is a mistake that has to be found
 * (tests/model/check runs each): 1 the new one does not wait for the old; 2 nor, in a revert, the old for the new;
 * 3 what retires is stopped before routes have moved; 4 traffic is switched to what has not passed its gate; 5 a second apply is
 * accepted while one runs; 6 what was started since the last look is forgotten.
 *
 * What is journalled survives a kill, and so does the platform; what the daemon has seen does not.
 */
#ifndef RECREATE
#define RECREATE 0
#endif
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#define REVISIONS 4 /* r1 to r3; 0 is "none" */

#define NONE 0
#define STARTING 1
#define READY 2
#define DEAD 3
#define STOPPING 4

#define ABSENT 0
#define ACTIVE 1
#define CANDIDATE 2
#define WARM 3
#define RETIRING 4

#define IDLE 0
#define PLANNED 1
#define VERIFYING 2
#define STOP_OLD 3
#define REPLACING 4
#define SHIFTING 5
#define BAKING 6
#define REVERTING 7

/* Journalled, always whole. */
byte phase = IDLE, serving = 1, from = 0, to = 0;
byte role[REVISIONS];
bool limited[REVISIONS], proven[REVISIONS];

/* The platform. */
byte instance[REVISIONS];
byte routes = 1;
bool passed[REVISIONS]; /* this instance has passed its gate */

/* The daemon's memory. */
byte seen[REVISIONS];
bool looked = false;
bool stale = false; /* something was started since it looked */
byte known = 0; /* routes in effect as far as it knows; 0: it does not */

byte crashes = 0, faults = 0;
bool set_up = false;
bool lost_answer = false;
bool first_given = false, second_given = false;

#define GOAL (phase == SHIFTING -> to : serving)
#define WANTED(r) (!limited[r] && (role[r] == ACTIVE || role[r] == WARM || (role[r] == CANDIDATE && phase >= VERIFYING)))
#define ALIVE(r) (instance[r] == STARTING || instance[r] == READY || instance[r] == STOPPING)
#define OTHERS_GONE(r) ((!stale || BROKEN == 6) && (r == 1 || seen[1] == NONE) && (r == 2 || seen[2] == NONE) && (r == 3 || seen[3] == NONE))
#define BUSY (phase != IDLE && phase != BAKING)

inline Revert() {
  phase = REVERTING;
  role[to] = RETIRING;
  limited[to] = false
}

inline Apply(r) { /* what was superseded has completed already: its switch is done */
  from = serving;
  to = r;
  phase = PLANNED
}

inline Switch() {
  if
  :: role[1] == WARM -> role[1] = RETIRING
  :: role[2] == WARM -> role[2] = RETIRING
  :: role[3] == WARM -> role[3] = RETIRING
  :: else
  fi;
  role[from] = WARM;
  role[to] = ACTIVE;
  proven[to] = true;
  serving = to;
  phase = BAKING
}

/* One step of the rollout: what Decide makes of the journal and of what was seen, as one commit. */
inline Advance() {
  if
  :: looked && phase == PLANNED ->
    role[to] = CANDIDATE;
    limited[to] = RECREATE;
    phase = VERIFYING
  :: looked && phase == VERIFYING && !limited[to] && seen[to] == DEAD -> Revert()
  :: looked && phase == VERIFYING && !RECREATE && (seen[to] == READY || BROKEN == 4) -> phase = SHIFTING
  :: looked && phase == VERIFYING && RECREATE ->
    limited[1] = true; limited[2] = true; limited[3] = true;
    phase = STOP_OLD
  :: looked && phase == STOP_OLD && (OTHERS_GONE(to) || BROKEN == 1) ->
    limited[to] = false;
    phase = REPLACING
  :: looked && phase == REPLACING && seen[to] == DEAD -> Revert()
  :: looked && phase == REPLACING && seen[to] == READY -> phase = SHIFTING
  :: looked && phase == SHIFTING && known == to -> Switch()
  :: looked && phase == SHIFTING && known != to && seen[to] == DEAD -> Revert()
  :: looked && phase == BAKING && role[from] != WARM -> phase = IDLE
  :: looked && phase == BAKING && role[from] == WARM && seen[to] == DEAD -> /* it falls over */
    role[from] = ACTIVE;
    serving = from;
    Revert()
  :: looked && phase == REVERTING && limited[from] && (OTHERS_GONE(from) || BROKEN == 2) -> limited[from] = false
  :: looked && phase == REVERTING && !limited[from] && known == serving && seen[to] == NONE && seen[from] == READY -> phase = IDLE
  fi
}

inline Retire(r) {
  looked && role[r] == RETIRING && seen[r] == NONE && known == GOAL && !(BUSY && (r == to || r == from)) ->
    role[r] = ABSENT;
    limited[r] = false
}

inline Expire(r) { /* the window of a warm revision ends, whenever that is */
  role[r] == WARM -> role[r] = RETIRING
}

inline Start(r) {
  looked && WANTED(r) && instance[r] == NONE && seen[r] == NONE && (proven[r] || known == GOAL) ->
    /* never beside another, when it must be alone */
    assert(!RECREATE || ((r == 1 || !ALIVE(1)) && (r == 2 || !ALIVE(2)) && (r == 3 || !ALIVE(3))));
    instance[r] = STARTING;
    stale = true;
    passed[r] = false
}

/* What is unwanted, and what died: a new one takes its place. */
inline Stop(r) {
  looked && seen[r] != NONE && instance[r] != NONE && instance[r] != STOPPING &&
      ((!WANTED(r) && (role[r] != RETIRING || known == GOAL || BROKEN == 3)) ||
       (instance[r] == DEAD && seen[r] == DEAD && proven[r])) ->
    /* I2: what traffic is led to is stopped only where the strategy says so, or when it is dead */
    assert(RECREATE || routes != r || instance[r] == DEAD);
    instance[r] = STOPPING
}

active proctype Daemon() {
  set_up;
end:
  do
  /* it looks */
  :: atomic { (seen[1] != instance[1] || seen[2] != instance[2] || seen[3] != instance[3] || !looked || stale) ->
      seen[1] = instance[1]; seen[2] = instance[2]; seen[3] = instance[3]; looked = true; stale = false }
  /* it commits a step of the rollout */
  :: atomic { Advance() }
  :: atomic { Expire(1) }
  :: atomic { Expire(2) }
  :: atomic { Expire(3) }
  :: atomic { Retire(1) }
  :: atomic { Retire(2) }
  :: atomic { Retire(3) }
  /* it acts on what is committed */
  :: atomic { looked && known != GOAL && (phase != SHIFTING || seen[to] == READY || BROKEN == 4) ->
      /* I1: traffic is led only to what has passed its gate, or served before */
      assert(passed[GOAL] || proven[GOAL]);
      routes = GOAL;
      if
      :: known = GOAL
      :: !lost_answer -> lost_answer = true; known = 0 /* it failed after its effect */
      fi }
  :: atomic { Start(1) }
  :: atomic { Start(2) }
  :: atomic { Start(3) }
  :: atomic { Stop(1) }
  :: atomic { Stop(2) }
  :: atomic { Stop(3) }
  /* it is killed, and the next one knows the journal only */
  :: atomic { crashes < CRASHES -> crashes++; known = 0; looked = false; seen[1] = NONE; seen[2] = NONE; seen[3] = NONE }
  /* a command: refused while a rollout runs, else one commit */
  :: atomic { !first_given -> first_given = true;
      if
      :: !BUSY -> Apply(2)
      :: else
      fi }
  :: atomic { !second_given -> second_given = true;
      if
      :: !BUSY -> Apply(3)
      :: BUSY && BROKEN == 5 -> Apply(3)
      :: BUSY && phase != REVERTING -> Revert()
      :: else
      fi }
  od
}

inline Live(r) {
  if
  :: instance[r] == STARTING -> instance[r] = READY; passed[r] = true
  :: (instance[r] == STARTING || instance[r] == READY) && faults < FAULTS -> faults++; instance[r] = DEAD
  :: instance[r] == STOPPING -> instance[r] = NONE
  fi
}

active proctype Instances() {
  set_up;
end:
  do
  :: atomic { Live(1) }
  :: atomic { Live(2) }
  :: atomic { Live(3) }
  od
}

/* When nothing more can happen, the environment is wholly one revision and nothing else is left. */
active proctype Rest() {
  timeout ->
    assert(phase == IDLE && looked);
    assert(routes == serving && known == serving && role[serving] == ACTIVE && !limited[serving]);
    assert(instance[serving] == READY);
    assert(serving == 1 || instance[1] == NONE);
    assert(serving == 2 || instance[2] == NONE);
    assert(serving == 3 || instance[3] == NONE)
}

init {
  d_step { role[1] = ACTIVE; proven[1] = true; passed[1] = true; instance[1] = READY; set_up = true }
}
