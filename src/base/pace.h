// Pace: work in the background rests between its pieces, so that whoever works beside it hardly notices.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace ingot {

// One thread at a time.
class Pace {
 public:
  // Rests `rests` times as long as it has worked: 3 leaves others three quarters of the time. 0: no rest.
  explicit Pace(int rests) : rests_(rests) {}

  // To be called between pieces of work, with no lock held that others wait for.
  void Rest() {
    const auto worked = std::chrono::steady_clock::now() - since_;
    if (rests_ == 0 || worked < kPiece) return;
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(worked * rests_, kLongest));
    since_ = std::chrono::steady_clock::now();
  }

 private:
  // Shorter rests would cost more than they give.
  static constexpr std::chrono::milliseconds kPiece{2};
  static constexpr std::chrono::milliseconds kLongest{100};
  const int rests_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

}  // namespace ingot
