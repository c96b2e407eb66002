#include "adapters/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace ingot::adapters {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Local = asio::local::stream_protocol;

Error Lost(const beast::error_code& ec) {
  return Error(Code::kUnavailable, "the connection to the daemon broke: " + ec.message() +
                                       "; what it had begun it will finish or revert, see `ingot status`");
}

}  // namespace

std::string PercentEncode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
        c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

Result<HttpAnswer> HttpClient::Call(std::string_view method, const std::string& target, std::string_view body,
                                    const std::function<bool(std::string_view line)>& on_line) {
  if (socket_.native().size() > 107)
    return Error(Code::kInvalid, "the socket path " + socket_.string() + " is longer than 107 bytes");
  asio::io_context context;
  Local::socket socket(context);
  beast::error_code ec;
  socket.connect(Local::endpoint(socket_.string()), ec);
  if (ec == boost::system::errc::permission_denied)
    return Error(Code::kPermission, "this user may not ask the daemon on " + socket_.string() +
                                        "; run as root, or in the group that `api` of host.yaml names");
  if (ec)
    return Error(Code::kUnavailable, "no daemon listens on " + socket_.string() +
                                         "; start one with `ingot serve` (as root, with the same --root)");
  http::request<http::string_body> request;
  request.method_string(method);
  request.target(target);
  request.version(11);
  request.set(http::field::host, "ingot");
  request.set(http::field::connection, "close");
  if (!body.empty()) request.set(http::field::content_type, "application/json");
  request.body() = std::string(body);
  request.prepare_payload();
  http::write(socket, request, ec);
  if (ec) return Lost(ec);

  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(uint64_t{1} << 30);
  http::read_header(socket, buffer, parser, ec);
  if (ec) return Lost(ec);
  HttpAnswer answer;
  answer.status = static_cast<int>(parser.get().result_int());
  const bool stream = on_line && answer.status >= 200 && answer.status < 300;
  std::string& received = parser.get().body();
  while (!parser.is_done()) {
    http::read_some(socket, buffer, parser, ec);
    if (ec == http::error::end_of_stream || (ec && parser.is_done())) break;
    if (ec) return Lost(ec);
    if (!stream) continue;
    size_t begin = 0;
    for (size_t end = received.find('\n'); end != std::string::npos; end = received.find('\n', begin)) {
      if (!on_line(std::string_view(received).substr(begin, end - begin))) return answer;
      begin = end + 1;
    }
    received.erase(0, begin);
  }
  if (stream && !received.empty()) static_cast<void>(on_line(received));
  if (!stream) answer.body = std::move(received);
  return answer;
}

}  // namespace ingot::adapters
