// FailureLimit: how many wrong passwords one address may try.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/sync.h"

namespace ingot::registry {

// Any thread. Bounded: of so many addresses that the table is full, the longest known is forgotten.
class FailureLimit {
 public:
  struct Limits {
    size_t attempts = 20;  // that fail or are not decided yet, in a window
    std::chrono::seconds window{60};
    size_t addresses = 4096;
  };
  FailureLimit() : FailureLimit(Limits()) {}
  explicit FailureLimit(Limits limits) : limits_(limits) {}

  // Counts an attempt before it is decided, so that attempts at once are limited, too. Set: refused, for so
  // long.
  std::optional<std::chrono::seconds> Take(const std::string& address, SteadyTime now);
  // The attempt succeeded: it does not count.
  void GiveBack(const std::string& address);

 private:
  struct Row {
    size_t count = 0;
    SteadyTime begin{};
  };
  const Limits limits_;
  Sync<std::unordered_map<std::string, Row>> rows_;
};

}  // namespace ingot::registry
