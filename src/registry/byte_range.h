// Range (RFC 9110 section 14) and Content-Range of an upload (distribution-spec 1.1, "Pushing a blob in
// chunks").
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "registry/message.h"

namespace ingot::registry {

struct ByteRange {
  uint64_t offset = 0;
  uint64_t size_bytes = 0;  // at least 1
  bool operator==(const ByteRange&) const = default;
};

enum class RangeKind { kWhole, kPart, kUnsatisfiable };

// What of `size_bytes` bytes a Range header asks for. What this does not understand (another unit, several
// ranges) is ignored, as the RFC demands: the whole.
RangeKind ParseRange(std::string_view header, uint64_t size_bytes, ByteRange& part);

// Makes `response` the answer to that header for `size_bytes` bytes: its status and Content-Range. What its
// body is; nullopt: it is the refusal (416), which has one.
std::optional<ByteRange> AnswerRange(std::string_view header, uint64_t size_bytes, Response& response);

// "0-1023": first and last byte. nullopt for anything else.
std::optional<ByteRange> ParseChunkRange(std::string_view header);

}  // namespace ingot::registry
