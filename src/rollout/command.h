// What can be asked of an environment. Accept is pure: it makes the state that follows, or says why not.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "rollout/environment_state.h"
#include "rollout/journal.h"

namespace ingot::rollout {

struct Apply {
  definition::Resolved resolved;
  std::string override_freeze;  // why it goes on in a time in which nothing is released; empty: it does not
  bool verify = false;          // a new revision counts as not verified until Verified
};
struct Rollback {
  std::optional<uint64_t> to;         // unset: the revision before the active one
  std::string reason = {};            // why the active one was found wanting, for the record
  std::optional<uint64_t> from = {};  // kConflict when another revision serves by now
};
// The active revision has done what it had to show after its release.
struct Verified {
  uint64_t revision = 0;
};
// Counts hold until an apply changes the service's count in the definition.
struct Scale {
  std::string service;
  uint32_t replicas = 0;
  std::string reason;  // of the autoscaler; empty: somebody asks
};
// Takes a running rollout back; not once all traffic has moved (kRefused: use rollback).
struct Abort {};
// The running rollout moves no further traffic until Resume; what fails meanwhile reverts all the same.
struct Pause {};
struct Resume {};
// Goes on from the step in which the rollout is, whatever it waits for; a pause stays.
struct Advance {};
// Somebody's word that the running rollout waits for.
struct Approve {
  definition::User user;
  std::string note;                 // for the record
  std::optional<uint64_t> rollout;  // what it is for; unset: whatever waits
  std::optional<uint32_t> step;
};
// Ends everything of the environment; its history stays.
struct Destroy {};

using Request =
    std::variant<Apply, Rollback, Scale, Abort, Pause, Resume, Advance, Approve, Verified, Destroy>;

struct Command {
  platform::EnvironmentId environment;
  std::string actor;
  Request what;
};

struct Accepted {
  enum class Kind { kNothing, kScaled, kRollout, kDestroying };
  Kind kind = Kind::kNothing;
  std::optional<uint64_t> rollout;   // kRollout (or the one aborted, paused, …)
  std::optional<uint64_t> revision;  // where it leads; for the others the active one
};
Json ToJson(const Accepted& accepted);

struct Acceptance {
  Accepted answer;
  std::optional<EnvironmentState> state;  // unset: nothing to journal
  RevisionPtr new_revision;
  std::vector<Rollout> finished;
};

inline constexpr uint32_t kMaxReplicas = 1000;

// Which revision a rollback leads to. kNotFound: there is no earlier one, or nothing is deployed; kConflict:
// it is active already.
Result<uint64_t> RollbackTarget(const EnvironmentState& state, const Rollback& rollback);

// `target` is the revision of RollbackTarget, for a rollback; else null. kConflict: a rollout is running (the
// message names it) or the environment is being destroyed. kNotFound: no such service, or nothing deployed.
// kInvalid: too many replicas. kRefused: an abort or a pause after the shift; a release in a time in which
// nothing is released, or one that only loosens the rules that it would need approval by. kConflict also: it
// is paused already, or not, or has no step to go on from, or waits for nobody's approval. kPermission: an
// approval by somebody who may not; a word about a revision that does not serve.
// `time_of_day`: what schedules and freezes go by; unset: `now`.
Result<Acceptance> Accept(const EnvironmentState& state, const Command& command, RevisionPtr target,
                          WallTime now, std::optional<WallTime> time_of_day = {});

}  // namespace ingot::rollout
