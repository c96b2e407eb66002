#include "base/gzip_stream.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>
#include <string>

#include "base/isal.h"

namespace ingot {
namespace {

constexpr GzipStream::Engine kEngines[] = {GzipStream::Engine::kFastest, GzipStream::Engine::kZlib};

std::string Gzip(std::string_view bytes, int level = 6, int strategy = Z_DEFAULT_STRATEGY) {
  z_stream z{};
  EXPECT_EQ(::deflateInit2(&z, level, Z_DEFLATED, 16 + MAX_WBITS, 8, strategy), Z_OK);
  std::string out(::deflateBound(&z, bytes.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  ::deflateEnd(&z);
  return out;
}

// The source gives at most `in` bytes at a time, `out` are asked for.
Result<std::string> Gunzip(std::string_view bytes, GzipStream::Engine engine, size_t in = 1 << 20,
                           size_t out = 1 << 16) {
  GzipStream stream(
      [bytes, in](char* buffer, size_t size) mutable -> Result<size_t> {
        const size_t n = bytes.copy(buffer, std::min(size, in));
        bytes.remove_prefix(n);
        return n;
      },
      engine);
  std::string all;
  std::string piece(out, '\0');
  while (const size_t n = TRY(stream.Read(piece.data(), piece.size()))) all.append(piece, 0, n);
  return all;
}

// Of words, of noise and of runs, so that all kinds of blocks come.
std::string Sample(uint64_t seed, size_t size) {
  std::mt19937_64 random(seed);
  std::string out;
  while (out.size() < size) {
    const size_t n = 1 + random() % 5000;
    switch (random() % 3) {
      case 0:
        for (size_t i = 0; i < n; ++i) out += static_cast<char>(random());
        break;
      case 1:
        out.append(n, static_cast<char>(random()));
        break;
      default:
        for (size_t i = 0; i < n; i += 6) out += "word" + std::to_string(random() % 90);
    }
  }
  out.resize(size);
  return out;
}

TEST(GzipStreamTest, GivesBackWhatWasCompressedInAnyPieces) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const std::string bytes = Sample(seed, seed * seed * 800);
    for (const int level : {0, 1, 6, 9}) {
      const std::string packed = Gzip(bytes, level, seed % 4 == 3 ? Z_FIXED : Z_DEFAULT_STRATEGY);
      for (const GzipStream::Engine engine : kEngines) {
        const size_t in = seed % 3 == 0 ? 1 : 1 + seed * 977;
        const auto read = Gunzip(packed, engine, in, 1 + seed * 1009);
        ASSERT_TRUE(read) << read.error().Render();
        EXPECT_TRUE(*read == bytes) << "seed " << seed << " level " << level;
      }
    }
  }
}

TEST(GzipStreamTest, MembersAreOneStreamWhereverTheyMeet) {
  for (size_t size = 0; size < 40; ++size) {
    const std::string first = Sample(size, size * 37);
    const std::string packed = Gzip(first) + Gzip("") + Gzip("second", 0) + Gzip(first, 9);
    for (const GzipStream::Engine engine : kEngines) {
      for (const size_t in : {size_t{1}, size_t{2}, size_t{7}, size_t{13}, size_t{64}, size_t{1} << 20}) {
        const auto read = Gunzip(packed, engine, in);
        ASSERT_TRUE(read) << read.error().Render();
        EXPECT_EQ(*read, first + "second" + first) << size << " " << in;
      }
    }
  }
}

TEST(GzipStreamTest, WhatFollowsAndIsNoMemberIsLeftOut) {
  for (const std::string_view rest : {std::string_view("\0\0\0\0", 4), std::string_view("\x1f"),
                                      std::string_view("\x1f\x8b"), std::string_view("text that follows")}) {
    for (const GzipStream::Engine engine : kEngines) {
      for (const size_t in : {size_t{1}, size_t{5}, size_t{1} << 20}) {
        const auto read = Gunzip(Gzip("contents") + std::string(rest), engine, in);
        ASSERT_TRUE(read) << read.error().Render();
        EXPECT_EQ(*read, "contents");
      }
    }
  }
}

TEST(GzipStreamTest, AStreamThatIsCutOffIsInvalid) {
  const std::string packed = Gzip(Sample(1, 5000));
  for (const GzipStream::Engine engine : kEngines) {
    for (size_t cut = 0; cut < packed.size(); ++cut) {
      const auto read = Gunzip(std::string_view(packed).substr(0, cut), engine);
      ASSERT_FALSE(read) << cut;
      EXPECT_EQ(read.error().code(), Code::kInvalid) << cut;
    }
  }
}

TEST(GzipStreamTest, TheSourcesErrorComesThrough) {
  for (const GzipStream::Engine engine : kEngines) {
    GzipStream stream(
        [packed = Gzip(Sample(2, 9000)), given = false](char* buffer, size_t size) mutable -> Result<size_t> {
          if (std::exchange(given, true)) return Error(Code::kUnavailable, "the line is down");
          return packed.copy(buffer, std::min(size, packed.size() / 2));
        },
        engine);
    std::string piece(1 << 20, '\0');
    Result<size_t> n = size_t{1};
    while (n && *n > 0) n = stream.Read(piece.data(), piece.size());
    ASSERT_FALSE(n);
    EXPECT_EQ(n.error().code(), Code::kUnavailable);
  }
}

// Both engines take the same streams for good, and give the same bytes of them.
TEST(GzipStreamTest, EnginesAgreeOnDamagedStreams) {
  if (Isal() == nullptr) GTEST_SKIP() << "SKIP: libisal2 is not installed";
  size_t refused = 0;
  std::mt19937_64 random(7);
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    std::string packed = Gzip(Sample(seed % 50, 200 + seed % 50 * 90), static_cast<int>(seed % 10));
    if (seed % 5 == 0) packed += Gzip("more");
    const size_t changes = seed % 3;
    for (size_t i = 0; i < changes; ++i) {
      // Headers and trailers are short: they get their share.
      const size_t at = random() % 2 == 0   ? random() % packed.size()
                        : random() % 2 == 0 ? random() % 12
                                            : packed.size() - 1 - random() % 10;
      packed[at] = static_cast<char>(packed[at] ^ (1 << random() % 8));
    }
    const size_t in = seed % 2 == 0 ? 1 << 20 : 1 + random() % 300;
    const auto by_isal = Gunzip(packed, GzipStream::Engine::kFastest, in, 1 + random() % 9000);
    const auto by_zlib = Gunzip(packed, GzipStream::Engine::kZlib, in);
    ASSERT_EQ(by_isal.has_value(), by_zlib.has_value())
        << "seed " << seed << ": " << (by_isal ? by_zlib.error() : by_isal.error()).Render();
    if (by_isal) {
      EXPECT_TRUE(*by_isal == *by_zlib) << "seed " << seed;
    } else {
      EXPECT_EQ(by_isal.error().code(), Code::kInvalid);
      EXPECT_EQ(by_zlib.error().code(), Code::kInvalid);
      ++refused;
    }
  }
  EXPECT_GT(refused, 300U);
}

}  // namespace
}  // namespace ingot
