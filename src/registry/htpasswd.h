// Htpasswd: users and their passwords' bcrypt hashes, a line each: "NAME:$2y$10$…".
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::registry {

inline constexpr size_t kMaxHtpasswdBytes = size_t{4} << 20;

struct Htpasswd {
  std::map<std::string, std::string, std::less<>> users;  // name → hash

  // Empty lines and those that begin with # are left out. kInvalid, with the number of the line: no name, a
  // name twice, or a hash that is no bcrypt of a bearable cost (base/password.h).
  static Result<Htpasswd> Parse(std::string_view bytes);
  // The inverse, in the order of names.
  std::string Render() const;
  // A name that can stand in the file and in a rule: printable ASCII without a space or colon, at most 128,
  // and none of the words that mean somebody else.
  static bool IsUserName(std::string_view name);
};

}  // namespace ingot::registry
