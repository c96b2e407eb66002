#include "adapters/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

namespace ingot::adapters {

namespace {

constexpr size_t kMaxFile = 1 << 20;

struct FreePem {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
using Bio = std::unique_ptr<BIO, FreePem>;
using OneCertificate = std::unique_ptr<X509, FreePem>;
using PrivateKey = std::unique_ptr<EVP_PKEY, FreePem>;

// Never asks a person: a key that needs a password cannot be used by a daemon.
int NoPassword(char*, int, int, void*) {
  return 0;
}

std::string TextOf(const ASN1_STRING* text) {
  std::string out(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                  static_cast<size_t>(ASN1_STRING_length(text)));
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
  return out;
}

std::vector<std::string> NamesOf(X509* certificate) {
  std::vector<std::string> out;
  const std::unique_ptr<GENERAL_NAMES, FreePem> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) out.push_back(TextOf(name->d.dNSName));
  }
  if (!out.empty()) return out;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) out.push_back(TextOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  return out;
}

Result<WallTime> TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1)
    return Error(Code::kInvalid, "a certificate has a time that is none");
  return WallTime(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

Result<Certificate> LoadCertificate(const fs::path& certificate, const fs::path& key) {
  ERR_clear_error();
  const std::string chain_text = TRY(ReadFile(certificate, kMaxFile));
  const std::string key_text = TRY(ReadFile(key, kMaxFile));
  const Bio chain(BIO_new_mem_buf(chain_text.data(), static_cast<int>(chain_text.size())));
  const Bio secret(BIO_new_mem_buf(key_text.data(), static_cast<int>(key_text.size())));
  const Bio whole(BIO_new(BIO_s_mem()));
  if (!chain || !secret || !whole) return Error(Code::kNoSpace, "no memory for a certificate");
  Certificate out;
  OneCertificate first;
  while (true) {
    OneCertificate next(PEM_read_bio_X509(chain.get(), nullptr, NoPassword, nullptr));
    if (!next) break;
    PEM_write_bio_X509(whole.get(), next.get());
    if (!first) first = std::move(next);
  }
  ERR_clear_error();
  if (!first) return Error(Code::kInvalid, certificate.string() + " is no certificate in PEM");
  const PrivateKey pair(PEM_read_bio_PrivateKey(secret.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (!pair)
    return Error(Code::kInvalid, key.string() + " is no private key in PEM, or needs a password to be read");
  if (X509_check_private_key(first.get(), pair.get()) != 1) {
    ERR_clear_error();
    return Error(Code::kInvalid,
                 key.string() + " is the key of another certificate than " + certificate.string());
  }
  PEM_write_bio_PrivateKey(whole.get(), pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(whole.get(), &bytes);
  out.pem.assign(bytes, static_cast<size_t>(std::max(size, 0L)));
  out.names = NamesOf(first.get());
  out.begins = TRY(TimeOf(X509_get0_notBefore(first.get())));
  out.ends = TRY(TimeOf(X509_get0_notAfter(first.get())));
  return out;
}

}  // namespace ingot::adapters
