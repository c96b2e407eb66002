#include "registry/failure_limit.h"

#include <algorithm>

namespace ingot::registry {

std::optional<std::chrono::seconds> FailureLimit::Take(const std::string& address, SteadyTime now) {
  auto rows = rows_.lock();
  auto found = rows->find(address);
  if (found == rows->end()) {
    if (rows->size() >= limits_.addresses) {
      std::erase_if(*rows, [&](const auto& row) { return now - row.second.begin >= limits_.window; });
      if (rows->size() >= limits_.addresses)
        rows->erase(std::min_element(rows->begin(), rows->end(), [](const auto& a, const auto& b) {
          return a.second.begin < b.second.begin;
        }));
    }
    found = rows->emplace(address, Row{0, now}).first;
  }
  Row& row = found->second;
  if (now - row.begin >= limits_.window) row = {0, now};
  if (row.count >= limits_.attempts)
    return std::chrono::ceil<std::chrono::seconds>(row.begin + limits_.window - now);
  ++row.count;
  return std::nullopt;
}

void FailureLimit::GiveBack(const std::string& address) {
  auto rows = rows_.lock();
  const auto found = rows->find(address);
  if (found != rows->end() && found->second.count > 0) --found->second.count;
}

}  // namespace ingot::registry
