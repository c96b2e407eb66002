// Durations and sizes as people write them, and names that are nearly right.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace ingot {

// "250ms", "5s", "10m", "1h30m", "7d", "2w". Whole numbers with a unit; no sign, no fraction; below 100
// years.
Result<Milliseconds> ParseDuration(std::string_view text);
// The shortest text that ParseDuration gives back: 90000 ms → "1m30s"; zero → "0s".
std::string RenderDuration(Milliseconds duration);

// "512", "512B", "64KiB", "128MiB", "1GiB", "2TiB", and decimal "10kB", "10MB", "10GB". Bytes.
Result<uint64_t> ParseSize(std::string_view text);
// For people, three significant digits in binary units: "1.30 MiB".
std::string RenderSize(uint64_t bytes);

// The candidate with the least edit distance to `name`, if it is near enough to be a slip of the pen; else
// "".
std::string Nearest(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace ingot
