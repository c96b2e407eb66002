// HTTP/1.1 messages of the registry server as bytes (Boost.Beast's parser): heads of requests, chunked
// bodies, heads of answers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "registry/message.h"

namespace ingot::adapters {

inline constexpr size_t kMostHeadBytes = size_t{16} << 10;

// A request's head: what it asks for, and how its body is framed.
struct HttpHead {
  registry::Request request;
  bool keep_alive = true;
  bool chunked = false;
  bool expects_continue = false;  // the client waits for "100 Continue" before it sends the body
  size_t bytes = 0;               // the head's own
  bool HasBody() const { return chunked || request.content_length.value_or(0) > 0; }
};

enum class HeadStatus { kIncomplete, kComplete, kMalformed, kTooLong };
// Of the bytes at the beginning of `input`. `searched`: how many of them had no end of a head at the last
// call.
HeadStatus ParseHead(std::string_view input, size_t searched, HttpHead& head);

// A body with Transfer-Encoding: chunked, decoded in place.
class ChunkedBody {
 public:
  // `head`: the bytes of the request's head.
  explicit ChunkedBody(std::string_view head);
  ~ChunkedBody();
  // Moves the contents that are in `data` to its beginning. `decoded`: how many bytes they are; `used`: how
  // many bytes of `data` were looked at: the others are to be given again with what follows them. False:
  // malformed.
  bool Decode(char* data, size_t size, size_t& decoded, size_t& used);
  bool Done() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The head of an answer, up to and with the empty line. `date`: RFC 9110 section 5.6.7.
void AppendHead(std::string& out, const registry::Response& response, uint64_t body_bytes, bool keep_alive,
                std::string_view date);
// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string HttpDate(int64_t seconds);

}  // namespace ingot::adapters
