// Time is passed in, so that state machines can be tested with a clock that the test moves.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"

namespace ingot {

using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;
using SteadyTime = std::chrono::steady_clock::time_point;
using Milliseconds = std::chrono::milliseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time, for records and display. Jumps; never used for a deadline.
  virtual WallTime Now() const = 0;
  // Monotonic time, for deadlines within one process.
  virtual SteadyTime Steady() const = 0;
  // Blocks the calling thread.
  virtual void Sleep(Milliseconds duration) = 0;
};

class SystemClock final : public Clock {
 public:
  WallTime Now() const override;
  SteadyTime Steady() const override;
  void Sleep(Milliseconds duration) override;
};

// Moves only when told; Sleep advances it. Not thread-safe.
class FakeClock final : public Clock {
 public:
  WallTime Now() const override { return now_; }
  SteadyTime Steady() const override { return steady_; }
  void Sleep(Milliseconds duration) override { Advance(duration); }
  void Advance(Milliseconds duration) {
    now_ += duration;
    steady_ += duration;
  }
  // A jump of the wall clock alone, as an administrator or NTP makes it.
  void JumpWall(Milliseconds by) { now_ += by; }

 private:
  WallTime now_{std::chrono::seconds(1'700'000'000)};
  SteadyTime steady_{};
};

// RFC 3339 in UTC with milliseconds: "2024-05-01T12:00:00.000Z". Inverses.
std::string RenderTime(WallTime time);
Result<WallTime> ParseTime(std::string_view text);

}  // namespace ingot
