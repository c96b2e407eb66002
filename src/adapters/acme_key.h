// Keys of ACME: the account's, by which requests are signed (RFC 7515, RFC 8555 section 6.2), and those of
// certificates. All are P-256.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace ingot::adapters {

// base64url without padding (RFC 7515, section 2).
std::string RenderBase64Url(std::string_view bytes);

class AcmeKey {
 public:
  // kInternal: no randomness.
  static Result<AcmeKey> Generate();
  // kInvalid: not a P-256 key in PEM.
  static Result<AcmeKey> FromPem(std::string_view pem);
  std::string ToPem() const;

  // The public key (RFC 7517); its members are in the order that Thumbprint needs.
  JsonObject Jwk() const;
  // RFC 7638, base64url.
  std::string Thumbprint() const;
  // What an authority finds below /.well-known/acme-challenge/ (RFC 8555, section 8.1).
  std::string Authorization(const std::string& token) const { return token + "." + Thumbprint(); }
  // A request's body, flattened JSON: `header` gets "alg". `payload` empty: POST-as-GET.
  Result<std::string> Sign(JsonObject header, std::string_view payload) const;
  // A certificate signing request (PKCS #10, DER) for one host name.
  Result<std::string> SigningRequest(const std::string& name) const;

 private:
  struct Impl;
  explicit AcmeKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;  // shared: a key is never changed
};

}  // namespace ingot::adapters
