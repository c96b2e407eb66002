#include "store/tar_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/sha256.h"
#include "base/subprocess.h"
#include "store/random_tree.h"
#include "store/sealed_layer.h"
#include "store/tar_reader.h"

namespace ingot::store {
namespace {

class TarWriterTest : public ::testing::Test {
 protected:
  TarWriterTest()
      : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-tar-")),
        pool_(*ObjectPool::Open(directory_.path() / "objects")) {}

  Node File(std::string_view bytes) { return Node::Regular(*pool_.Put(bytes), bytes.size()); }
  std::string Tar(const Tree& tree) {
    std::string out;
    const auto written = WriteTar(tree, pool_, [&](std::string_view piece) -> Result<void> {
      EXPECT_LE(piece.size(), size_t{2} << 20);
      out += piece;
      return {};
    });
    EXPECT_TRUE(written) << written.error().Render();
    return out;
  }

  TempDirectory directory_;
  ObjectPool pool_;
};

// The tar is a function of the sealed layer, its size known beforehand, and reading it gives the layer back.
TEST_F(TarWriterTest, TreeSealedLayerAndTarAreOneAndTheSame) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Tree tree = RandomTree(seed, pool_).Make(100, /*layer=*/true);
    PruneWhiteouts(tree);
    const std::string tar = Tar(tree);
    EXPECT_EQ(tar.size(), TarSize(tree)) << "seed " << seed;
    EXPECT_EQ(Tar(*ParseSealed(*RenderSealed(tree))), tar) << "seed " << seed;
    const auto read = ReadTar(SourceOf(tar), pool_);
    ASSERT_TRUE(read) << "seed " << seed << ": " << read.error().Render();
    EXPECT_TRUE(read->tree == tree) << "seed " << seed;
    EXPECT_EQ(read->diff_id.hex(), Sha256Hex(tar));
    EXPECT_EQ(read->uncompressed_bytes, tar.size());
    const auto digest = DigestTar(tree, pool_);
    ASSERT_TRUE(digest);
    EXPECT_EQ(digest->digest, read->diff_id);
    EXPECT_EQ(digest->size_bytes, tar.size());
    EXPECT_EQ(OutlineTar(tree), read->outline) << "seed " << seed;
    EXPECT_EQ(read->outline.size_bytes, tar.size());
  }
}

// Equal outlines stand for equal bytes: whatever is changed in a canonical tar and still read changes its
// outline, or the tree that was read has another.
TEST_F(TarWriterTest, AnOutlineTellsAnyOtherTar) {
  Tree tree;
  ASSERT_TRUE(tree.Put("a", File("first")));
  ASSERT_TRUE(tree.Put("b", File(std::string(600, 'b'))));
  ASSERT_TRUE(tree.Put("d/e", File("first")));
  ASSERT_TRUE(tree.Link("d/f", "b"));
  const std::string tar = Tar(tree);
  const auto is_canonical = [&](std::string_view bytes) {
    const auto read = ReadTar(SourceOf(bytes), pool_);
    return read && OutlineTar(read->tree) == read->outline;
  };
  EXPECT_TRUE(is_canonical(tar));
  size_t read = 0;
  for (size_t at = 0; at < tar.size(); ++at) {
    std::string other = tar;
    other[at] = static_cast<char>(other[at] ^ 1);
    const auto archive = ReadTar(SourceOf(other), pool_);
    if (!archive) continue;  // a header that is none any more
    ++read;
    const auto digest = DigestTar(archive->tree, pool_);
    ASSERT_TRUE(digest);
    EXPECT_EQ(OutlineTar(archive->tree) == archive->outline, digest->digest == archive->diff_id)
        << "byte " << at;
  }
  EXPECT_GT(read, 2000U);  // contents, paddings, the end
  EXPECT_FALSE(is_canonical(tar + std::string(512, '\0')));
  EXPECT_FALSE(is_canonical(tar.substr(0, tar.size() - 512)));
  // Two entries changed places; one that stands there twice.
  const size_t first = 1024;
  const size_t second = 512 + 1024;
  EXPECT_FALSE(is_canonical(tar.substr(first, second) + tar.substr(0, first) + tar.substr(first + second)));
  EXPECT_FALSE(is_canonical(tar.substr(0, first) + tar));
  // Large files are not read with the small ones; their order is the tar's all the same.
  ASSERT_TRUE(tree.Put("c", File(std::string((1 << 20) + 1, 'c'))));
  EXPECT_TRUE(is_canonical(Tar(tree)));
}

