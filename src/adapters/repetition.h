// Repetition: something is done at once and then at each interval, until it is cancelled.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>

#include "base/clock.h"
#include "base/sync.h"

namespace ingot::adapters {

class Repetition {
 public:
  // On the caller's thread, which has `name` from then on; several threads may. `once` ends soon after
  // `cancelled()` is true. `clock` outlives it.
  void Run(const char* name, Clock& clock, Milliseconds interval, const std::function<void()>& once);
  // Any thread; waits for nobody.
  void Cancel();
  const std::atomic<bool>& cancelled() const { return cancelled_; }

 private:
  struct Nothing {};
  std::atomic<bool> cancelled_ = false;
  Sync<Nothing> waiting_;
  std::condition_variable woken_;  // with the lock of `waiting_`
};

}  // namespace ingot::adapters
