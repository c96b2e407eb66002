#include "adapters/acme_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <vector>

#include "base/sha256.h"
#include "oci/base64.h"

namespace ingot::adapters {

namespace {

constexpr size_t kCoordinate = 32;  // of P-256, and half of a signature

struct FreeAcme {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(X509_REQ* request) const { X509_REQ_free(request); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(STACK_OF(X509_EXTENSION) * extensions) const {
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
};
template <typename T>
using AcmeOwned = std::unique_ptr<T, FreeAcme>;

Error CryptoError(const std::string& what) {
  ERR_clear_error();
  return Error(Code::kInternal, "OpenSSL cannot " + what);
}

std::string FixedBytes(const BIGNUM* number) {
  std::array<unsigned char, kCoordinate> bytes{};
  BN_bn2binpad(number, bytes.data(), static_cast<int>(bytes.size()));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string Coordinate(const EVP_PKEY* key, const char* which) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, which, &number) != 1) return "";
  const AcmeOwned<BIGNUM> owned(number);
  return FixedBytes(number);
}

}  // namespace

std::string RenderBase64Url(std::string_view bytes) {
  std::string out = oci::RenderBase64(bytes);
  while (out.ends_with('=')) out.pop_back();
  for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return out;
}

struct AcmeKey::Impl {
  AcmeOwned<EVP_PKEY> key;
};

Result<AcmeKey> AcmeKey::Generate() {
  AcmeOwned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  if (!key) return CryptoError("make a key");
  return AcmeKey(std::make_shared<const Impl>(Impl{std::move(key)}));
}

Result<AcmeKey> AcmeKey::FromPem(std::string_view pem) {
  const AcmeOwned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const auto no_password = [](char*, int, int, void*) { return 0; };
  AcmeOwned<EVP_PKEY> key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr) : nullptr);
  ERR_clear_error();
  std::array<char, 64> group{};
  size_t size = 0;
  if (!key || EVP_PKEY_get_group_name(key.get(), group.data(), group.size(), &size) != 1 ||
      std::string_view(group.data(), size) != "prime256v1")
    return Error(Code::kInvalid, "not a P-256 key in PEM");
  return AcmeKey(std::make_shared<const Impl>(Impl{std::move(key)}));
}

std::string AcmeKey::ToPem() const {
  const AcmeOwned<BIO> bio(BIO_new(BIO_s_mem()));
  if (!bio ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), impl_->key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return "";
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<size_t>(size)};
}

JsonObject AcmeKey::Jwk() const {
  return {{"crv", "P-256"},
          {"kty", "EC"},
          {"x", RenderBase64Url(Coordinate(impl_->key.get(), OSSL_PKEY_PARAM_EC_PUB_X))},
          {"y", RenderBase64Url(Coordinate(impl_->key.get(), OSSL_PKEY_PARAM_EC_PUB_Y))}};
}

std::string AcmeKey::Thumbprint() const {
  const JsonObject jwk = Jwk();
  std::string text = "{";
  for (const char* member : {"crv", "kty", "x", "y"})
    text +=
        std::string(text.size() > 1 ? "," : "") + "\"" + member + "\":\"" + StringOr(jwk, member, "") + "\"";
  text += "}";
  Sha256 hash;
  hash.Update(text);
  const Sha256::Bytes digest = hash.Finish();
  return RenderBase64Url({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

Result<std::string> AcmeKey::Sign(JsonObject header, std::string_view payload) const {
  header["alg"] = "ES256";
  const std::string protected_part = RenderBase64Url(RenderJson(header));
  const std::string payload_part = RenderBase64Url(payload);
  const std::string input = protected_part + "." + payload_part;
  const AcmeOwned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  size_t size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(input.data());
  if (!context || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes, input.size()) != 1)
    return CryptoError("sign a request");
  std::vector<unsigned char> der(size);
  if (EVP_DigestSign(context.get(), der.data(), &size, bytes, input.size()) != 1)
    return CryptoError("sign a request");
  // JWS has the two numbers side by side (RFC 7518, section 3.4), not DER.
  const unsigned char* at = der.data();
  const AcmeOwned<ECDSA_SIG> signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
  if (!signature) return CryptoError("read a signature");
  return RenderJson(
      JsonObject{{"protected", protected_part},
                 {"payload", payload_part},
                 {"signature", RenderBase64Url(FixedBytes(ECDSA_SIG_get0_r(signature.get())) +
                                               FixedBytes(ECDSA_SIG_get0_s(signature.get())))}});
}

Result<std::string> AcmeKey::SigningRequest(const std::string& name) const {
  const AcmeOwned<X509_REQ> request(X509_REQ_new());
  const std::string names = "DNS:" + name;
  const AcmeOwned<X509_EXTENSION> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str()));
  STACK_OF(X509_EXTENSION)* stack = sk_X509_EXTENSION_new_null();
  const AcmeOwned<STACK_OF(X509_EXTENSION)> extensions(stack);
  if (!request || !extension || !extensions) return CryptoError("make a signing request");
  sk_X509_EXTENSION_push(stack, X509_EXTENSION_dup(extension.get()));
  // No subject: a common name holds 64 characters at most, and nobody reads it any more.
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), impl_->key.get()) != 1 ||
      X509_REQ_add_extensions(request.get(), stack) != 1 ||
      X509_REQ_sign(request.get(), impl_->key.get(), EVP_sha256()) <= 0)
    return CryptoError("make a signing request for " + name);
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size <= 0) return CryptoError("write a signing request");
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

}  // namespace ingot::adapters
