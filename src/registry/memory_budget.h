// MemoryBudget: how many bytes of request bodies may be held in memory at once.
#pragma once

#include <atomic>
#include <cstddef>

namespace ingot::registry {

class MemoryBudget {
 public:
  explicit MemoryBudget(size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // What one holder has of it; given back when it dies.
  class Share {
   public:
    explicit Share(MemoryBudget& budget) : budget_(budget) {}
    ~Share() { budget_.used_bytes_ -= bytes_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    // False when that would be too much; then nothing has changed.
    bool Add(size_t bytes) {
      if (budget_.used_bytes_.fetch_add(bytes) + bytes > budget_.limit_bytes_) {
        budget_.used_bytes_ -= bytes;
        return false;
      }
      bytes_ += bytes;
      return true;
    }

   private:
    MemoryBudget& budget_;
    size_t bytes_ = 0;
  };

 private:
  size_t limit_bytes_;
  std::atomic<size_t> used_bytes_{0};
};

}  // namespace ingot::registry
