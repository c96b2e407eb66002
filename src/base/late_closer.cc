#include "base/late_closer.h"

#include <utility>

namespace ingot {

LateCloser::~LateCloser() {
  std::thread thread;
  {
    auto state = state_.lock();
    state->stopping = true;
    thread = std::move(state->thread);
  }
  changed_.notify_all();
  if (thread.joinable()) thread.join();
}

void LateCloser::Close(Fd fd) {
  if (!fd.valid()) return;
  auto state = state_.lock();
  state->waiting.push_back(std::move(fd));
  if (!state->thread.joinable()) state->thread = std::thread([this] { Loop(); });
  changed_.notify_one();
}

void LateCloser::Loop() {
  while (true) {
    std::vector<Fd> closing;
    auto state = state_.lock();
    while (state->waiting.empty() && !state->stopping) state.Wait(changed_);
    if (state->waiting.empty()) return;
    closing.swap(state->waiting);
    state.Unlock();
    closing.clear();
  }
}

}  // namespace ingot
