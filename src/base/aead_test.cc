#include "base/aead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot {
namespace {

const std::string kKey(kAeadKeyBytes, 'k');

TEST(Aead, OpensWhatWasSealedAndNothingElse) {
  for (const std::string& bytes : {std::string(), std::string("s3cret"), std::string(100'000, '\0')}) {
    const std::string sealed = *SealBytes(kKey, "a/b", bytes);
    EXPECT_EQ(sealed.size(), bytes.size() + kAeadNonceBytes + kAeadTagBytes);
    EXPECT_EQ(*OpenSealed(kKey, "a/b", sealed), bytes);
    EXPECT_EQ(OpenSealed(kKey, "a/c", sealed).error().code(), Code::kCorrupt);
    EXPECT_EQ(OpenSealed(std::string(kAeadKeyBytes, 'x'), "a/b", sealed).error().code(), Code::kCorrupt);
  }
}

TEST(Aead, EveryChangedBitIsSeen) {
  const std::string sealed = *SealBytes(kKey, "bound", "value");
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string changed = sealed;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_EQ(OpenSealed(kKey, "bound", changed).error().code(), Code::kCorrupt) << bit;
  }
  for (size_t size = 0; size < sealed.size(); ++size)
    ASSERT_EQ(OpenSealed(kKey, "bound", sealed.substr(0, size)).error().code(), Code::kCorrupt) << size;
}

TEST(Aead, NoTwoSealedValuesAreAlike) {
  EXPECT_NE(*SealBytes(kKey, "", "value"), *SealBytes(kKey, "", "value"));
}

TEST(Aead, AKeyHasOneLength) {
  EXPECT_EQ(SealBytes("short", "", "value").error().code(), Code::kInternal);
}

// NIST's vectors for GCM with a 256-bit key: gcmEncryptExtIV256.rsp, 128-bit plaintext, no AAD.
TEST(Aead, OpensWhatNistSealed) {
  const auto bytes = [](std::string_view hex) {
    std::string out;
    for (size_t i = 0; i < hex.size(); i += 2)
      out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
    return out;
  };
  const std::string key = bytes("0000000000000000000000000000000000000000000000000000000000000000");
  const std::string sealed = bytes(
      "000000000000000000000000"
      "cea7403d4d606b6e074ec5d3baf39d18"
      "d0d1c8a799996bf0265b98b5d48ab919");
  EXPECT_EQ(*OpenSealed(key, "", sealed), std::string(16, '\0'));
}

}  // namespace
}  // namespace ingot
