#include "base/units.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>
#include <utility>

namespace ingot {

namespace {

// Reads decimal digits from the front of `text`; false when there is none or the number exceeds 2^53.
bool TakeNumber(std::string_view& text, uint64_t& number) {
  size_t digits = 0;
  number = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    number = number * 10 + static_cast<uint64_t>(text[digits] - '0');
    if (number > (uint64_t{1} << 53)) return false;
    ++digits;
  }
  text.remove_prefix(digits);
  return digits > 0;
}

constexpr std::array<std::pair<std::string_view, int64_t>, 6> kDurationUnits = {
    {{"w", 7LL * 24 * 3600 * 1000},
     {"d", 24LL * 3600 * 1000},
     {"h", 3600LL * 1000},
     {"m", 60LL * 1000},
     {"s", 1000},
     {"ms", 1}}};
constexpr int64_t kLongest = 100LL * 366 * 24 * 3600 * 1000;

}  // namespace

Result<Milliseconds> ParseDuration(std::string_view text) {
  const auto bad = [&] {
    return Error(Code::kInvalid,
                 "\"" + std::string(text) + "\" is not a duration; write 250ms, 5s, 10m, 1h30m or 7d");
  };
  std::string_view rest = text;
  int64_t total = 0;
  int64_t last_unit = INT64_MAX;
  if (rest.empty()) return bad();
  while (!rest.empty()) {
    uint64_t number = 0;
    if (!TakeNumber(rest, number)) return bad();
    const size_t letters = std::min(rest.find_first_of("0123456789"), rest.size());
    const std::string_view name = rest.substr(0, letters);
    rest.remove_prefix(letters);
    const auto* unit = std::find_if(kDurationUnits.begin(), kDurationUnits.end(),
                                    [&](const auto& candidate) { return candidate.first == name; });
    if (unit == kDurationUnits.end() || unit->second >= last_unit) return bad();
    last_unit = unit->second;
    if (number > static_cast<uint64_t>(kLongest / unit->second)) return bad();
    total += static_cast<int64_t>(number) * unit->second;
    if (total > kLongest) return bad();
  }
  return Milliseconds(total);
}

std::string RenderDuration(Milliseconds duration) {
  int64_t rest = duration.count();
  if (rest <= 0) return "0s";
  std::string out;
  for (const auto& [name, length] : kDurationUnits) {
    if (rest >= length) {
      out += std::to_string(rest / length) + std::string(name);
      rest %= length;
    }
  }
  return out;
}

Result<uint64_t> ParseSize(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, uint64_t>, 10> kUnits = {
      {{"", 1},
       {"B", 1},
       {"KiB", 1ULL << 10},
       {"MiB", 1ULL << 20},
       {"GiB", 1ULL << 30},
       {"TiB", 1ULL << 40},
       {"kB", 1000ULL},
       {"MB", 1000ULL * 1000},
       {"GB", 1000ULL * 1000 * 1000},
       {"TB", 1000ULL * 1000 * 1000 * 1000}}};
  std::string_view rest = text;
  uint64_t number = 0;
  if (TakeNumber(rest, number)) {
    for (const auto& [name, factor] : kUnits)
      if (name == rest && number <= (uint64_t{1} << 60) / factor) return number * factor;
  }
  return Error(Code::kInvalid, "\"" + std::string(text) + "\" is not a size; write 512KiB, 128MiB or 1GiB");
}

std::string RenderSize(uint64_t bytes) {
  static constexpr const char* kNames[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit < 5) {
    value /= 1024;
    ++unit;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof buffer,
                unit == 0     ? "%.0f %s"
                : value < 10  ? "%.2f %s"
                : value < 100 ? "%.1f %s"
                              : "%.0f %s",
                value, kNames[unit]);
  return buffer;
}

std::string Nearest(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    std::vector<size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (size_t i = 1; i <= name.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t substituted = diagonal + (name[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
      }
    }
    if (row.back() < best_distance && row.back() < candidate.size()) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace ingot