TEST_F(TarWriterTest, TheBytesStayTheSame) {
  Tree tree;
  Node file = File("hello\n");
  file.mtime_s = 1'700'000'000;
  file.mtime_ns = 250'000'000;
  file.xattrs["user.note"] = "kept";
  ASSERT_TRUE(tree.Put("etc/motd", file));
  ASSERT_TRUE(tree.Link("etc/issue", "etc/motd"));
  ASSERT_TRUE(tree.Put("etc/old", Node::Whiteout()));
  EXPECT_EQ(Sha256Hex(Tar(tree)), "9242b56650e25e94e6990fb96c9f18a699b1a9b344b6143208010cc2eab0d85f");
}

// GNU tar is the judge of names, types, links, modes, owners and long names.
TEST_F(TarWriterTest, IsReadByTar) {
  if (!FindProgram("tar")) GTEST_SKIP() << "SKIP: tar is not installed";
  Tree tree;
  const std::string deep = std::string(90, 'd') + "/" + std::string(90, 'e') + "/" + std::string(90, 'f');
  ASSERT_TRUE(tree.Put("bin/tool", File("#!/bin/sh\n")));
  tree.Find("bin/tool")->mode = 04755;
  tree.Find("bin/tool")->uid = 3'000'000;
  ASSERT_TRUE(tree.Link("bin/same", "bin/tool"));
  ASSERT_TRUE(tree.Put("bin/link", Node::Symlink(std::string(200, 't'))));
  ASSERT_TRUE(tree.Put(deep, File("deep")));
  ASSERT_TRUE(tree.Put("gone", Node::Whiteout()));
  ASSERT_TRUE(WriteFileAtomic(directory_.path() / "x.tar", Tar(tree)));
  Command list;
  list.argv = {"tar", "--utc", "--numeric-owner", "-tvf", directory_.path() / "x.tar"};
  const auto out = RunChecked(list, std::chrono::seconds(20));
  ASSERT_TRUE(out) << out.error().Render();
  EXPECT_EQ(*out,
            "drwxr-xr-x 0/0               0 1970-01-01 00:00 bin/\n"
            "lrwxrwxrwx 0/0               0 1970-01-01 00:00 bin/link -> " +
                std::string(200, 't') +
                "\n"
                "-rwsr-xr-x 3000000/0        10 1970-01-01 00:00 bin/same\n"
                "hrwsr-xr-x 3000000/0         0 1970-01-01 00:00 bin/tool link to bin/same\n"
                "drwxr-xr-x 0/0               0 1970-01-01 00:00 " +
                std::string(90, 'd') +
                "/\n"
                "drwxr-xr-x 0/0               0 1970-01-01 00:00 " +
                std::string(90, 'd') + "/" + std::string(90, 'e') +
                "/\n"
                "-rw-r--r-- 0/0               4 1970-01-01 00:00 " +
                deep +
                "\n"
                "---------- 0/0               0 1970-01-01 00:00 .wh.gone\n");
}

TEST_F(TarWriterTest, LargeFilesComeThroughTheSecondThread) {
  Tree tree;
  std::string big(9'000'001, '\0');
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i >> 9 ^ i);
  ASSERT_TRUE(tree.Put("big", File(big)));
  ASSERT_TRUE(tree.Put("small", File("small")));
  const std::string tar = Tar(tree);
  EXPECT_EQ(tar.size(), TarSize(tree));
  EXPECT_EQ(tar.substr(512, big.size()), big);
  // The sink's own error ends it, without waiting for the rest.
  size_t calls = 0;
  const auto stopped = WriteTar(tree, pool_, [&](std::string_view) -> Result<void> {
    ++calls;
    return Error(Code::kCancelled, "enough");
  });
  EXPECT_EQ(stopped.error().code(), Code::kCancelled);
  EXPECT_EQ(calls, 1U);
}

TEST_F(TarWriterTest, SizesBeyondUstarAreTold) {
  Tree tree;
  ASSERT_TRUE(tree.Put("huge", Node::Regular(ObjectId::Of("absent"), uint64_t{9} << 30)));
  // PAX header and its record, the header itself, the contents, the end.
  EXPECT_EQ(TarSize(tree), 512 + 512 + 512 + (uint64_t{9} << 30) + 1024);
}

TEST_F(TarWriterTest, ReportsMissingAndWrongObjects) {
  const auto discard = [](std::string_view) { return Result<void>(); };
  Tree missing;
  ASSERT_TRUE(missing.Put("a", Node::Regular(ObjectId::Of("never put"), 9)));
  EXPECT_EQ(WriteTar(missing, pool_, discard).error().code(), Code::kNotFound);
  for (const uint64_t size : {uint64_t{2}, uint64_t{99}}) {
    Tree wrong;
    ASSERT_TRUE(wrong.Put("a", Node::Regular(*pool_.Put("five!"), size)));
    EXPECT_EQ(WriteTar(wrong, pool_, discard).error().code(), Code::kCorrupt);
  }
  Tree name;
  ASSERT_TRUE(name.Put(".wh.x", File("x")));
  EXPECT_EQ(WriteTar(name, pool_, discard).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace ingot::store
