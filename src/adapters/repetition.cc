#include "adapters/repetition.h"

#include <sys/prctl.h>

#include <algorithm>

namespace ingot::adapters {

void Repetition::Run(const char* name, Clock& clock, Milliseconds interval,
                     const std::function<void()>& once) {
  ::prctl(PR_SET_NAME, name);
  SteadyTime due = clock.Steady();
  while (!cancelled_) {
    once();
    // One that took longer than the interval is followed by the next at once, and nothing is caught up on.
    due = std::max<SteadyTime>(due + interval, clock.Steady());
    auto waiting = waiting_.lock();
    while (!cancelled_ && clock.Steady() < due) waiting.WaitFor(woken_, due - clock.Steady());
  }
}

void Repetition::Cancel() {
  {
    // Under the lock, so that nobody who has just looked misses it.
    auto waiting = waiting_.lock();
    cancelled_ = true;
  }
  woken_.notify_all();
}

}  // namespace ingot::adapters
