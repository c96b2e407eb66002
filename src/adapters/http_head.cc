#include "adapters/http_head.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <charconv>
#include <cstring>
#include <ctime>
#include <functional>

namespace ingot::adapters {
namespace {

using RequestParser = boost::beast::http::request_parser<boost::beast::http::empty_body>;
using HttpField = boost::beast::http::field;

constexpr std::string_view kHeadEnd = "\r\n\r\n";

int HexDigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string DecodePercent(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigitValue(text[i + 1]) >= 0 &&
        HexDigitValue(text[i + 2]) >= 0) {
      out += static_cast<char>(HexDigitValue(text[i + 1]) * 16 + HexDigitValue(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return out;
}

void SplitTarget(std::string_view target, registry::Request& request) {
  const size_t mark = target.find('?');
  request.path = DecodePercent(target.substr(0, mark), false);
  if (mark == std::string_view::npos) return;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    const size_t equals = pair.find('=');
    const std::string_view value = equals == std::string_view::npos ? "" : pair.substr(equals + 1);
    // A media type in a query ("…+json") is often sent as it is: its plus is one.
    request.query.emplace_back(DecodePercent(pair.substr(0, equals), false), DecodePercent(value, false));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
  }
}

std::string_view View(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

void Prepare(RequestParser& parser) {
  parser.header_limit(kMostHeadBytes);
  parser.body_limit(boost::none);
}

}  // namespace

HeadStatus ParseHead(std::string_view input, size_t searched, HttpHead& head) {
  const size_t from = searched < kHeadEnd.size() ? 0 : searched - kHeadEnd.size() + 1;
  const size_t end = input.find(kHeadEnd, from);
  if (end == std::string_view::npos)
    return input.size() > kMostHeadBytes ? HeadStatus::kTooLong : HeadStatus::kIncomplete;
  head.bytes = end + kHeadEnd.size();
  if (head.bytes > kMostHeadBytes) return HeadStatus::kTooLong;
  RequestParser parser;
  Prepare(parser);
  boost::beast::error_code error;
  const size_t used = parser.put(boost::asio::const_buffer(input.data(), head.bytes), error);
  if (error || !parser.is_header_done() || used != head.bytes) return HeadStatus::kMalformed;
  const auto& message = parser.get();
  head.request.method = View(message.method_string());
  head.chunked = parser.chunked();
  head.keep_alive = parser.keep_alive();
  if (const auto length = parser.content_length()) head.request.content_length = *length;
  // Framing that is not understood would make the body a request.
  const auto coding = message.find(HttpField::transfer_encoding);
  if (coding != message.end() && (!head.chunked || !boost::beast::iequals(coding->value(), "chunked")))
    return HeadStatus::kMalformed;
  head.expects_continue = boost::beast::iequals(message[HttpField::expect], "100-continue");
  head.request.content_type = View(message[HttpField::content_type]);
  head.request.content_range = View(message[HttpField::content_range]);
  head.request.range = View(message[HttpField::range]);
  head.request.if_none_match = View(message[HttpField::if_none_match]);
  head.request.authorization = View(message[HttpField::authorization]);
  head.request.host = View(message[HttpField::host]);
  SplitTarget(View(message.target()), head.request);
  return HeadStatus::kComplete;
}

struct ChunkedBody::State {
  RequestParser parser;
  char* out = nullptr;
  std::function<size_t(uint64_t, boost::beast::string_view, boost::beast::error_code&)> on_body;
};

ChunkedBody::ChunkedBody(std::string_view head) : state_(std::make_unique<State>()) {
  State& state = *state_;
  Prepare(state.parser);
  state.on_body = [&state](uint64_t, boost::beast::string_view body, boost::beast::error_code&) {
    // The contents lie behind the sizes before them, so they only move towards the front.
    std::memmove(state.out, body.data(), body.size());
    state.out += body.size();
    return body.size();
  };
  state.parser.on_chunk_body(state.on_body);
  boost::beast::error_code error;
  // It was parsed before: no error.
  state.parser.put(boost::asio::const_buffer(head.data(), head.size()), error);
  state.parser.eager(true);
}

ChunkedBody::~ChunkedBody() = default;

bool ChunkedBody::Decode(char* data, size_t size, size_t& decoded, size_t& used) {
  state_->out = data;
  used = 0;
  while (used < size && !state_->parser.is_done()) {
    boost::beast::error_code error;
    const size_t n = state_->parser.put(boost::asio::const_buffer(data + used, size - used), error);
    used += n;
    if (error == boost::beast::http::error::need_more) break;
    if (error) return false;
    if (n == 0) break;
  }
  decoded = static_cast<size_t>(state_->out - data);
  return true;
}

bool ChunkedBody::Done() const {
  return state_->parser.is_done();
}

void AppendHead(std::string& out, const registry::Response& response, uint64_t body_bytes, bool keep_alive,
                std::string_view date) {
  char number[20];
  const auto decimal = [&](uint64_t value) {
    return std::string_view(number,
                            static_cast<size_t>(std::to_chars(number, number + 20, value).ptr - number));
  };
  const auto status = boost::beast::http::int_to_status(static_cast<unsigned>(response.status));
  out += "HTTP/1.1 ";
  out += decimal(static_cast<uint64_t>(response.status));
  out += ' ';
  out += View(boost::beast::http::obsolete_reason(status));
  out += "\r\nDate: ";
  out += date;
  out += "\r\nDocker-Distribution-API-Version: registry/2.0\r\n";
  for (const auto& [name, value] : response.headers) {
    out += name;
    out += ": ";
    out += value;
    out += "\r\n";
  }
  if (response.status != 204 && response.status != 304) {
    out += "Content-Length: ";
    out += decimal(body_bytes);
    out += "\r\n";
  }
  if (!keep_alive) out += "Connection: close\r\n";
  out += "\r\n";
}

std::string HttpDate(int64_t seconds) {
  const std::time_t time = seconds;
  struct tm parts {};
  ::gmtime_r(&time, &parts);
  char text[40];
  return std::string(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

}  // namespace ingot::adapters
