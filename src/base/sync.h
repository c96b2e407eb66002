// Sync<T>: data that can only be reached while its mutex is held.
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

namespace ingot {

template <typename T>
class Sync {
 public:
  Sync() = default;
  explicit Sync(T data) : data_(std::move(data)) {}

  class Lock {
   public:
    T* operator->() { return data_; }
    T& operator*() { return *data_; }
    // Waits on `cv`; the data may have changed when it returns.
    void Wait(std::condition_variable& cv) { cv.wait(lock_); }
    template <typename Duration>
    std::cv_status WaitFor(std::condition_variable& cv, Duration d) {
      return cv.wait_for(lock_, d);
    }

    // Lets others have it for a while; the data is not to be touched until Relock.
    void Unlock() { lock_.unlock(); }
    void Relock() { lock_.lock(); }

   private:
    friend class Sync;
    Lock(std::mutex& m, T* data) : lock_(m), data_(data) {}
    std::unique_lock<std::mutex> lock_;
    T* data_;
  };

  Lock lock() { return Lock(mutex_, &data_); }

 private:
  std::mutex mutex_;
  T data_{};
};

}  // namespace ingot
