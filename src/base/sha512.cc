#include "base/sha512.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "base/sha256.h"

namespace ingot {

static_assert(sizeof(SHA512_CTX) <= 256);

namespace {
SHA512_CTX* Context512(std::array<unsigned char, 256>& state) {
  return reinterpret_cast<SHA512_CTX*>(state.data());
}
}  // namespace

Sha512::Sha512() {
  SHA512_Init(Context512(state_));
}

void Sha512::Update(std::string_view bytes) {
  SHA512_Update(Context512(state_), bytes.data(), bytes.size());
}

Sha512::Bytes Sha512::Finish() {
  Bytes out;
  SHA512_Final(out.data(), Context512(state_));
  return out;
}

std::string Sha512Hex(std::string_view bytes) {
  Sha512 hash;
  hash.Update(bytes);
  const Sha512::Bytes digest = hash.Finish();
  return Hex(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

}  // namespace ingot
