#include "adapters/mirror_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace ingot::adapters {

namespace {

constexpr std::string_view kNoBodySha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
constexpr size_t kMirrorNameBytes = 80;

std::vector<std::string_view> MirrorFields(std::string_view text) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t end = text.find('|');
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

// HAProxy writes "-" for what is not there. Empty for anything that is no base64.
std::string FromBase64(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text == "-" || text.size() % 4 != 0) return "";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    const size_t value = kDigits.find(c);
    if (value == std::string_view::npos) return "";
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out.push_back(static_cast<char>(bits >> have & 0xff));
  }
  return out;
}

template <typename T>
std::optional<T> MirrorNumber(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string LowerCase(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// Written into a request: nothing in it may end its line or begin another one.
bool OfOneLine(std::string_view text, char least) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return (c >= static_cast<unsigned char>(least) && c != 0x7f) || c == '\t';
  });
}

// Those of the connection that the request came by (RFC 9110 section 7.6.1), and its framing.
bool OfTheConnection(const std::string& name) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "connection", "content-length",    "expect",  "keep-alive",    "proxy-connection",
      "te",         "transfer-encoding", "upgrade", "x-ingot-shadow"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

}  // namespace

std::optional<MirrorLine> MirrorLine::Parse(std::string_view text) {
  while (text.ends_with('\n') || text.ends_with('\0')) text.remove_suffix(1);
  const std::vector<std::string_view> fields = MirrorFields(text);
  if (fields.size() != 13 || fields[0] != "1" || fields[5] == "-") return std::nullopt;
  const auto status = MirrorNumber<int>(fields[2]);
  if (!status ||
      !std::all_of(fields[5].begin(), fields[5].end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
    return std::nullopt;
  MirrorLine out;
  out.route = fields[1];
  out.status = *status;
  out.whole = fields[3] == "--" && *status >= 100;
  out.ms = MirrorNumber<uint64_t>(fields[4]).value_or(0);
  out.method = fields[5];
  out.path = FromBase64(fields[6]);
  out.headers = FromBase64(fields[7]);
  out.body = FromBase64(fields[8]);
  if (fields[9] != "-") out.source = fields[9];
  // What was hashed is the body only when it had come to its end.
  if (out.Bodiless())
    out.body_sha256 = kNoBodySha256;
  else if (fields[12] != "-" && fields[10] == fields[11])
    out.body_sha256 = fields[12];
  return out;
}

std::optional<std::string> MirrorLine::Request() const {
  if (path.empty() || path.front() != '/' || !OfOneLine(path, '!') || path.find('\t') != std::string::npos ||
      headers.empty() || !OfOneLine(source, ' '))
    return std::nullopt;
  std::string out = method + " " + path + " HTTP/1.1\r\n";
  uint64_t length = 0;
  std::string_view rest = headers;
  while (!rest.empty()) {
    const size_t end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (!OfOneLine(line, ' ')) return std::nullopt;
    const std::string name = LowerCase(line.substr(0, colon));
    // A body of unknown length was not kept.
    if (name == "transfer-encoding") return std::nullopt;
    if (name == "content-length") {
      std::string_view value = line.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
      const auto number = MirrorNumber<uint64_t>(value);
      if (!number) return std::nullopt;
      length = *number;
    }
    if (!OfTheConnection(name)) out.append(line).append("\r\n");
  }
  if (length != body.size()) return std::nullopt;
  if (!source.empty()) out += "X-Forwarded-For: " + source + "\r\n";
  if (length > 0) out += "Content-Length: " + std::to_string(length) + "\r\n";
  return out + "X-Ingot-Shadow: 1\r\nConnection: close\r\n\r\n" + body;
}

std::string MirrorLine::Name() const {
  const std::string where = path.substr(0, std::min(path.find('?'), kMirrorNameBytes));
  std::string out = method + " ";
  for (const char c : where) out.push_back(c > ' ' && c < 0x7f ? c : '?');
  return out;
}

}  // namespace ingot::adapters
