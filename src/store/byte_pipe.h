// BytePipe: pieces of a stream from one thread to another, a few ahead.
#pragma once

#include <condition_variable>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/sync.h"

namespace ingot::store {

class BytePipe {
 public:
  // Blocks while enough pieces wait. kCancelled after Cancel.
  Result<void> Push(std::string piece) {
    auto state = state_.lock();
    while (state->pieces.size() >= kAhead && !state->cancelled) state.Wait(changed_);
    if (state->cancelled) return Error(Code::kCancelled, "Nobody reads the stream any more.");
    state->pieces.push_back(std::move(piece));
    changed_.notify_all();
    return {};
  }
  // The writer's last call: how the stream ended.
  void Close(Result<void> outcome) {
    auto state = state_.lock();
    state->outcome = std::move(outcome);
    state->closed = true;
    changed_.notify_all();
  }
  // The reader's way out before the end.
  void Cancel() {
    state_.lock()->cancelled = true;
    changed_.notify_all();
  }
  // A piece that was popped and is done with, to be filled again; whatever is in it. May be empty.
  std::string Spare() {
    auto state = state_.lock();
    if (state->spares.empty()) return {};
    std::string spare = std::move(state->spares.back());
    state->spares.pop_back();
    return spare;
  }
  // True with the next piece, in place of the one in `piece`, which is done with; false at the end; the
  // writer's Error when it closed with one.
  Result<bool> Pop(std::string& piece) {
    auto state = state_.lock();
    while (state->pieces.empty() && !state->closed) state.Wait(changed_);
    if (state->pieces.empty()) {
      if (!state->outcome) return state->outcome.error();
      return false;
    }
    std::swap(piece, state->pieces.front());
    if (!state->pieces.front().empty() && state->spares.size() < kAhead)
      state->spares.push_back(std::move(state->pieces.front()));
    state->pieces.pop_front();
    changed_.notify_all();
    return true;
  }

 private:
  static constexpr size_t kAhead = 8;
  struct State {
    std::deque<std::string> pieces;
    std::vector<std::string> spares;
    Result<void> outcome;
    bool closed = false;
    bool cancelled = false;
  };
  Sync<State> state_;
  std::condition_variable changed_;
};

}  // namespace ingot::store
