// GzipStream: the decompressed bytes of a gzip stream (RFC 1952).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/byte_stream.h"
#include "base/result.h"

namespace ingot {

// One thread.
class GzipStream {
 public:
  enum class Engine {
    kFastest,  // ISA-L where it is installed, else zlib
    kZlib,
  };
  explicit GzipStream(ByteSource source, Engine engine = Engine::kFastest);
  GzipStream(GzipStream&&) noexcept;
  ~GzipStream();

  // As ByteSource. Members one after another are one stream; what follows the last and is none is left out,
  // as gzip does. kInvalid: the stream is damaged (each member's checksum and size are looked at) or cut off;
  // the source's own error as it is. Which engine it is does not show in what is accepted.
  Result<size_t> Read(char* buffer, size_t size);

  // Decompresses one member after another. An engine of each kind is in gzip_stream.cc.
  class Inflater {
   public:
    struct Step {
      size_t made = 0;     // bytes, into `out`
      bool ended = false;  // the member is complete and its checksum right
    };
    virtual ~Inflater() = default;
    // Takes bytes from the front of `in` as it needs them; at a member's end `in` begins right behind it, for
    // which it may have to grow to the left by up to kBack bytes that were there before. kInvalid.
    virtual Result<Step> Inflate(std::string_view& in, char* out, size_t size) = 0;
    // A new member begins.
    virtual void Reset() = 0;
  };
  static constexpr size_t kBack = 16;

 private:
  Result<void> Fill();
  Result<bool> BeginMember();

  ByteSource source_;
  std::unique_ptr<Inflater> inflater_;
  std::vector<char> input_;  // kBack bytes that were before, then what was read
  std::string_view in_;      // of input_: not decompressed yet
  bool source_ended_ = false;
  bool in_member_ = false;
  bool first_ = true;
  bool ended_ = false;
};

}  // namespace ingot
