// Jobs: work with an end. A run is one piece of it: queued, then an attempt in a fresh instance, perhaps more
// of them, then ended for good. docs/formats/jobs.md.
//
// As in rollout/, the state says what shall be, and one pure function (machine.h) decides what follows from
// what is seen; the controller journals a state before its effects, which may all be repeated. So a killed
// daemon needs no recovery of its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "audit/event.h"
#include "base/clock.h"
#include "base/json.h"
#include "plan/fleets.h"

namespace ingot::jobs {

enum class Phase {
  kQueued,   // waits for its time (`not_before`), for another run, or for a place
  kRunning,  // its instance is asked for, or runs
  kEnding,   // the attempt is decided; its instance is being removed
  kEnded,
};

// How an attempt, and with the last one the run, ended.
enum class Outcome {
  kNone,
  kSucceeded,  // exit code 0
  kFailed,     // another exit code, or it could not be started
  kTimedOut,   // it was killed at its limit
  kCancelled,
  kLost,  // nobody saw how it ended: the host went down, or its supervisor was killed
};

// Inverses. kInvalid.
std::string_view NameOf(Phase phase);
std::string_view NameOf(Outcome outcome);
Result<Phase> ParsePhase(std::string_view text);
Result<Outcome> ParseOutcome(std::string_view text);

struct Run {
  uint64_t id = 0;  // 1, 2, … within the environment
  std::string job;
  uint64_t revision = 0;            // whose job it is
  std::string actor;                // who asked; "ingot" for its schedule or a release
  std::optional<WallTime> due;      // the minute of the schedule that it is for
  std::optional<uint64_t> rollout;  // the release that it is for
  platform::FleetSpec spec;         // with the arguments and environment of this run
  Milliseconds timeout{0};          // of each attempt, from its first instruction
  uint32_t retries = 0;             // attempts after the first
  bool beside_others = false;       // other runs of the job may go on
  bool migrates = false;            // with a `rollout`: it ends with that rollout's migrations
  WallTime created{};
  Phase phase = Phase::kQueued;
  WallTime since{};                 // when it entered the phase
  WallTime not_before{};            // kQueued: when it is tried again
  std::vector<uint64_t> instances;  // ordinals of its attempts; the last is the present one
  uint32_t failures = 0;            // attempts that failed or timed out
  uint32_t losses = 0;              // attempts that were lost
  std::optional<WallTime> started;  // first instruction of the last attempt
  std::optional<WallTime> ended;
  Outcome outcome = Outcome::kNone;  // of the last attempt that is decided
  std::optional<int> exit_code;      // of the same
  std::string reason;                // for people
  std::string cancelled_by;          // empty: nobody

  bool open() const { return phase != Phase::kEnded; }
  // Of the present attempt; there must be one.
  platform::InstanceId instance() const { return {spec.id, instances.back()}; }
  bool operator==(const Run&) const = default;
};

// How far a schedule has been acted on.
struct Cursor {
  std::string schedule;  // another one begins anew
  WallTime until{};      // minutes up to this one are done with
  bool operator==(const Cursor&) const = default;
};

// The jobs of one environment: its open runs, and what must never go back.
struct State {
  platform::EnvironmentId id;
  uint64_t step = 0;
  uint64_t next_run = 1;
  uint64_t next_ordinal = 1;
  std::map<uint64_t, Run> runs;           // open ones, and those that ended in this step
  std::map<std::string, Cursor> cursors;  // by job
  uint64_t released = 0;                  // the last rollout whose release has begun its runs
  std::vector<audit::Draft> outbox;       // events not known to be recorded
  bool operator==(const State&) const = default;
};

// docs/formats/jobs.md, "run" and "state". Inverses but for State::runs, which the journal keeps apart.
Json ToJson(const Run& run);
Result<Run> RunFromJson(const Json& json);
Json ToJson(const State& state);
Result<State> StateFromJson(const Json& json);

}  // namespace ingot::jobs
