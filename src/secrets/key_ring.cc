#include "secrets/key_ring.h"

#include "base/password.h"
#include "base/sha256.h"

namespace ingot::secrets {

namespace {

constexpr size_t kMostKeys = 16;
constexpr size_t kDigits = 2 * kAeadKeyBytes;
constexpr size_t kIdDigits = 16;

Key KeyOf(std::string bytes) {
  std::string id = Hex(HmacSha256(bytes, "ingot secret key id")).substr(0, kIdDigits);
  return {SecretText(std::move(bytes)), std::move(id)};
}

int DigitOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Empty: not the digits of a key.
std::string ReadDigits(std::string_view line) {
  std::string bytes;
  if (line.size() != kDigits) return bytes;
  for (size_t i = 0; i < kDigits; i += 2) {
    const int high = DigitOf(line[i]);
    const int low = DigitOf(line[i + 1]);
    if (high < 0 || low < 0) return "";
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  return bytes;
}

}  // namespace

KeyRing KeyRing::Make() {
  KeyRing ring;
  ring.keys_.push_back(KeyOf(RandomBytes(kAeadKeyBytes)));
  return ring;
}

Result<KeyRing> KeyRing::Parse(std::string_view text) {
  KeyRing ring;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::string where = "line " + std::to_string(number) + ": ";
    std::string bytes = ReadDigits(line);
    if (bytes.empty())
      return Error(Code::kInvalid,
                   where + "a key is 64 hexadecimal digits, as `openssl rand -hex 32` makes them");
    Key key = KeyOf(std::move(bytes));
    if (ring.Find(key.id) != nullptr) return Error(Code::kInvalid, where + "the same key again");
    if (ring.keys_.size() == kMostKeys) return Error(Code::kInvalid, where + "more than 16 keys");
    ring.keys_.push_back(std::move(key));
  }
  if (ring.keys_.empty()) return Error(Code::kInvalid, "there is no key in it");
  return ring;
}

SecretText KeyRing::Render() const {
  std::string out;
  out.reserve(kMostKeys * (kDigits + 1));
  for (const Key& key : keys_) out += SecretText(Hex(key.bytes.text())).text() + "\n";
  return SecretText(std::move(out));
}

const Key* KeyRing::Find(std::string_view id) const {
  for (const Key& key : keys_)
    if (key.id == id) return &key;
  return nullptr;
}

std::string KeyRing::Ids() const {
  std::string out;
  for (const Key& key : keys_) out += (out.empty() ? "" : ", ") + key.id;
  return out;
}

KeyRing KeyRing::WithNew() const {
  KeyRing ring = Make();
  for (const Key& key : keys_) ring.keys_.push_back(key);
  return ring;
}

KeyRing KeyRing::CurrentAlone() const {
  KeyRing ring;
  ring.keys_.push_back(current());
  return ring;
}

}  // namespace ingot::secrets
