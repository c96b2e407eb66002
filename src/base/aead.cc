// As in sha256.cc, which may be compiled in one with this.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/aead.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <climits>
#include <memory>

#include "base/password.h"

namespace ingot {

namespace {

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

const unsigned char* BytesOf(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// The cipher with key, nonce and `bound` taken in; null when OpenSSL cannot.
Cipher Begin(std::string_view key, std::string_view nonce, std::string_view bound, int encrypt) {
  Cipher cipher(EVP_CIPHER_CTX_new());
  int taken = 0;
  if (!cipher ||
      EVP_CipherInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, BytesOf(key), BytesOf(nonce), encrypt) !=
          1 ||
      EVP_CipherUpdate(cipher.get(), nullptr, &taken, BytesOf(bound), static_cast<int>(bound.size())) != 1)
    return nullptr;
  return cipher;
}

Result<void> CheckSizes(std::string_view key, std::string_view bound, std::string_view bytes) {
  if (key.size() != kAeadKeyBytes) return Error(Code::kInternal, "a key has another length than AES-256's");
  if (bound.size() > INT_MAX || bytes.size() > INT_MAX)
    return Error(Code::kInvalid, "too many bytes to be sealed");
  return {};
}

}  // namespace

Result<std::string> SealBytes(std::string_view key, std::string_view bound, std::string_view bytes) {
  TRY(CheckSizes(key, bound, bytes));
  std::string out = RandomBytes(kAeadNonceBytes);
  const Cipher cipher = Begin(key, out, bound, 1);
  out.resize(kAeadNonceBytes + bytes.size() + kAeadTagBytes);
  auto* at = reinterpret_cast<unsigned char*>(out.data()) + kAeadNonceBytes;
  int written = 0;
  int rest = 0;
  if (!cipher ||
      EVP_CipherUpdate(cipher.get(), at, &written, BytesOf(bytes), static_cast<int>(bytes.size())) != 1 ||
      EVP_CipherFinal_ex(cipher.get(), at + written, &rest) != 1 ||
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes, at + bytes.size()) != 1)
    return Error(Code::kInternal, "OpenSSL cannot seal by AES-256-GCM");
  return out;
}

Result<std::string> OpenSealed(std::string_view key, std::string_view bound, std::string_view sealed) {
  TRY(CheckSizes(key, bound, sealed));
  if (sealed.size() < kAeadNonceBytes + kAeadTagBytes)
    return Error(Code::kCorrupt, "the sealed bytes are too few to be whole");
  const Cipher cipher = Begin(key, sealed.substr(0, kAeadNonceBytes), bound, 0);
  if (!cipher) return Error(Code::kInternal, "OpenSSL cannot open AES-256-GCM");
  const std::string_view body =
      sealed.substr(kAeadNonceBytes, sealed.size() - kAeadNonceBytes - kAeadTagBytes);
  std::string tag(sealed.substr(sealed.size() - kAeadTagBytes));
  std::string out(body.size(), '\0');
  auto* at = reinterpret_cast<unsigned char*>(out.data());
  int written = 0;
  int rest = 0;
  if (EVP_CipherUpdate(cipher.get(), at, &written, BytesOf(body), static_cast<int>(body.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kAeadTagBytes, tag.data()) == 1 &&
      EVP_CipherFinal_ex(cipher.get(), at + written, &rest) == 1)
    return out;
  Cleanse(out);
  return Error(Code::kCorrupt, "the sealed bytes do not open: they, or what they belong to, were changed");
}

void Cleanse(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

}  // namespace ingot
