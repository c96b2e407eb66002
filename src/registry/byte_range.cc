#include "registry/byte_range.h"

#include <algorithm>
#include <charconv>

#include "registry/errors.h"

namespace ingot::registry {
namespace {

constexpr std::string_view kBytesUnit = "bytes=";

std::optional<uint64_t> ParseOffset(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // Half of the range, so that no sum overflows.
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value >> 62 != 0)
    return std::nullopt;
  return value;
}

}  // namespace

RangeKind ParseRange(std::string_view header, uint64_t size_bytes, ByteRange& part) {
  if (!header.starts_with(kBytesUnit)) return RangeKind::kWhole;
  header.remove_prefix(kBytesUnit.size());
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return RangeKind::kWhole;
  const std::string_view first = header.substr(0, dash);
  const std::string_view last = header.substr(dash + 1);
  if (first.empty()) {
    const auto suffix = ParseOffset(last);
    if (!suffix) return RangeKind::kWhole;
    const uint64_t length = std::min(*suffix, size_bytes);
    if (length == 0) return RangeKind::kUnsatisfiable;
    part = {size_bytes - length, length};
    return RangeKind::kPart;
  }
  const auto begin = ParseOffset(first);
  if (!begin) return RangeKind::kWhole;
  uint64_t end = size_bytes;  // exclusive
  if (!last.empty()) {
    const auto inclusive = ParseOffset(last);
    if (!inclusive || *inclusive < *begin) return RangeKind::kWhole;
    end = std::min(*inclusive + 1, size_bytes);
  }
  if (*begin >= size_bytes) return RangeKind::kUnsatisfiable;
  part = {*begin, end - *begin};
  return RangeKind::kPart;
}

std::optional<ByteRange> AnswerRange(std::string_view header, uint64_t size_bytes, Response& response) {
  ByteRange part{0, size_bytes};
  const std::string size = std::to_string(size_bytes);
  switch (ParseRange(header, size_bytes, part)) {
    case RangeKind::kUnsatisfiable:
      response = ErrorAnswer(416, ErrorCode::kSizeInvalid, "the blob has only " + size + " bytes");
      response.With("Content-Range", "bytes */" + size);
      return std::nullopt;
    case RangeKind::kPart:
      response.status = 206;
      response.With("Content-Range", "bytes " + std::to_string(part.offset) + "-" +
                                         std::to_string(part.offset + part.size_bytes - 1) + "/" + size);
      break;
    case RangeKind::kWhole:
      break;
  }
  return part;
}

std::optional<ByteRange> ParseChunkRange(std::string_view header) {
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = ParseOffset(header.substr(0, dash));
  const auto last = ParseOffset(header.substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  return ByteRange{*first, *last - *first + 1};
}

}  // namespace ingot::registry
