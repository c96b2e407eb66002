#include "registry/hash_ahead.h"

namespace ingot::registry {

HashAhead::HashAhead(size_t threads) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Loop(); });
}

HashAhead::~HashAhead() {
  state_.lock()->stopping = true;
  queued_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void HashAhead::Loop() {
  while (true) {
    Job job;
    {
      auto state = state_.lock();
      while (state->jobs.empty() && !state->stopping) state.Wait(queued_);
      if (state->jobs.empty()) return;
      job = std::move(state->jobs.front());
      state->jobs.pop_front();
    }
    job.work();
    // What the work holds is let go of before anybody believes it done.
    job.work = nullptr;
    auto state = state_.lock();
    --state->unfinished;
    *job.done = true;
    ended_.notify_all();
  }
}

HashAhead::Task::Task(HashAhead& pool, std::function<void()> work) : pool_(pool) {
  {
    auto state = pool_.state_.lock();
    state->jobs.push_back({std::move(work), &done_});
    ++state->unfinished;
  }
  pool_.queued_.notify_one();
}

void HashAhead::Task::Wait() {
  auto state = pool_.state_.lock();
  while (!done_) state.Wait(pool_.ended_);
}

}  // namespace ingot::registry
