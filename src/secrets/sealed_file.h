// What a sealed file holds (docs/formats/secrets.md): a line about it, which everybody who has the file may
// read and nobody may change, and the sealed bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "secrets/key_ring.h"

namespace ingot::secrets {

inline constexpr size_t kMostSealedBytes = (size_t{1} << 20) + 8192;

struct SealedAbout {
  std::string key;     // id of what sealed it
  uint64_t order = 0;  // of the versions of a secret the newest has the greatest
  WallTime set{};
  std::string by;  // who set it; empty: not known
};

// `name` is what the file is for; opened under another one, it does not open. `about.key` is not looked at:
// it is sealed by `key`. kInvalid: `by` is longer than 1000 bytes.
Result<std::string> RenderSealed(const Key& key, std::string_view name, SealedAbout about,
                                 std::string_view bytes);
// The line alone, of which nothing is proven. kCorrupt; kUnsupported: of a newer format.
Result<SealedAbout> ReadSealedAbout(std::string_view file);
// kCorrupt: file or name were changed. kNotFound: the ring does not have its key.
Result<SecretText> OpenSealedFile(const KeyRing& ring, std::string_view name, std::string_view file);

}  // namespace ingot::secrets
