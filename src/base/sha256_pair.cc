// The rounds are those of Intel's "SHA Extensions" paper (Gulley et al., 2013), once per message.
#include "base/sha256_pair.h"

#include <cstdint>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace ingot {
namespace {

Sha256::Bytes DigestOne(const void* bytes, size_t size_bytes) {
  Sha256 hash;
  hash.Update(std::string_view(static_cast<const char*>(bytes), size_bytes));
  return hash.Finish();
}

#if defined(__x86_64__)

constexpr size_t kShaBlock = 64;

// FIPS 180-4, 4.2.2
alignas(16) constexpr uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

bool HasShaInstructions() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSE4_1) == 0 || (c & bit_SSSE3) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}

// One message's state between blocks, as the instructions want it: (a, b, e, f) and (c, d, g, h).
struct Lane {
  __m128i abef;
  __m128i cdgh;
  __m128i words[4];  // the message schedule, four words each, the oldest at (group % 4)
};

#define INGOT_SHA __attribute__((target("sha,sse4.1"), always_inline)) inline

INGOT_SHA void LoadBlock(Lane& lane, const char* block) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  for (int i = 0; i < 4; ++i) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + i);
    lane.words[i] = _mm_shuffle_epi8(words, big_endian);
  }
}

INGOT_SHA void FourRounds(Lane& lane, int group, __m128i constants) {
  const __m128i added = _mm_add_epi32(lane.words[group % 4], constants);
  lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, added);
  lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, _mm_shuffle_epi32(added, 0x0e));
}

// The four words that follow: they take the place of the oldest.
INGOT_SHA void Schedule(Lane& lane, int group) {
  __m128i* const w = lane.words;
  const __m128i latest = w[(group + 3) % 4];
  const __m128i middle = _mm_alignr_epi8(latest, w[(group + 2) % 4], 4);
  const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[group % 4], w[(group + 1) % 4]), middle);
  w[group % 4] = _mm_sha256msg2_epu32(sum, latest);
}

INGOT_SHA void CompressBoth(Lane& x, Lane& y, const char* x_block, const char* y_block) {
  const Lane x_before = x;
  const Lane y_before = y;
  LoadBlock(x, x_block);
  LoadBlock(y, y_block);
#pragma GCC unroll 16
  for (int group = 0; group < 16; ++group) {
    const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kRoundConstants) + group);
    FourRounds(x, group, constants);
    FourRounds(y, group, constants);
    if (group < 12) {
      Schedule(x, group);
      Schedule(y, group);
    }
  }
  x.abef = _mm_add_epi32(x.abef, x_before.abef);
  x.cdgh = _mm_add_epi32(x.cdgh, x_before.cdgh);
  y.abef = _mm_add_epi32(y.abef, y_before.abef);
  y.cdgh = _mm_add_epi32(y.cdgh, y_before.cdgh);
}

INGOT_SHA void StoreDigest(const Lane& lane, Sha256::Bytes& digest) {
  alignas(16) uint32_t abef[4];
  alignas(16) uint32_t cdgh[4];
  _mm_store_si128(reinterpret_cast<__m128i*>(abef), lane.abef);
  _mm_store_si128(reinterpret_cast<__m128i*>(cdgh), lane.cdgh);
  const uint32_t words[8] = {abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]};
  for (size_t i = 0; i < digest.size(); ++i)
    digest[i] = static_cast<uint8_t>(words[i / 4] >> (24 - 8 * (i % 4)));
}

__attribute__((target("sha,sse4.1"))) void DigestBoth(const char* first, const char* second,
                                                      size_t size_bytes, Sha256::Bytes& first_digest,
                                                      Sha256::Bytes& second_digest) {
  Lane x{};
  // FIPS 180-4, 5.3.3
  x.abef = _mm_set_epi32(0x6a09e667, static_cast<int>(0xbb67ae85), 0x510e527f, static_cast<int>(0x9b05688c));
  x.cdgh = _mm_set_epi32(0x3c6ef372, static_cast<int>(0xa54ff53a), 0x1f83d9ab, 0x5be0cd19);
  Lane y = x;
  for (size_t at = 0; at < size_bytes; at += kShaBlock) CompressBoth(x, y, first + at, second + at);
  // 5.1.1: whole blocks are followed by one of padding.
  char padding[kShaBlock] = {static_cast<char>(0x80)};
  const uint64_t bits = uint64_t{size_bytes} * 8;
  for (size_t i = 0; i < 8; ++i) padding[kShaBlock - 1 - i] = static_cast<char>(bits >> (8 * i));
  CompressBoth(x, y, padding, padding);
  StoreDigest(x, first_digest);
  StoreDigest(y, second_digest);
}

#undef INGOT_SHA

#endif

}  // namespace

void Sha256Pair(const void* first, const void* second, size_t size_bytes, Sha256::Bytes& first_digest,
                Sha256::Bytes& second_digest) {
#if defined(__x86_64__)
  static const bool fast = HasShaInstructions();
  if (fast && size_bytes % kShaBlock == 0) {
    return DigestBoth(static_cast<const char*>(first), static_cast<const char*>(second), size_bytes,
                      first_digest, second_digest);
  }
#endif
  first_digest = DigestOne(first, size_bytes);
  second_digest = DigestOne(second, size_bytes);
}

}  // namespace ingot
