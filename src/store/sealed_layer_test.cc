#include "store/sealed_layer.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/sha256.h"
#include "base/subprocess.h"
#include "store/erofs_format.h"
#include "store/random_tree.h"

namespace ingot::store {
namespace {

using std::chrono::seconds;

class SealedLayerTest : public ::testing::Test {
 protected:
  SealedLayerTest()
      : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-sealed-")),
        pool_(*ObjectPool::Open(directory_.path() / "objects")) {}

  Tree Random(uint64_t seed, size_t names = 120) {
    return RandomTree(seed, pool_).Make(names, /*layer=*/true);
  }
  fs::path Write(const std::string& bytes) {
    const fs::path path = directory_.path() / "layer.erofs";
    EXPECT_TRUE(WriteFileAtomic(path, bytes, 0644, Durability::kNone));
    return path;
  }

  TempDirectory directory_;
  ObjectPool pool_;
};

Node File(std::string_view bytes) {
  return Node::Regular(ObjectId::Of(bytes), bytes.size());
}

TEST_F(SealedLayerTest, ParseIsTheInverseOfRender) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Tree tree = Random(seed);
    const auto image = RenderSealed(tree);
    ASSERT_TRUE(image) << image.error().Render();
    EXPECT_EQ(image->size() % 4096, 0U);
    const auto parsed = ParseSealed(*image);
    ASSERT_TRUE(parsed) << "seed " << seed << ": " << parsed.error().Render();
    ASSERT_TRUE(*parsed == tree) << "seed " << seed;
    EXPECT_EQ(*RenderSealed(*parsed), *image) << "seed " << seed;
  }
}

TEST_F(SealedLayerTest, TheOrderOfMakingDoesNotShow) {
  const Tree tree = Random(7);
  Tree reversed;
  for (auto it = tree.names().rbegin(); it != tree.names().rend(); ++it) {
    if (!tree.node(it->second).IsDirectory()) continue;
    ASSERT_TRUE(reversed.Put(it->first, tree.node(it->second)));
  }
  std::map<Tree::NodeId, std::string> seen;
  for (auto it = tree.names().rbegin(); it != tree.names().rend(); ++it) {
    if (tree.node(it->second).IsDirectory()) continue;
    const auto [known, fresh] = seen.emplace(it->second, it->first);
    if (fresh) {
      ASSERT_TRUE(reversed.Put(it->first, tree.node(it->second)));
    } else {
      ASSERT_TRUE(reversed.Link(it->first, known->second));
    }
  }
  EXPECT_EQ(*RenderSealed(reversed), *RenderSealed(tree));
}

// The bytes are a format: layers stored by one version are looked for by digest by the next.
TEST_F(SealedLayerTest, TheBytesStayTheSame) {
  Tree tree;
  Node file = File("hello\n");
  file.mtime_s = 1'700'000'000;
  file.xattrs["user.note"] = "kept";
  ASSERT_TRUE(tree.Put("etc/motd", file));
  ASSERT_TRUE(tree.Link("etc/issue", "etc/motd"));
  ASSERT_TRUE(tree.Put("etc/link", Node::Symlink("motd")));
  ASSERT_TRUE(tree.Put("etc/old", Node::Whiteout()));
  const auto image = RenderSealed(tree);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->size(), 4096U);
  EXPECT_EQ(Sha256Hex(*image), "e52da45d548d1d682743db0ef61990672f8e361d1390676bf0ae5899ae0e8bb3");
}

TEST_F(SealedLayerTest, SizesAreInProportion) {
  Tree one;
  ASSERT_TRUE(one.Put("app/config/settings.json", File("{}")));
  EXPECT_LE(RenderSealed(one)->size(), 16U * 1024);

  Tree base;
  for (int i = 0; i < 6246; ++i) {
    Node file = File(std::to_string(i));
    file.mtime_s = 1'600'000'000 + i;
    ASSERT_TRUE(
        base.Put("usr/share/doc/package-" + std::to_string(i / 8) + "/file-" + std::to_string(i), file));
  }
  EXPECT_LE(RenderSealed(base)->size(), size_t{2'300'000});
}

