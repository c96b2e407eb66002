// WorkerPool: threads for work that blocks, so that event loops need not. Started when first needed.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/sync.h"

namespace ingot::adapters {

class WorkerPool {
 public:
  // `name` is what the threads are called, at most 15 bytes.
  WorkerPool(std::string name, size_t threads) : name_(std::move(name)), limit_(threads) {}
  // Runs everything that waits, then ends the threads.
  ~WorkerPool();
  // In the order they come; several at once.
  void Run(std::function<void()> work);

 private:
  struct State {
    std::deque<std::function<void()>> work;
    std::vector<std::thread> threads;
    size_t idle = 0;
    bool stopping = false;
  };
  void Loop();

  std::string name_;
  size_t limit_;
  Sync<State> state_;
  std::condition_variable changed_;
};

}  // namespace ingot::adapters
