// GroupSync: one sync for all who need what they did before to be durable, while the sync before still runs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.h"
#include "base/sync.h"

namespace ingot {

// Any thread. `sync` makes everything durable that was done before it was called.
class GroupSync {
 public:
  explicit GroupSync(std::function<Result<void>()> sync) : sync_(std::move(sync)) {}
  // Returns when a sync that began after this call has ended; its error goes to all who waited for it.
  Result<void> Wait();

 private:
  struct State {
    uint64_t begun = 0;
    uint64_t ended = 0;
    bool running = false;
    uint64_t failed = 0;         // the last that failed
    std::optional<Error> error;  // its
  };
  const std::function<Result<void>()> sync_;
  Sync<State> state_;
  std::condition_variable changed_;
};

}  // namespace ingot
