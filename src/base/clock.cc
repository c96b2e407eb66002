#include "base/clock.h"

#include <cstdio>
#include <ctime>
#include <thread>

namespace ingot {

WallTime SystemClock::Now() const {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

SteadyTime SystemClock::Steady() const {
  return std::chrono::steady_clock::now();
}

void SystemClock::Sleep(Milliseconds duration) {
  std::this_thread::sleep_for(duration);
}

std::string RenderTime(WallTime time) {
  const int64_t total_ms = time.time_since_epoch().count();
  const int64_t ms = ((total_ms % 1000) + 1000) % 1000;
  const std::time_t seconds = static_cast<std::time_t>((total_ms - ms) / 1000);
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, static_cast<int>(ms));
  return buffer;
}

Result<WallTime> ParseTime(std::string_view text) {
  const std::string copy(text);
  std::tm tm{};
  int ms = 0;
  int used = 0;
  const auto wrong = [&] {
    return Error(Code::kInvalid, "\"" + copy + "\" is not a time; expected 2024-05-01T12:00:00.000Z");
  };
  const int fields = std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &tm.tm_year, &tm.tm_mon,
                                 &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms, &used);
  if (fields != 7 || static_cast<size_t>(used) != copy.size()) return wrong();
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  const WallTime time(std::chrono::milliseconds(static_cast<int64_t>(timegm(&tm)) * 1000 + ms));
  if (RenderTime(time) != copy) return wrong();  // a thirteenth month
  return time;
}

}  // namespace ingot
