// One request that HAProxy has answered, as the line that it writes of it (mirror_rules.h), and the request
// that copies it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ingot::adapters {

struct MirrorLine {
  std::string route;  // the value of the route map that it was sent by
  std::string method;
  std::string path;     // with its query; empty: it could not be written down
  std::string headers;  // lines, as they came; empty: they could not be written down
  std::string body;
  std::string source;  // the client's address, when it came from outside
  int status = 0;      // of the answer
  bool whole = false;  // it was sent to its end
  uint64_t ms = 0;     // to its headers
  // SHA-256 of its body, hexadecimal in capitals; unset: too large, of unknown length, or not looked at.
  std::optional<std::string> body_sha256;

  // nullopt: no such line; HAProxy writes others as well.
  static std::optional<MirrorLine> Parse(std::string_view text);
  // HTTP/1.1, with "Connection: close" and "X-Ingot-Shadow: 1". nullopt: it cannot be copied as it was.
  std::optional<std::string> Request() const;
  // "GET /path": without the query, which may hold what is nobody's business.
  std::string Name() const;
  // Its answer has no body, whatever the headers say.
  bool Bodiless() const { return method == "HEAD" || status == 204 || status == 304; }
};

}  // namespace ingot::adapters
