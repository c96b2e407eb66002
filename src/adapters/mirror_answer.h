// The answer of an instance to a copied request, byte by byte as it comes: only what is compared is kept.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/sha256.h"

namespace ingot::adapters {

class MirrorAnswer {
 public:
  enum class State { kMore, kDone, kMalformed };

  // Whether an answer to this method has a body: not to HEAD.
  explicit MirrorAnswer(bool has_body) : has_body_(has_body) {}

  // Not to be called again once it is not kMore. A body that is larger than is ever compared is done.
  State Feed(std::string_view bytes);
  // The connection has ended.
  State End() const;

  // 0: the head is not there yet.
  int status() const { return status_; }
  // Of the body when it is done, hexadecimal in capitals; "" when it is larger than kMirrorBodyBytes.
  std::string BodySha256();

 private:
  enum class Part { kHead, kLength, kChunkSize, kChunk, kChunkEnd, kTrailer, kUntilEnd, kDone, kMalformed };

  void Head(std::string_view head);
  void Body(std::string_view bytes);
  // A line of `input` without its end, kept until it is whole; false: not yet.
  bool TakeLine(std::string_view& input, std::string& line);

  bool has_body_;
  Part part_ = Part::kHead;
  std::string text_;  // of a head or a line that is not whole yet
  int status_ = 0;
  uint64_t left_ = 0;  // of the body, or of a chunk
  uint64_t body_bytes_ = 0;
  Sha256 body_;
};

}  // namespace ingot::adapters