TEST_F(SealedLayerTest, RefusesWhatTheFormatCannotTell) {
  const auto refuse = [](const std::string& path, Node node) {
    Tree tree;
    EXPECT_TRUE(tree.Put(path, std::move(node)));
    const auto image = RenderSealed(tree);
    ASSERT_FALSE(image) << path;
    EXPECT_EQ(image.error().code(), Code::kInvalid) << path;
  };
  Node node = File("x");
  node.xattrs["trusted.overlay.opaque"] = "y";
  refuse("obeyed", node);
  node = File("x");
  node.xattrs["com.apple.quarantine"] = "y";
  refuse("unknown-namespace", node);
  node = File("x");
  node.xattrs["user.big"] = std::string(65'530, 'x');
  refuse("big-attribute", node);
  node = File("x");
  node.size_bytes = uint64_t{1} << 49;
  refuse("huge", node);
  node = File("x");
  node.size_bytes = 0;
  refuse("object-without-contents", node);
  refuse("contents-without-object", Node::Regular({}, 5));
  node = Node::Symlink(std::string(4096, 'x'));
  refuse("long-link", node);
  node = {};
  node.type = NodeType::kCharDevice;
  refuse("zero-device", node);
  refuse(".wh.name", File("x"));
  // Overlayfs would find it in place of the object.
  refuse(ObjectId::Of("x").RelativePath(), File("y"));
}

TEST_F(SealedLayerTest, FilesOfAnySizeHaveTheirSize) {
  for (const uint64_t size : {uint64_t{1}, uint64_t{4096}, uint64_t{4097}, uint64_t{1} << 32,
                              (uint64_t{1} << 43) + 1, uint64_t{1} << 48}) {
    Tree tree;
    ASSERT_TRUE(tree.Put("big", Node::Regular(ObjectId::Of("any"), size)));
    const auto image = RenderSealed(tree);
    ASSERT_TRUE(image) << size;
    const auto parsed = ParseSealed(*image);
    ASSERT_TRUE(parsed) << parsed.error().Render();
    EXPECT_EQ(parsed->Find("big")->size_bytes, size);
  }
}

TEST_F(SealedLayerTest, DirectoriesOfManyBlocks) {
  Tree tree;
  for (int i = 0; i < 5000; ++i)
    ASSERT_TRUE(tree.Put("d/" + std::string(i % 200, 'n') + std::to_string(i), File("x")));
  const auto image = RenderSealed(tree);
  ASSERT_TRUE(image);
  const auto parsed = ParseSealed(*image);
  ASSERT_TRUE(parsed) << parsed.error().Render();
  EXPECT_TRUE(*parsed == tree);
}

// Bytes that anybody may have made: any answer but a crash, a hang or a tree that cannot be sealed again.
TEST_F(SealedLayerTest, DamagedImagesAreRefusedOrStillATree) {
  std::mt19937_64 random(1);
  size_t refused = 0;
  std::vector<std::string> images;
  for (uint64_t seed = 0; seed < 5; ++seed) images.push_back(*RenderSealed(Random(seed, 40)));
  for (int round = 0; round < 3000; ++round) {
    std::string image = images[static_cast<size_t>(round) % images.size()];
    const size_t hits = 1 + random() % 4;
    for (size_t i = 0; i < hits; ++i) {
      const size_t at = 1024 + random() % (image.size() - 1024);
      image[at] = static_cast<char>(random() % 2 == 0 ? random() : image[at] ^ (1 << random() % 8));
    }
    const auto parsed = ParseSealed(image);
    if (!parsed) {
      EXPECT_EQ(parsed.error().code(), Code::kCorrupt);
      ++refused;
    } else {
      const auto again = RenderSealed(*parsed);
      ASSERT_TRUE(again) << again.error().Render();
      EXPECT_TRUE(*ParseSealed(*again) == *parsed);
    }
  }
  EXPECT_GT(refused, 500U);
}

TEST_F(SealedLayerTest, CutOffImagesAreRefused) {
  const std::string image = *RenderSealed(Random(3));
  for (size_t size = 0; size < image.size(); size += 512) {
    const auto parsed = ParseSealed(std::string_view(image).substr(0, size));
    ASSERT_FALSE(parsed) << size;
    EXPECT_EQ(parsed.error().code(), Code::kCorrupt);
  }
}

TEST_F(SealedLayerTest, PassesFsckErofs) {
  if (!FindProgram("fsck.erofs")) GTEST_SKIP() << "SKIP: fsck.erofs is not installed (package erofs-utils)";
  for (uint64_t seed = 100; seed < 108; ++seed) {
    Command command;
    command.argv = {"fsck.erofs", Write(*RenderSealed(Random(seed)))};
    const auto checked = RunChecked(command, seconds(20));
    EXPECT_TRUE(checked) << "seed " << seed << ": " << checked.error().Render();
  }
}

TEST_F(SealedLayerTest, IsReadByComposefsInfo) {
  if (!FindProgram("composefs-info"))
    GTEST_SKIP() << "SKIP: composefs-info is not on PATH (Debian 12 has no package)";
  Tree tree;
  ASSERT_TRUE(tree.Put("usr/bin/tool", File("#!/bin/sh\n")));
  ASSERT_TRUE(tree.Put("usr/bin/alias", Node::Symlink("tool")));
  Command objects;
  objects.argv = {"composefs-info", "objects", Write(*RenderSealed(tree))};
  const auto listed = RunChecked(objects, seconds(20));
  ASSERT_TRUE(listed) << listed.error().Render();
  EXPECT_EQ(*listed, ObjectId::Of("#!/bin/sh\n").RelativePath() + "\n");
  Command dump;
  dump.argv = {"composefs-info", "dump", directory_.path() / "layer.erofs"};
  const auto dumped = RunChecked(dump, seconds(20));
  ASSERT_TRUE(dumped) << dumped.error().Render();
  EXPECT_NE(dumped->find("/usr/bin/tool 10 100644 1 0 0 0 0.0 " + ObjectId::Of("#!/bin/sh\n").RelativePath()),
            std::string::npos)
      << *dumped;
  EXPECT_NE(dumped->find("/usr/bin/alias 4 120777 1 0 0 0 0.0 tool"), std::string::npos) << *dumped;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Command all;
    all.argv = {"composefs-info", "dump", Write(*RenderSealed(Random(seed)))};
    EXPECT_TRUE(RunChecked(all, seconds(20))) << seed;
  }
}

TEST_F(SealedLayerTest, WhiteoutTopHidesThePoolsFolders) {
  Node root = Node::Directory(0751);
  root.uid = 5;
  const auto top = RenderWhiteoutTop(root);
  ASSERT_TRUE(top);
  const auto parsed = ParseSealed(*top);
  ASSERT_TRUE(parsed) << parsed.error().Render();
  EXPECT_EQ(parsed->names().size(), 257U);
  EXPECT_EQ(parsed->Find("a0")->type, NodeType::kWhiteout);
  EXPECT_EQ(parsed->Find("")->mode, 0751U);
  EXPECT_EQ(parsed->Find("")->uid, 5U);
}

}  // namespace
}  // namespace ingot::store
