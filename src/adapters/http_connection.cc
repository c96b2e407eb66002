#include "adapters/http_connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace ingot::adapters {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr size_t kBodyLimit = size_t{16} << 20;
// What a body moves at least between two deadlines.
constexpr size_t kLeastMoved = size_t{32} << 10;
// Of a body that nobody wants any more: read, so that the client sees the answer and no reset.
constexpr size_t kMostDrained = size_t{64} << 20;
constexpr auto kDrainTime = std::chrono::seconds(5);

std::string DecodePercent(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

void ParseTarget(std::string_view target, HttpRequest& request) {
  const size_t mark = target.find('?');
  request.path = DecodePercent(target.substr(0, mark));
  if (mark == std::string_view::npos) return;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    const size_t equals = pair.find('=');
    request.query[DecodePercent(pair.substr(0, equals))] =
        equals == std::string_view::npos ? "" : DecodePercent(pair.substr(equals + 1));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
  }
}

std::string BearerOf(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return "";
  for (size_t i = 0; i < kScheme.size(); ++i)
    if ((authorization[i] | 0x20) != (kScheme[i] | 0x20)) return "";
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  while (authorization.ends_with(' ')) authorization.remove_suffix(1);
  return std::string(authorization);
}

class Reply final : public HttpReply {
 public:
  Reply(HttpWire& wire, const std::atomic<bool>& stopping, bool keep_alive)
      : wire_(wire), stopping_(stopping), keep_alive_(keep_alive) {}

  Result<void> Send(int status, std::string_view content_type, std::string_view body) override {
    return Send(status, content_type, body, {});
  }
  Result<void> Send(int status, std::string_view content_type, std::string_view body,
                    const std::vector<std::pair<http::field, std::string>>& headers) {
    http::response<http::string_body> response(static_cast<http::status>(status), 11, std::string(body));
    response.set(http::field::content_type, content_type);
    for (const auto& [name, value] : headers) response.set(name, value);
    response.keep_alive(keep_alive_);
    response.prepare_payload();
    answered_ = true;
    beast::error_code ec;
    http::write(wire_, response, ec);
    return Check(ec);
  }

  Result<void> Begin(int status, std::string_view content_type) override {
    http::response<http::empty_body> response(static_cast<http::status>(status), 11);
    response.set(http::field::content_type, content_type);
    response.keep_alive(keep_alive_);
    response.chunked(true);
    answered_ = true;
    unfinished_ = true;
    http::response_serializer<http::empty_body> serializer(response);
    beast::error_code ec;
    http::write_header(wire_, serializer, ec);
    return Check(ec);
  }

  Result<void> Write(std::string_view chunk) override {
    if (chunk.empty()) return {};
    beast::error_code ec;
    asio::write(wire_, http::make_chunk(asio::const_buffer(chunk.data(), chunk.size())), ec);
    return Check(ec);
  }

  Result<void> End() override {
    beast::error_code ec;
    asio::write(wire_, http::make_chunk_last(), ec);
    unfinished_ = false;
    return Check(ec);
  }

  bool Gone() override {
    if (stopping_) return true;
    struct pollfd p = {wire_.fd(), POLLRDHUP, 0};
    return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  bool answered() const { return answered_; }
  // Nothing can follow on this connection: it broke, or a stream has no end, which its client waits for.
  bool broken() const { return broken_ || unfinished_; }
  void CloseAfterwards() { keep_alive_ = false; }
  bool keep_alive() const { return keep_alive_; }

 private:
  Result<void> Check(const beast::error_code& ec) {
    if (!ec) return {};
    broken_ = true;
    return Error(Code::kCancelled, "the client has gone: " + ec.message());
  }

  HttpWire& wire_;
  const std::atomic<bool>& stopping_;
  bool keep_alive_;
  bool answered_ = false;
  bool broken_ = false;
  bool unfinished_ = false;
};

using BodyParser = http::request_parser<http::buffer_body>;

// The next bytes of a body; 0: that was all.
Result<size_t> ReadBody(HttpWire& wire, beast::flat_buffer& buffer, BodyParser& parser, char* to,
                        size_t size) {
  while (!parser.is_done()) {
    parser.get().body().data = to;
    parser.get().body().size = size;
    parser.get().body().more = true;
    beast::error_code ec;
    http::read_some(wire, buffer, parser, ec);
    if (ec && ec != http::error::need_buffer)
      return Error(Code::kCancelled, "the client has gone, or sends too slowly: " + ec.message());
    const size_t got = size - parser.get().body().size;
    if (got > 0) return got;
  }
  return size_t{0};
}

class Conversation {
 public:
  Conversation(HttpWire& wire, const HttpConnectionTimes& times, const std::atomic<bool>& stopping,
               const HttpHandler& handler, const HttpRules& rules)
      : wire_(wire), times_(times), stopping_(stopping), handler_(handler), rules_(rules) {}

