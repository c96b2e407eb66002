// The state machine of runs: pure. docs/formats/jobs.md has it in words.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "jobs/run.h"
#include "plan/revision.h"
#include "platform/fleet.h"

namespace ingot::jobs {

// A minute of a schedule that is later than this is told as missed, and not made up for.
inline constexpr Milliseconds kLatest{600'000};
// Before an attempt is repeated: doubled with each failure, up to the longest.
inline constexpr Milliseconds kFirstBackoff{1'000};
inline constexpr Milliseconds kLongestBackoff{300'000};
// A run that is lost that often is not tried again.
inline constexpr uint32_t kMostLosses = 5;
// Runs of one environment that go on at the same time; others wait in the order of their numbers.
inline constexpr size_t kMostRunning = 16;
inline constexpr size_t kMostQueued = 1'000;
// An attempt that the platform does not take for so long has failed.
inline constexpr Milliseconds kStartPatience{60'000};

struct StartRequest {
  std::string job;
  std::string actor;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;  // on top of the job's
  std::optional<uint64_t> rollout = {};            // the one that it migrates for
};

// A new run, queued. kNotFound when the revision has no such job, kConflict when another run of it goes on
// and the job forbids that, kNoSpace when too many are queued. `events` are added to state.outbox.
Result<State> Accept(State state, const plan::Revision& revision, const StartRequest& request, WallTime now,
                     uint64_t* run);
// Ends an open run: queued, it has ended with it. kNotFound.
Result<State> Cancel(State state, uint64_t run, const std::string& actor, WallTime now);

// The last apply that has moved all traffic, and what it has released.
struct Release {
  uint64_t rollout = 0;  // 0: none
  uint64_t revision = 0;
};

struct View {
  const plan::Revision* active = nullptr;  // null: nothing serves, so nothing is due
  // Every run that the platform knows; unset: could not look.
  std::optional<std::map<platform::InstanceId, platform::InstanceStatus>> observed;
  std::set<platform::InstanceId> unasked;  // whose Start this process has yet to repeat
  Release release;
  uint64_t migrating = 0;   // the rollout that runs its migrations; 0: none
  bool destroying = false;  // the environment is being ended, and everything in it
  WallTime now{};           // moved on by the monotonic clock: for limits and delays
  WallTime wall{};          // the time of day, for schedules
};

struct Decision {
  State state;  // equal to the former: nothing to journal
  std::vector<uint64_t> start;
  std::vector<platform::InstanceId> stop;
  std::optional<WallTime> wake;  // when time alone changes something (of View::now)
};

// What follows from the state, which has open runs only, and what is seen.
Decision Decide(const State& state, const View& view);

}  // namespace ingot::jobs
