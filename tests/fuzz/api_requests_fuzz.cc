// Any bytes as what a client of the daemon's API sends over one TLS connection, in pieces: heads are parsed,
// the gate asks who it is, bodies are framed or streamed, and each request gets one answer. No crash, and
// whatever is said:
//
//   - nobody whom the gate does not let in reaches the handler, nor is his body read for it;
//   - the handler sees at most 16 MiB of a body, or exactly the bytes of a stream, and `peer` is the gate's;
//   - what is written are whole answers, one after the other, and none has a byte of the client's in its
//   head.
//
// The first byte chooses how large the pieces are.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "adapters/http_connection.h"

namespace {

using namespace ingot;            // NOLINT(google-build-using-namespace): a test program
using namespace ingot::adapters;  // NOLINT(google-build-using-namespace)

constexpr size_t kMostBody = size_t{16} << 20;

void Need(bool held) {
  if (!held) std::abort();
}

class MemoryWire final : public HttpWire {
 public:
  MemoryWire(std::string_view input, size_t piece) : input_(input), piece_(piece) {}
  int fd() const override { return -1; }
  void Allow(Milliseconds, size_t) override {}
  void Shutdown() override { is_shut_ = true; }
  const std::string& written() const { return written_; }
  size_t read() const { return read_; }

 private:
  size_t Read(char* buffer, size_t size, boost::beast::error_code& ec) override {
    const size_t n = input_.copy(buffer, std::min(size, piece_));
    input_.remove_prefix(n);
    read_ += n;
    ec = {};
    if (n == 0) ec = boost::asio::error::eof;
    return n;
  }
  size_t Write(const iovec* pieces, size_t count, boost::beast::error_code& ec) override {
    Need(!is_shut_);
    size_t n = 0;
    for (size_t i = 0; i < count; ++i) {
      written_.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
      n += pieces[i].iov_len;
    }
    ec = {};
    return n;
  }

  std::string_view input_;
  const size_t piece_;
  std::string written_;
  size_t read_ = 0;
  bool is_shut_ = false;
};

// Takes whole answers from the beginning; how many. The last may be cut off by a handler that broke it off,
// which ends the connection.
size_t CountAnswers(std::string_view text, size_t broken_off) {
  size_t count = 0;
  while (!text.empty()) {
    Need(text.starts_with("HTTP/1.1 "));
    const size_t end = text.find("\r\n\r\n");
    Need(end != std::string_view::npos);
    std::string_view head = text.substr(0, end + 2);
    text.remove_prefix(end + 4);
    const int status = std::atoi(std::string(head.substr(9, 3)).c_str());
    if (status == 100) continue;
    ++count;
    size_t length = 0;
    bool is_chunked = false;
    head.remove_prefix(head.find("\r\n") + 2);
    while (!head.empty()) {
      const std::string_view line = head.substr(0, head.find("\r\n"));
      head.remove_prefix(line.size() + 2);
      const std::string_view name = line.substr(0, line.find(": "));
      const std::string_view value = line.substr(std::min(line.size(), name.size() + 2));
      // Whatever was asked for, these are all that an answer says of itself.
      Need(name == "Content-Type" || name == "Content-Length" || name == "Connection" ||
           name == "Transfer-Encoding" || name == "WWW-Authenticate" || name == "Retry-After");
      Need(value.find_first_of("\r\n") == std::string_view::npos);
      if (name == "Content-Length") length = std::strtoul(std::string(value).c_str(), nullptr, 10);
      if (name == "Transfer-Encoding") is_chunked = value == "chunked";
    }
    if (!is_chunked) {
      Need(length <= text.size());
      text.remove_prefix(length);
      continue;
    }
    while (true) {
      if (text.empty()) {
        Need(broken_off > 0);
        return count;
      }
      const size_t size = std::strtoul(std::string(text.substr(0, 16)).c_str(), nullptr, 16);
      const size_t line = text.find("\r\n");
      Need(line != std::string_view::npos && text.size() >= line + 2 + size + 2);
      text.remove_prefix(line + 2 + size + 2);
      if (size == 0) break;
    }
  }
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr size_t kPieces[] = {1, 2, 7, 64, 511, 4096, 65536};
  MemoryWire wire(std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1),
                  kPieces[data[0] % std::size(kPieces)]);
  size_t let_in = 0;
  size_t handled = 0;
  size_t answers = 0;
  size_t broken_off = 0;
  HttpRules rules;
  rules.gate = [&](HttpRequest& request) -> std::optional<HttpRefusal> {
    // Nothing of a body is there yet.
    Need(request.body.empty() && !request.stream);
    Need(request.peer.name.empty() && request.address == "192.0.2.1");
    if (request.bearer == "busy") return HttpRefusal{429, "{}", "60"};
    if (request.bearer != "ingot_secret") return HttpRefusal{401, "{}", {}};
    request.peer.name = "token:ci";
    ++let_in;
    return std::nullopt;
  };
  rules.streams = [](const HttpRequest& request) {
    return request.method == "POST" && request.path.ends_with("/images");
  };
  const HttpHandler handler = [&](const HttpRequest& request, HttpReply& reply) {
    ++handled;
    Need(request.peer.name == "token:ci" && request.bearer == "ingot_secret");
    Need(request.body.size() <= kMostBody && request.method.find_first_of(" \r\n") == std::string::npos);
    Need(request.path.find('?') == std::string::npos || request.path.find("%3F") == std::string::npos);
    size_t streamed = 0;
    if (request.stream) {
      Need(request.body.empty());
      char piece[97];
      while (true) {
        const auto n = request.stream(piece, sizeof piece);
        if (!n || *n == 0) break;
        Need(*n <= sizeof piece);
        streamed += *n;
        // One that has enough leaves the rest unread.
        if (request.query.contains("some")) break;
      }
      Need(streamed <= wire.read());
    }
    if (request.path == "/nothing") return;
    ++answers;
    if (request.path == "/broken") {
      ++broken_off;
      static_cast<void>(reply.Begin(200, "application/jsonl").has_value());
      static_cast<void>(reply.Write("x").has_value());
      return;
    }
    if (request.path == "/throws") {
      --answers;
      throw std::runtime_error("a bug");
    }
    if (request.query.contains("stream")) {
      static_cast<void>(reply.Begin(200, "application/jsonl").has_value());
      static_cast<void>(reply.Write(request.body).has_value());
      static_cast<void>(reply.Write(std::to_string(streamed)).has_value());
      static_cast<void>(reply.End().has_value());
      return;
    }
    static_cast<void>(reply.Send(200, "application/json", request.path + request.body).has_value());
  };
  HttpRequest known;
  known.address = "192.0.2.1";
  const std::atomic<bool> stopping{false};
  ServeHttp(wire, {}, stopping, handler, rules, known, [] { return std::string("cert:build-1"); });
  Need(handled <= let_in);
  Need(CountAnswers(wire.written(), broken_off) >= answers);
  return 0;
}
