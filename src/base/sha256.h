// SHA-256 (FIPS 180-4), streaming. OpenSSL's low-level calls: the EVP layer's first fetch costs a short verb
// 1 ms.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot {

class Sha256 {
 public:
  using Bytes = std::array<uint8_t, 32>;

  Sha256();
  void Update(std::string_view bytes);
  // The digest of everything so far; the object must not be used afterwards.
  Bytes Finish();

 private:
  // SHA256_CTX, which only sha256.cc knows (112 bytes).
  alignas(8) std::array<unsigned char, 128> state_;
};

// 64 lower-case hexadecimal digits.
std::string Sha256Hex(std::string_view bytes);
std::string Hex(std::string_view bytes);
std::string Hex(const Sha256::Bytes& bytes);

}  // namespace ingot
