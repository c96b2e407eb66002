#include "oci/base64.h"

#include <cstdint>

namespace ingot::oci {
namespace {

constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int ValueOf(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

}  // namespace

std::string RenderBase64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < n ? static_cast<uint8_t>(bytes[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k) text += k <= n ? kLetters[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

Result<std::string> ParseBase64(std::string_view text) {
  const Error wrong(Code::kInvalid, "not base64 (RFC 4648, with padding)");
  if (text.size() % 4 != 0) return wrong;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    size_t letters = 4;
    if (last && text[i + 3] == '=') letters = text[i + 2] == '=' ? 2 : 3;
    uint32_t group = 0;
    for (size_t k = 0; k < 4; ++k) {
      const int value = k < letters ? ValueOf(text[i + k]) : 0;
      if (value < 0) return wrong;
      group = group << 6 | static_cast<uint32_t>(value);
    }
    const size_t n = letters - 1;
    if ((group & ((1U << (8 * (3 - n))) - 1)) != 0) return wrong;
    for (size_t k = 0; k < n; ++k) bytes += static_cast<char>(group >> (16 - 8 * k) & 255);
  }
  return bytes;
}

}  // namespace ingot::oci
