// SHA-512 (FIPS 180-4), streaming; as Sha256.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot {

class Sha512 {
 public:
  using Bytes = std::array<uint8_t, 64>;

  Sha512();
  void Update(std::string_view bytes);
  // The digest of everything so far; the object must not be used afterwards.
  Bytes Finish();

 private:
  // SHA512_CTX, which only sha512.cc knows (216 bytes).
  alignas(8) std::array<unsigned char, 256> state_;
};

// 128 lower-case hexadecimal digits.
std::string Sha512Hex(std::string_view bytes);

}  // namespace ingot
