#include "adapters/worker_pool.h"

#include <sys/prctl.h>

#include <utility>

namespace ingot::adapters {

WorkerPool::~WorkerPool() {
  std::vector<std::thread> threads;
  {
    auto state = state_.lock();
    state->stopping = true;
    threads.swap(state->threads);
  }
  changed_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void WorkerPool::Run(std::function<void()> work) {
  auto state = state_.lock();
  state->work.push_back(std::move(work));
  if (state->idle < state->work.size() && state->threads.size() < limit_)
    state->threads.emplace_back([this] { Loop(); });
  changed_.notify_one();
}

void WorkerPool::Loop() {
  ::prctl(PR_SET_NAME, name_.c_str());
  while (true) {
    std::function<void()> work;
    {
      auto state = state_.lock();
      ++state->idle;
      while (state->work.empty() && !state->stopping) state.Wait(changed_);
      --state->idle;
      if (state->work.empty()) return;
      work = std::move(state->work.front());
      state->work.pop_front();
    }
    work();
  }
}

}  // namespace ingot::adapters
