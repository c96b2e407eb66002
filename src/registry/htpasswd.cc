#include "registry/htpasswd.h"

#include <algorithm>

#include "base/password.h"

namespace ingot::registry {

bool Htpasswd::IsUserName(std::string_view name) {
  return !name.empty() && name.size() <= 128 && name.front() != '#' && name != "anonymous" &&
         name != "authenticated" &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != ':'; });
}

Result<Htpasswd> Htpasswd::Parse(std::string_view bytes) {
  Htpasswd out;
  size_t number = 0;
  while (!bytes.empty()) {
    std::string_view line = bytes.substr(0, bytes.find('\n'));
    bytes.remove_prefix(std::min(bytes.size(), line.size() + 1));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::string at = "line " + std::to_string(number) + ": ";
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !IsUserName(line.substr(0, colon)))
      return Error(Code::kInvalid, at + "expected NAME:HASH");
    // The hash is not repeated: a log is no place for one.
    if (!IsPasswordHash(line.substr(colon + 1)))
      return Error(Code::kInvalid, at + "the password is no bcrypt hash of a cost up to 14; write it with "
                                        "`ingot registry user set` or `htpasswd -B`");
    if (!out.users.emplace(line.substr(0, colon), line.substr(colon + 1)).second)
      return Error(Code::kInvalid, at + "this user has a line already");
  }
  return out;
}

std::string Htpasswd::Render() const {
  std::string out;
  for (const auto& [name, hash] : users) out += name + ":" + hash + "\n";
  return out;
}

}  // namespace ingot::registry
