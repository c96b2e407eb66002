// Passwords as bcrypt ($2y$, as `htpasswd -B` writes them), and what secrets are compared and signed by.
// password.cc is the only file that knows libcrypt.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot {

// "$2y$10$…", with a salt of the kernel's. kInvalid: empty, longer than the 72 bytes that bcrypt looks at, or
// with a zero byte. Takes about 50 ms.
Result<std::string> HashPassword(std::string_view password);
// $2a$, $2b$ or $2y$ with its 22 letters of salt and 31 of hash, and a cost of 4 to 14: more would let one
// log-in take seconds.
bool IsPasswordHash(std::string_view hash);
// Takes as long as the hash's cost says, whatever the password; false for what is no hash.
bool PasswordMatches(std::string_view password, const std::string& hash);

// HMAC-SHA-256 (RFC 2104), 32 bytes.
std::string HmacSha256(std::string_view key, std::string_view bytes);
// Takes the same time wherever they differ; lengths are no secret.
bool SameBytes(std::string_view a, std::string_view b);
// From the kernel.
std::string RandomBytes(size_t count);

}  // namespace ingot
