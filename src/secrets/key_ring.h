// The keys that secrets are sealed by: a text file of 64 hexadecimal digits a line. The first is what is
// sealed by from now on; what the others sealed can still be opened, until it is sealed anew.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/aead.h"

namespace ingot::secrets {

struct Key {
  SecretText bytes;  // kAeadKeyBytes
  std::string id;    // 16 hexadecimal digits, which say nothing of the key
};

class KeyRing {
 public:
  // A ring of one new key.
  static KeyRing Make();
  // Empty lines and those that begin with # count for nothing. kInvalid with the line: what is no key, the
  // same key twice, no key at all, more than 16.
  static Result<KeyRing> Parse(std::string_view text);
  // Inverse of Parse.
  SecretText Render() const;

  const Key& current() const { return keys_.front(); }
  // Null: not in the ring.
  const Key* Find(std::string_view id) const;
  size_t size() const { return keys_.size(); }
  // "0f1e2d3c4b5a6978, …"
  std::string Ids() const;

  // The same keys behind a new one, and the current one alone.
  KeyRing WithNew() const;
  KeyRing CurrentAlone() const;

 private:
  std::vector<Key> keys_;
};

}  // namespace ingot::secrets
