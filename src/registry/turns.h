// Turns: threads that run one at a time, and who goes on is drawn from a seed, so that an interleaving can be
// had again. For tests.
#pragma once

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "store/catalog.h"

namespace ingot::registry {

class Turns {
 public:
  // `free`: all run at once, and the kernel decides.
  Turns(unsigned seed, size_t threads, bool free) : random_(seed), wake_(threads), free_(free) {
    for (size_t i = 0; i < threads; ++i) running_.push_back(i);
    current_ = running_[random_() % running_.size()];
  }
  // Thread `self` begins: returns when it is its turn.
  void Enter(size_t self) {
    tls_self = self;
    if (free_) return;
    // On one processor a turn is passed on by a switch of context; to wake an idle one costs three times
    // that.
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(cpu_), &one);
    static_cast<void>(::sched_setaffinity(0, sizeof one, &one));
    std::unique_lock lock(mutex_);
    wake_[self].wait(lock, [&] { return current_ == self; });
  }
  // Whoever is drawn goes on. Only where no lock is held that another one may want.
  void Yield() {
    if (free_) return;
    std::unique_lock lock(mutex_);
    if (running_.empty()) return;  // all have ended; who looks at what is left needs no turn
    const size_t self = tls_self;
    Pass();
    if (current_ == self) return;
    wake_[current_].notify_one();
    wake_[self].wait(lock, [&] { return current_ == self; });
  }
  void Leave() {
    if (free_) return;
    const std::lock_guard lock(mutex_);
    std::erase(running_, tls_self);
    if (running_.empty()) return;
    Pass();
    wake_[current_].notify_one();
  }
  uint64_t taken() const { return taken_; }

 private:
  void Pass() {
    current_ = running_[random_() % running_.size()];
    ++taken_;
  }
  std::mutex mutex_;
  std::mt19937 random_;
  std::deque<std::condition_variable> wake_;
  std::vector<size_t> running_;
  size_t current_ = 0;
  uint64_t taken_ = 0;
  bool free_;
  const int cpu_ = std::max(::sched_getcpu(), 0);
  static inline thread_local size_t tls_self = 0;
};

// A catalog before each of whose transactions somebody else may have a turn.
class TurnsCatalog final : public store::Catalog {
 public:
  TurnsCatalog(store::Catalog& catalog, Turns& turns) : catalog_(catalog), turns_(turns) {}
  Result<void> Read(const std::function<Result<void>(const store::CatalogRows&)>& read) override {
    turns_.Yield();
    return catalog_.Read(read);
  }
  Result<void> Write(const std::function<Result<void>(store::CatalogRows&)>& write,
                     Durability durability = Durability::kDurable) override {
    turns_.Yield();
    return catalog_.Write(write, durability);
  }
  Result<void> WriteTogether(const std::function<Result<void>(store::CatalogRows&)>& write) override {
    turns_.Yield();
    return catalog_.WriteTogether(write);
  }

 private:
  store::Catalog& catalog_;
  Turns& turns_;
};

}  // namespace ingot::registry
