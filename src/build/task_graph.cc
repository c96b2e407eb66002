#include "build/task_graph.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include "base/sync.h"

namespace ingot::build {
namespace {

struct State {
  TaskNeeds waiting;  // what each still needs
  size_t running = 0;
  std::optional<Error> failed;
};

}  // namespace

Result<void> RunTasks(const TaskNeeds& needs, int jobs,
                      const std::function<Result<void>(const std::string&)>& run) {
  Sync<State> state(State{needs, 0, std::nullopt});
  std::condition_variable changed;
  // The next task that can start; waits while all of them need one that is under way. None: no more work.
  const auto take = [&]() -> std::optional<std::string> {
    auto lock = state.lock();
    while (!lock->failed && !lock->waiting.empty()) {
      const auto ready = std::find_if(lock->waiting.begin(), lock->waiting.end(),
                                      [](const auto& task) { return task.second.empty(); });
      if (ready != lock->waiting.end()) {
        std::string name = ready->first;
        lock->waiting.erase(ready);
        ++lock->running;
        return name;
      }
      if (lock->running == 0)
        lock->failed.emplace(Code::kInternal, "tasks that wait for each other");
      else
        lock.Wait(changed);
    }
    return std::nullopt;
  };
  const auto work = [&] {
    while (const auto name = take()) {
      Result<void> result = run(*name);
      auto lock = state.lock();
      --lock->running;
      if (!result && !lock->failed) lock->failed = std::move(result).error();
      for (auto& [waiting, left] : lock->waiting) left.erase(*name);
      changed.notify_all();
    }
    changed.notify_all();
  };
  std::vector<std::thread> helpers;
  const int wanted = std::min<int>(jobs, static_cast<int>(needs.size()));
  for (int i = 1; i < wanted; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  auto lock = state.lock();
  if (lock->failed) return std::move(*lock->failed);
  return {};
}

}  // namespace ingot::build
