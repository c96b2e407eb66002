#include "base/password.h"

#include <crypt.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/sha256.h"

namespace ingot {
namespace {

constexpr size_t kBcryptBytes = 72;
constexpr size_t kBcryptHashLength = 60;
constexpr unsigned long kBcryptCost = 10;

// 32 KiB, so not on the stack of an event loop; cleared by its owner's end.
std::unique_ptr<crypt_data> NewCryptData() {
  return std::make_unique<crypt_data>();
}

}  // namespace

Result<std::string> HashPassword(std::string_view password) {
  if (password.empty()) return Error(Code::kInvalid, "a password cannot be empty");
  if (password.size() > kBcryptBytes || password.find('\0') != std::string_view::npos)
    return Error(Code::kInvalid, "a password has at most 72 bytes and no zero among them (bcrypt)");
  const std::string random = RandomBytes(16);
  char salt[CRYPT_GENSALT_OUTPUT_SIZE];
  if (::crypt_gensalt_rn("$2y$", kBcryptCost, random.data(), static_cast<int>(random.size()), salt,
                         sizeof salt) == nullptr)
    return Error(Code::kInternal, "libcrypt makes no bcrypt salt");
  const auto data = NewCryptData();
  const std::string text(password);
  const char* hash = ::crypt_r(text.c_str(), salt, data.get());
  if (hash == nullptr || !IsPasswordHash(hash))
    return Error(Code::kInternal, "libcrypt makes no bcrypt hash");
  return std::string(hash);
}

bool IsPasswordHash(std::string_view hash) {
  if (hash.size() != kBcryptHashLength || !hash.starts_with("$2")) return false;
  if ((hash[2] != 'a' && hash[2] != 'b' && hash[2] != 'y') || hash[3] != '$' || hash[6] != '$') return false;
  const std::string_view cost = hash.substr(4, 2);
  if (cost < "04" || cost > "14" || cost[1] < '0' || cost[1] > '9') return false;
  return hash.substr(7).find_first_not_of(
             "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == std::string_view::npos;
}

bool PasswordMatches(std::string_view password, const std::string& hash) {
  if (!IsPasswordHash(hash) || password.size() > kBcryptBytes ||
      password.find('\0') != std::string_view::npos)
    return false;
  const auto data = NewCryptData();
  const std::string text(password);
  const char* found = ::crypt_r(text.c_str(), hash.c_str(), data.get());
  return found != nullptr && SameBytes(found, hash);
}

std::string HmacSha256(std::string_view key, std::string_view bytes) {
  constexpr size_t kBlock = 64;
  const auto text = [](const Sha256::Bytes& digest) {
    return std::string(reinterpret_cast<const char*>(digest.data()), digest.size());
  };
  std::string inner(key);
  if (inner.size() > kBlock) {
    Sha256 hash;
    hash.Update(key);
    inner = text(hash.Finish());
  }
  inner.resize(kBlock, '\0');
  std::string outer = inner;
  for (char& c : inner) c = static_cast<char>(c ^ 0x36);
  for (char& c : outer) c = static_cast<char>(c ^ 0x5c);
  Sha256 first;
  first.Update(inner);
  first.Update(bytes);
  Sha256 second;
  second.Update(outer);
  second.Update(text(first.Finish()));
  return text(second.Finish());
}

bool SameBytes(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  // Not to be turned into an early end.
  volatile unsigned result = difference;
  return result == 0;
}

std::string RandomBytes(size_t count) {
  std::string out(count, '\0');
  size_t have = 0;
  while (have < count) {
    const ssize_t n = ::getrandom(out.data() + have, count - have, 0);
    // It has no other way to fail: the kernel is older than anything that runs this.
    if (n < 0 && errno != EINTR) std::abort();
    if (n > 0) have += static_cast<size_t>(n);
  }
  return out;
}

}  // namespace ingot
