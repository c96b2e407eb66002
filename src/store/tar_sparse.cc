#include "store/tar_sparse.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

#include "store/tar_header.h"

namespace ingot::store {
namespace {

constexpr size_t kMaxSegments = 1'000'000;
constexpr size_t kEntryBytes = 24;  // offset and size, 12 each
constexpr size_t kFirstEntries = 386;
constexpr size_t kFirstExtended = 482;
constexpr size_t kFirstRealSize = 483;
constexpr size_t kBlockExtended = 504;

Error BadSparse(std::string_view why) {
  return Error(Code::kInvalid,
               "The archive has a sparse file whose map is broken: " + std::string(why) + ".");
}

Result<uint64_t> SparseDecimal(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  if (error != std::errc() || end != text.end() || value > INT64_MAX)
    return BadSparse("it has a number that is none");
  return value;
}

Result<void> AddSegment(uint64_t offset, uint64_t size, SparseMap& map) {
  if (map.segments.size() == kMaxSegments) return BadSparse("it has more than a million parts");
  map.segments.push_back({offset, size});
  return {};
}

// Entries until an empty one.
Result<void> AddEntries(std::string_view block, size_t at, size_t count, SparseMap& map) {
  for (size_t i = 0; i < count; ++i, at += kEntryBytes) {
    if (block[at] == '\0' && block[at + 12] == '\0') return {};
    const int64_t offset = TRY(ParseTarNumber(block.substr(at, 12), "sparse map"));
    const int64_t size = TRY(ParseTarNumber(block.substr(at + 12, 12), "sparse map"));
    if (offset < 0 || size < 0) return BadSparse("it has a negative number");
    TRY(AddSegment(static_cast<uint64_t>(offset), static_cast<uint64_t>(size), map));
  }
  return {};
}

}  // namespace

Result<void> SparseMap::Check(uint64_t stored) const {
  uint64_t end = 0;
  uint64_t sum = 0;
  for (const Segment& segment : segments) {
    if (segment.offset < end || segment.offset > real_size || segment.size > real_size - segment.offset)
      return BadSparse("its parts overlap or leave the file");
    end = segment.offset + segment.size;
    sum += segment.size;
  }
  if (sum != stored) return BadSparse("its parts are not what is stored");
  return {};
}

Result<bool> AddSparseHeader(std::string_view block, SparseMap& map) {
  const int64_t size = TRY(ParseTarNumber(block.substr(kFirstRealSize, 12), "sparse file's size"));
  if (size < 0) return BadSparse("its size is negative");
  map.real_size = static_cast<uint64_t>(size);
  TRY(AddEntries(block, kFirstEntries, 4, map));
  return block[kFirstExtended] != '\0' && block[kFirstExtended] != '0';
}

Result<bool> AddSparseBlock(std::string_view block, SparseMap& map) {
  if (block.size() != kTarBlock) return BadSparse("it is cut off");
  TRY(AddEntries(block, 0, 21, map));
  return block[kBlockExtended] != '\0' && block[kBlockExtended] != '0';
}

Result<void> ParseSparseList(std::string_view text, SparseMap& map) {
  std::vector<uint64_t> numbers;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    numbers.push_back(TRY(SparseDecimal(text.substr(0, comma))));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  if (numbers.size() % 2 != 0) return BadSparse("a part has no size");
  for (size_t i = 0; i < numbers.size(); i += 2) TRY(AddSegment(numbers[i], numbers[i + 1], map));
  return {};
}

Result<uint64_t> ReadSparseLines(const std::function<Result<std::string>()>& next, SparseMap& map) {
  std::string text;
  uint64_t taken = 0;
  const auto number = [&]() -> Result<uint64_t> {
    size_t line = text.find('\n');
    while (line == std::string::npos) {
      if (text.size() > 32) return BadSparse("it has a number that is none");
      const std::string block = TRY(next());
      if (block.size() != kTarBlock) return BadSparse("it is cut off");
      taken += block.size();
      text += block;
      line = text.find('\n');
    }
    const uint64_t value = TRY(SparseDecimal(std::string_view(text).substr(0, line)));
    text.erase(0, line + 1);
    return value;
  };
  const uint64_t count = TRY(number());
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t offset = TRY(number());
    const uint64_t size = TRY(number());
    TRY(AddSegment(offset, size, map));
  }
  return taken;
}

ByteSource ExpandSparse(const SparseMap& map, const ByteSource& stored) {
  return [&map, &stored, at = uint64_t{0}, index = size_t{0}](char* buffer,
                                                              size_t size) mutable -> Result<size_t> {
    while (index < map.segments.size() && at >= map.segments[index].offset + map.segments[index].size)
      ++index;
    const bool inside = index < map.segments.size() && at >= map.segments[index].offset;
    const uint64_t end = inside                        ? map.segments[index].offset + map.segments[index].size
                         : index < map.segments.size() ? map.segments[index].offset
                                                       : map.real_size;
    size_t n = static_cast<size_t>(std::min<uint64_t>(size, end - at));
    if (n == 0) return size_t{0};
    if (inside) {
      n = TRY(stored(buffer, n));
      if (n == 0) return BadSparse("its contents are cut off");
    } else {
      std::memset(buffer, 0, n);
    }
    at += n;
    return n;
  };
}

}  // namespace ingot::store
