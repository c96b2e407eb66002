// A content digest as OCI writes it (image-spec, descriptor.md, "Digests").
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::oci {

// "sha256:" + 64 lower-case hexadecimal digits, or "sha512:" + 128.
class Digest {
 public:
  Digest() = default;  // empty; only a placeholder until assigned
  // kInvalid for any other algorithm, length or letter.
  static Result<Digest> Parse(std::string_view text);
  // SHA-256 of the bytes.
  static Digest Of(std::string_view bytes);
  // Of the bytes, by "sha256" or "sha512"; kInvalid for any other algorithm.
  static Result<Digest> Of(std::string_view algorithm, std::string_view bytes);
  // From 64 hexadecimal digits that are known to be right (a Sha256 result).
  static Digest FromSha256Hex(std::string_view hex) { return Digest("sha256:" + std::string(hex)); }
  // The same from 128 digits.
  static Digest FromSha512Hex(std::string_view hex) { return Digest("sha512:" + std::string(hex)); }

  const std::string& Render() const { return text_; }
  std::string_view algorithm() const { return std::string_view(text_).substr(0, text_.find(':')); }
  std::string_view hex() const { return std::string_view(text_).substr(text_.find(':') + 1); }
  // The first 12 digits, for people.
  std::string_view Short() const { return hex().substr(0, 12); }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const Digest&) const = default;

 private:
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace ingot::oci

template <>
struct std::hash<ingot::oci::Digest> {
  size_t operator()(const ingot::oci::Digest& digest) const noexcept {
    return std::hash<std::string>()(digest.Render());
  }
};
