// HashAhead: SHA-256 of a stream on a second thread, while the caller does something else with the same
// bytes.
//
// One 512 MB push costs about as much for hashing as for everything else, so the two go side by side.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/sync.h"

namespace ingot::registry {

class HashAhead {
 public:
  explicit HashAhead(size_t threads);
  // Every Task must have been waited for.
  ~HashAhead();

  // Runs `work` on one of the threads. Wait returns when it has ended; it is called in the destructor, too.
  class Task {
   public:
    Task(HashAhead& pool, std::function<void()> work);
    ~Task() { Wait(); }
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    void Wait();

   private:
    HashAhead& pool_;
    bool done_ = false;  // under the pool's mutex
  };

  // Nothing is being done. Work given to a busy pool only changes threads: with several streams the
  // processors have enough to do without it.
  bool Idle() { return state_.lock()->unfinished == 0; }

 private:
  struct Job {
    std::function<void()> work;
    bool* done;
  };
  struct State {
    std::deque<Job> jobs;
    size_t unfinished = 0;
    bool stopping = false;
  };
  void Loop();

  Sync<State> state_;
  std::condition_variable queued_;
  std::condition_variable ended_;
  std::vector<std::thread> threads_;
};

}  // namespace ingot::registry
