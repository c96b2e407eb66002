#include "platform/ids.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace ingot::platform {

namespace {

bool IsLabel(std::string_view text) {
  if (text.empty() || text.size() > 40 || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

bool IsDigest12(std::string_view text) {
  return text.size() == 12 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  for (size_t end = text.find(separator); end != std::string_view::npos; end = text.find(separator, begin)) {
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  parts.push_back(text.substr(begin));
  return parts;
}

Error Bad(std::string_view text, std::string_view what) {
  return Error(Code::kInvalid, "\"" + std::string(text.substr(0, 200)) + "\" is not " + std::string(what));
}

bool ParseOrdinal(std::string_view text, uint64_t& ordinal) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ordinal);
  const bool canonical = text.size() == 1 || (!text.empty() && text.front() != '0');
  return error == std::errc() && end == text.data() + text.size() && canonical;
}

}  // namespace

Result<EnvironmentId> EnvironmentId::Parse(std::string_view text) {
  const auto parts = Split(text, '/');
  if (parts.size() != 2 || !IsLabel(parts[0]) || !IsLabel(parts[1])) return Bad(text, "project/environment");
  return EnvironmentId(std::string(parts[0]), std::string(parts[1]));
}

Result<FleetId> FleetId::Parse(std::string_view text) {
  const size_t at = text.rfind('@');
  const size_t slash = text.substr(0, at).rfind('/');
  if (at == std::string_view::npos || slash == std::string_view::npos || !IsDigest12(text.substr(at + 1)) ||
      !IsLabel(text.substr(slash + 1, at - slash - 1)))
    return Bad(text, "a fleet; expected project/environment/service@0123456789ab");
  return FleetId(TRY(EnvironmentId::Parse(text.substr(0, slash))),
                 std::string(text.substr(slash + 1, at - slash - 1)), std::string(text.substr(at + 1)));
}

Result<InstanceId> InstanceId::Parse(std::string_view text) {
  const size_t slash = text.rfind('/');
  uint64_t ordinal = 0;
  if (slash == std::string_view::npos || !ParseOrdinal(text.substr(slash + 1), ordinal))
    return Bad(text, "an instance; expected project/environment/service@0123456789ab/1");
  return InstanceId(TRY(FleetId::Parse(text.substr(0, slash))), ordinal);
}

Result<InstanceId> InstanceId::ParseFileName(std::string_view text) {
  const auto parts = Split(text, '.');
  uint64_t ordinal = 0;
  if (parts.size() != 5 || !IsLabel(parts[0]) || !IsLabel(parts[1]) || !IsLabel(parts[2]) ||
      !IsDigest12(parts[3]) || !ParseOrdinal(parts[4], ordinal))
    return Bad(text, "an instance's file name");
  return InstanceId(FleetId(EnvironmentId(std::string(parts[0]), std::string(parts[1])),
                            std::string(parts[2]), std::string(parts[3])),
                    ordinal);
}

std::string InstanceId::FileName() const {
  return fleet_.environment().project() + "." + fleet_.environment().environment() + "." + fleet_.service() +
         "." + fleet_.digest() + "." + std::to_string(ordinal_);
}

}  // namespace ingot::platform
