// A request to the registry and its answer, as values: no socket, no HTTP syntax.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_stream.h"
#include "base/fd.h"
#include "base/result.h"

namespace ingot::registry {

struct Request {
  std::string method;  // "GET"
  std::string path;    // percent-decoded, without the query: "/v2/shop/web/tags/list"
  std::vector<std::pair<std::string, std::string>> query;  // percent-decoded, in order; keys may repeat
  std::optional<uint64_t> content_length;                  // none: no body, or one of unknown length
  std::string content_type;                                // these headers as sent; empty: absent
  std::string content_range;
  std::string range;
  std::string if_none_match;
  std::string authorization;
  std::string host;

  // Of the connection.
  std::string peer;         // the client's address without a port; for IPv6 its /64
  std::string certificate;  // "cert:NAME", of a client certificate that was verified; empty: none
  bool tls = false;

  // Of Access: who asks, in what it lets through; empty: anonymous.
  std::string who;
  // Where Access also writes it, before there is an answer. Null, or outlives the Exchange.
  std::string* found_who = nullptr;

  // The first value of a query parameter.
  std::optional<std::string> Parameter(std::string_view key) const;
};

// Bytes of a file.
struct FileBody {
  Fd fd;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

// Bytes that are made while they are sent, exactly `size_bytes` of them. `write` blocks, may be called once,
// on any thread, and must outlive neither the registry nor its store.
struct MadeBody {
  uint64_t size_bytes = 0;
  std::function<Result<void>(const ByteSink&)> write;
};

// A file that somebody is still writing, for many readers at once. Any thread.
class GrowingFile {
 public:
  virtual ~GrowingFile() = default;
  virtual int fd() const = 0;
  struct Grown {
    uint64_t size_bytes = 0;  // that can be read
    bool failed = false;      // and nothing will come any more
  };
  // When it has no more than `beyond` bytes and may get some, `wake` is called once that has changed.
  virtual Grown Look(uint64_t beyond, std::function<void()> wake) = 0;
};

// A part of it, exactly `size_bytes` bytes in the end.
struct GrowingBody {
  std::shared_ptr<GrowingFile> file;  // shared by its writer and all who read it
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

struct Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;  // without Content-Length
  // One of them: bytes, part of a file or of one that grows, or what is made.
  std::string text;
  std::unique_ptr<FileBody> file;
  std::unique_ptr<MadeBody> made;
  std::unique_ptr<GrowingBody> growing;
  // Of a HEAD: the length that a GET would have, with an empty body here.
  std::optional<uint64_t> head_bytes;

  Response& With(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  uint64_t BodyBytes() const;
  // The first value, or "".
  std::string_view Header(std::string_view name) const;
};

// One request being answered. Its functions are called one after another, on any thread. Dropping it before
// Finish is what happens when the client has gone: nothing of it counts, except that an upload keeps what was
// written.
class Exchange {
 public:
  virtual ~Exchange() = default;
  // Whether Finish may wait for the disk or for other writers; Write always may.
  virtual bool Blocks() const = 0;
  // Whether Finish may also wait for another host.
  virtual bool WaitsForOthers() const { return false; }
  // Whether the request's body matters. If not, Finish can be called before it has been read.
  virtual bool WantsBody() const = 0;
  // The next bytes of the body. They stay as they are while `keep` is held; without it, until Write returns.
  // False: no more are wanted, call Finish.
  virtual bool Write(std::string_view bytes, std::shared_ptr<const void> keep = nullptr) = 0;
  // Once, after the whole body.
  virtual Response Finish() = 0;
};

}  // namespace ingot::registry
