#include "oci/reference.h"

#include <algorithm>

namespace ingot::oci {

namespace {

bool IsLowerOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool IsAlphanumeric(char c) {
  return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z');
}
bool IsWord(char c) {
  return IsAlphanumeric(c) || c == '_';
}

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool IsComponent(std::string_view text) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerOrDigit(text[i])) {
      ++i;
      continue;
    }
    const size_t end = std::min(text.find_first_of("abcdefghijklmnopqrstuvwxyz0123456789", i), text.size());
    const std::string_view separator = text.substr(i, end - i);
    const bool dashes = separator.find_first_not_of('-') == std::string_view::npos;
    if (separator != "." && separator != "_" && separator != "__" && !dashes) return false;
    i = end;
  }
  return true;
}

bool IsRepository(std::string_view text) {
  if (text.size() > 255) return false;
  while (true) {
    const size_t slash = text.find('/');
    if (!IsComponent(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool IsPort(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// A domain name, an IPv4 address or an IPv6 address in brackets, with an optional port.
bool IsRegistry(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    if (text.substr(1, end - 1).find_first_not_of("0123456789abcdefABCDEF:") != std::string_view::npos)
      return false;
    const std::string_view rest = text.substr(end + 1);
    return rest.empty() || (rest.starts_with(':') && IsPort(rest.substr(1)));
  }
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos && !IsPort(text.substr(colon + 1))) return false;
  std::string_view host = text.substr(0, colon);
  while (true) {
    const std::string_view label = host.substr(0, host.find('.'));
    if (label.empty() || label.front() == '-' || label.back() == '-' ||
        !std::all_of(label.begin(), label.end(), [](char c) { return IsAlphanumeric(c) || c == '-'; }))
      return false;
    if (label.size() == host.size()) return true;
    host.remove_prefix(label.size() + 1);
  }
}

bool LooksLikeRegistry(std::string_view component) {
  return component.find_first_of(".:[") != std::string_view::npos || component == "localhost";
}

// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
bool IsTag(std::string_view text) {
  return !text.empty() && text.size() <= 128 && IsWord(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsWord(c) || c == '.' || c == '-'; });
}

}  // namespace

Result<Reference> Reference::Parse(std::string_view text) {
  const auto bad = [&](std::string_view part, std::string_view expected) {
    return Error(Code::kInvalid, "\"" + std::string(text.substr(0, 150)) + "\" is not an image reference: " +
                                     std::string(part) + "; expected " + std::string(expected));
  };
  Reference reference;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    Result<Digest> digest = Digest::Parse(rest.substr(at + 1));
    if (!digest) return bad("its digest", "sha256: and 64 lower-case hexadecimal digits after the @");
    reference.digest = *std::move(digest);
    rest = rest.substr(0, at);
  }
  if (const size_t slash = rest.find('/');
      slash != std::string_view::npos && LooksLikeRegistry(rest.substr(0, slash))) {
    reference.registry = rest.substr(0, slash);
    if (reference.registry.size() > 255 || !IsRegistry(reference.registry))
      return bad("its registry", "a host name with an optional port, such as registry.example:5000");
    rest = rest.substr(slash + 1);
  }
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    if (!IsTag(reference.tag))
      return bad("its tag", "at most 128 letters, digits, \"_\", \".\" and \"-\" after the colon");
    rest = rest.substr(0, colon);
  }
  if (!IsRepository(rest))
    return bad("its repository",
               "lower-case letters and digits, separated by \"/\", \".\", \"_\", \"__\" or \"-\"");
  reference.repository = rest;
  return reference;
}

std::string Reference::Render() const {
  std::string out = registry.empty() ? repository : registry + "/" + repository;
  if (!tag.empty()) out += ":" + tag;
  if (digest) out += "@" + digest->Render();
  return out;
}

Reference Reference::Normalized() const {
  Reference out = *this;
  if (out.registry.empty() || out.registry == "index.docker.io") out.registry = "docker.io";
  if (out.registry == "docker.io" && out.repository.find('/') == std::string::npos)
    out.repository = "library/" + out.repository;
  if (out.tag.empty() && !out.digest) out.tag = "latest";
  return out;
}

}  // namespace ingot::oci
