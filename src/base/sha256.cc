#include "base/sha256.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

namespace ingot {

static_assert(sizeof(SHA256_CTX) <= 128);

namespace {
SHA256_CTX* Context(std::array<unsigned char, 128>& state) {
  return reinterpret_cast<SHA256_CTX*>(state.data());
}
}  // namespace

Sha256::Sha256() {
  SHA256_Init(Context(state_));
}

void Sha256::Update(std::string_view bytes) {
  SHA256_Update(Context(state_), bytes.data(), bytes.size());
}

Sha256::Bytes Sha256::Finish() {
  Bytes out;
  SHA256_Final(out.data(), Context(state_));
  return out;
}

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string Hex(const Sha256::Bytes& bytes) {
  return Hex(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string Sha256Hex(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return Hex(hash.Finish());
}

}  // namespace ingot
