// Keys: SHA-256 over fields that cannot run into each other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/sha256.h"

namespace ingot::build {

class KeyHasher {
 public:
  // `kind` keeps keys of different purposes apart; its number is raised when what is hashed, or what the key
  // stands for, changes meaning: "run/1".
  explicit KeyHasher(std::string_view kind) { Add(kind); }

  KeyHasher& Add(std::string_view field) {
    AddNumber(field.size());
    hash_.Update(field);
    return *this;
  }
  KeyHasher& AddNumber(uint64_t number) {
    char bytes[8];
    for (char& byte : bytes) {
      byte = static_cast<char>(number);
      number >>= 8;
    }
    hash_.Update({bytes, sizeof bytes});
    return *this;
  }
  KeyHasher& AddAll(const std::vector<std::string>& fields) {
    AddNumber(fields.size());
    for (const std::string& field : fields) Add(field);
    return *this;
  }
  // 64 hexadecimal digits; the hasher must not be used afterwards.
  std::string Finish() { return Hex(hash_.Finish()); }

 private:
  Sha256 hash_;
};

}  // namespace ingot::build
