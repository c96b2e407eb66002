#include "base/group_sync.h"

namespace ingot {

Result<void> GroupSync::Wait() {
  auto state = state_.lock();
  // The one that runs may have begun before what this caller did.
  const uint64_t wanted = state->begun + 1;
  while (state->ended < wanted) {
    if (state->running) {
      state.Wait(changed_);
      continue;
    }
    const uint64_t mine = ++state->begun;
    state->running = true;
    state.Unlock();
    Result<void> done = sync_();
    state.Relock();
    state->running = false;
    state->ended = mine;
    if (!done) {
      state->failed = mine;
      state->error = std::move(done).error();
    }
    changed_.notify_all();
  }
  // A later one that failed is no better news: it says that the disk cannot be relied upon.
  if (state->failed >= wanted) return *state->error;
  return {};
}

}  // namespace ingot