  void Run(const HttpRequest& known, const std::function<std::string()>& certificate) {
    bool first = true;
    while (!stopping_) {
      if (!first && buffer_.size() == 0 && !AwaitNext()) return;
      first = false;
      wire_.Allow(times_.head, 0);
      BodyParser parser;
      parser.body_limit(boost::none);
      beast::error_code ec;
      http::read_header(wire_, buffer_, parser, ec);
      if (ec) return;
      HttpRequest request = known;
      const auto& head = parser.get();
      request.method = std::string(head.method_string());
      request.bearer = BearerOf(std::string_view(head[http::field::authorization]));
      if (certificate) request.certificate = certificate();
      ParseTarget(std::string_view(head.target()), request);
      wire_.Allow(times_.stall, kLeastMoved);
      Reply reply(wire_, stopping_, head.keep_alive());
      Answer(request, reply, parser);
      if (!parser.is_done()) return Drain(parser);
      if (!reply.keep_alive() || reply.broken()) return;
    }
  }

 private:
  // Waits for the first bytes of another request.
  bool AwaitNext() {
    wire_.Allow(times_.idle, 0);
    beast::error_code ec;
    buffer_.commit(wire_.read_some(buffer_.prepare(4096), ec));
    return !ec;
  }

  void Answer(HttpRequest& request, Reply& reply, BodyParser& parser) {
    const auto refuse = [&](int status, std::string_view body) {
      reply.CloseAfterwards();
      static_cast<void>(reply.Send(status, "text/plain", body).has_value());
    };
    if (rules_.gate) {
      if (const auto refusal = rules_.gate(request)) {
        reply.CloseAfterwards();
        std::vector<std::pair<http::field, std::string>> headers;
        if (refusal->status == 401) headers.emplace_back(http::field::www_authenticate, "Bearer");
        if (!refusal->retry_after.empty())
          headers.emplace_back(http::field::retry_after, refusal->retry_after);
        static_cast<void>(
            reply.Send(refusal->status, "application/json", refusal->body, headers).has_value());
        return;
      }
    }
    const bool streams = rules_.streams && rules_.streams(request);
    const auto length = parser.content_length();
    if (!streams && length && *length > kBodyLimit) return refuse(413, "the body is larger than 16 MiB\n");
    if (beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done()) {
      constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      beast::error_code ec;
      asio::write(wire_, asio::const_buffer(kContinue.data(), kContinue.size()), ec);
      if (ec) return;
    }
    const ByteSource body = [&](char* to, size_t size) { return ReadBody(wire_, buffer_, parser, to, size); };
    if (streams) {
      request.stream = body;
    } else {
      const auto read = ReadWhole(body, length.value_or(0), request.body);
      if (read == Whole::kTooLarge) return refuse(413, "the body is larger than 16 MiB\n");
      if (read == Whole::kGone) return;
    }
    try {
      handler_(request, reply);
    } catch (const std::exception&) {
      // One request, whatever it found in the handler, is not the end of the daemon.
      reply.CloseAfterwards();
    }
    if (!reply.answered())
      static_cast<void>(reply.Send(500, "text/plain", "no answer was made for this request\n").has_value());
  }

  enum class Whole { kRead, kTooLarge, kGone };
  Whole ReadWhole(const ByteSource& body, uint64_t length, std::string& out) {
    constexpr size_t kPieceBytes = size_t{64} << 10;
    out.reserve(std::min<uint64_t>(length, kBodyLimit));
    while (true) {
      const size_t before = out.size();
      out.resize(before + std::min<uint64_t>(
                              kPieceBytes, std::max<uint64_t>(length > before ? length - before : 0, 4096)));
      const auto n = body(out.data() + before, out.size() - before);
      out.resize(before + (n ? *n : 0));
      if (!n) return Whole::kGone;
      if (*n == 0) return Whole::kRead;
      if (out.size() > kBodyLimit) return Whole::kTooLarge;
    }
  }

  // Closed with bytes unread, the kernel would reset the connection and the client might not see the answer.
  void Drain(BodyParser& parser) {
    wire_.Shutdown();
    wire_.Allow(kDrainTime, 0);
    std::array<char, 16 << 10> away;
    for (size_t drained = 0; drained < kMostDrained && !stopping_;) {
      const auto n = ReadBody(wire_, buffer_, parser, away.data(), away.size());
      if (!n || *n == 0) return;
      drained += *n;
    }
  }

  HttpWire& wire_;
  const HttpConnectionTimes& times_;
  const std::atomic<bool>& stopping_;
  const HttpHandler& handler_;
  const HttpRules& rules_;
  // A chunk's header that never ends does not grow it.
  beast::flat_buffer buffer_{size_t{64} << 10};
};

}  // namespace

void ServeHttp(HttpWire& wire, const HttpConnectionTimes& times, const std::atomic<bool>& stopping,
               const HttpHandler& handler, const HttpRules& rules, const HttpRequest& known,
               const std::function<std::string()>& certificate) {
  Conversation(wire, times, stopping, handler, rules).Run(known, certificate);
}

}  // namespace ingot::adapters
