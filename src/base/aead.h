// Bytes that only who has the key can read, and nobody can change unnoticed: AES-256-GCM (NIST SP 800-38D).
// aead.cc is the only file that knows OpenSSL's ciphers.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot {

inline constexpr size_t kAeadKeyBytes = 32;
inline constexpr size_t kAeadNonceBytes = 12;
inline constexpr size_t kAeadTagBytes = 16;

// Nonce, ciphertext and tag, in this order. The nonce is the kernel's randomness, so one key may seal some
// 2^32 values. Opens only with the same `bound`, which is not in the result. The key has kAeadKeyBytes.
Result<std::string> SealBytes(std::string_view key, std::string_view bound, std::string_view bytes);
// kCorrupt: another key, other bytes or another `bound`; which, nobody can tell.
Result<std::string> OpenSealed(std::string_view key, std::string_view bound, std::string_view sealed);

// Overwrites the bytes, in a way that no optimiser leaves out, and empties the text.
void Cleanse(std::string& text);

// Text that is overwritten when it dies. Moved from, it is empty.
class SecretText {
 public:
  SecretText() = default;
  explicit SecretText(std::string text) : text_(std::move(text)) {}
  SecretText(SecretText&& other) noexcept : text_(std::move(other.text_)) { Cleanse(other.text_); }
  SecretText& operator=(SecretText&& other) noexcept {
    Cleanse(text_);
    text_.swap(other.text_);
    return *this;
  }
  SecretText(const SecretText&) = default;
  SecretText& operator=(const SecretText&) = delete;
  ~SecretText() { Cleanse(text_); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace ingot
