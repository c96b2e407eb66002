#include "base/sha256_pair.h"

#include <gtest/gtest.h>

#include <string>

namespace ingot {
namespace {

Sha256::Bytes One(const std::string& bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

TEST(Sha256PairTest, GivesWhatTwoDigestsGive) {
  uint32_t random = 1;
  for (const size_t size : {0, 1, 55, 56, 63, 64, 65, 128, 4096, 4160, 65536}) {
    std::string first(size, '\0');
    std::string second(size, '\0');
    for (size_t i = 0; i < size; ++i) {
      random = random * 1664525 + 1013904223;
      first[i] = static_cast<char>(random >> 24);
      second[i] = static_cast<char>(random >> 16);
    }
    Sha256::Bytes a{};
    Sha256::Bytes b{};
    Sha256Pair(first.data(), second.data(), size, a, b);
    EXPECT_EQ(a, One(first)) << size;
    EXPECT_EQ(b, One(second)) << size;
  }
}

TEST(Sha256PairTest, KnowsTheVectorsOfTheStandard) {
  const std::string zeros(64, '\0');
  Sha256::Bytes a{};
  Sha256::Bytes b{};
  Sha256Pair(zeros.data(), zeros.data(), 64, a, b);
  EXPECT_EQ(Hex(a), "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace ingot
