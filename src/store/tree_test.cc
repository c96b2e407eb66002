#include "store/tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/random_tree.h"

namespace ingot::store {
namespace {

using ::testing::ElementsAre;

Node FileEntry(std::string_view bytes) {
  return Node::Regular(ObjectId::Of(bytes), bytes.size());
}

std::vector<std::string> Paths(const Tree& tree) {
  std::vector<std::string> out;
  for (const auto& [path, id] : tree.names()) out.push_back(path);
  return out;
}

TEST(TreeTest, NamesAreInTheOrderOfAWalk) {
  Tree tree;
  for (const char* path : {"a-b", "a/c", "a", "a/b/x", "ab", "a\x01"})
    ASSERT_TRUE(tree.Put(path, path == std::string("a") ? Node::Directory() : FileEntry("1")));
  EXPECT_THAT(Paths(tree), ElementsAre("", "a", "a/b", "a/b/x", "a/c", "a\x01", "a-b", "ab"));
  EXPECT_THAT(tree.List(""), ElementsAre("a", "a\x01", "a-b", "ab"));
  EXPECT_THAT(tree.List("a"), ElementsAre("b", "c"));
  EXPECT_TRUE(tree.Find("a/b")->implied);
  EXPECT_FALSE(tree.Find("a")->implied);
}

TEST(TreeTest, RefusesPathsThatAreNotCanonical) {
  Tree tree;
  for (const std::string& path :
       {std::string("/a"), std::string("a/"), std::string("a//b"), std::string("."), std::string("a/.."),
        std::string("../a"), std::string("a\0b", 3), std::string(256, 'x'), std::string(5000, 'x')}) {
    const auto put = tree.Put(path, FileEntry("1"));
    ASSERT_FALSE(put) << path;
    EXPECT_EQ(put.error().code(), Code::kInvalid);
  }
  EXPECT_TRUE(tree.empty());
}

TEST(TreeTest, NothingStandsBelowAFile) {
  Tree tree;
  ASSERT_TRUE(tree.Put("link", Node::Symlink("/etc")));
  EXPECT_EQ(tree.Put("link/passwd", FileEntry("1")).error().code(), Code::kInvalid);
  EXPECT_EQ(tree.Put("link/a/b", FileEntry("1")).error().code(), Code::kInvalid);
  EXPECT_EQ(tree.Put("", FileEntry("1")).error().code(), Code::kInvalid);
  EXPECT_THAT(Paths(tree), ElementsAre("", "link"));
}

TEST(TreeTest, ReplacingADirectoryTakesItsContents) {
  Tree tree;
  ASSERT_TRUE(tree.Put("d/x", FileEntry("1")));
  ASSERT_TRUE(tree.Put("d", Node::Directory(0700)));
  EXPECT_THAT(Paths(tree), ElementsAre("", "d", "d/x"));
  ASSERT_TRUE(tree.Put("d", FileEntry("1")));
  EXPECT_THAT(Paths(tree), ElementsAre("", "d"));
}

TEST(TreeTest, HardLinksShareAnInode) {
  Tree tree;
  ASSERT_TRUE(tree.Put("a", FileEntry("1")));
  ASSERT_TRUE(tree.Link("d/b", "a"));
  tree.Find("a")->mode = 0600;
  EXPECT_EQ(tree.Find("d/b")->mode, 0600U);
  EXPECT_EQ(tree.ContentBytes(), 1U);
  Tree copies;
  ASSERT_TRUE(copies.Put("a", *tree.Find("a")));
  ASSERT_TRUE(copies.Put("d/b", *tree.Find("a")));
  EXPECT_FALSE(tree == copies);
  EXPECT_EQ(tree.Link("x", "none").error().code(), Code::kNotFound);
  EXPECT_EQ(tree.Link("x", "d").error().code(), Code::kInvalid);
  EXPECT_EQ(tree.Link("a/x", "a").error().code(), Code::kInvalid);
  EXPECT_EQ(tree.Link("d", "d/b").error().code(), Code::kInvalid);
  // A new inode under one name leaves the other alone.
  ASSERT_TRUE(tree.Put("a", FileEntry("22")));
  EXPECT_EQ(tree.Find("d/b")->size_bytes, 1U);
}

TEST(TreeTest, ApplyOnFollowsOverlayRules) {
  Tree lower;
  for (const char* path : {"etc/a", "etc/b", "gone/x", "opaque/old", "file"})
    ASSERT_TRUE(lower.Put(path, FileEntry("low")));
  Tree upper;
  ASSERT_TRUE(upper.Put("etc", Node::Directory(0700)));
  ASSERT_TRUE(upper.Put("etc/a", FileEntry("up")));
  ASSERT_TRUE(upper.Put("gone", Node::Whiteout()));
  Node opaque = Node::Directory();
  opaque.opaque = true;
  ASSERT_TRUE(upper.Put("opaque", opaque));
  ASSERT_TRUE(upper.Put("opaque/new", FileEntry("up")));
  ASSERT_TRUE(upper.Put("file/now/a/directory", FileEntry("up")));
  const Tree merged = ApplyOn(lower, upper);
  EXPECT_THAT(Paths(merged), ElementsAre("", "etc", "etc/a", "etc/b", "file", "file/now", "file/now/a",
                                         "file/now/a/directory", "opaque", "opaque/new"));
  EXPECT_EQ(merged.Find("etc")->mode, 0700U);
  EXPECT_EQ(merged.Find("etc/a")->size_bytes, 2U);
  EXPECT_FALSE(merged.Find("opaque")->opaque);
  const Tree layer = ApplyOn(lower, upper, /*keep_whiteouts=*/true);
  EXPECT_EQ(layer.Find("gone")->type, NodeType::kWhiteout);
  EXPECT_TRUE(layer.Find("opaque")->opaque);
  EXPECT_TRUE(layer.Find("file")->opaque);  // it hides what is below the file
}

TEST(TreeTest, ImpliedDirectoriesTakeWhatIsBelow) {
  Tree lower;
  ASSERT_TRUE(lower.Put("var/lib", Node::Directory(01777)));
  Tree upper;
  ASSERT_TRUE(upper.Put("var/lib/new/file", FileEntry("1")));
  EXPECT_EQ(ApplyOn(lower, upper).Find("var/lib")->mode, 01777U);
  FillImplied(upper, lower);
  EXPECT_EQ(upper.Find("var/lib")->mode, 01777U);
  EXPECT_FALSE(upper.Find("var/lib")->implied);
  EXPECT_TRUE(upper.Find("var/lib/new")->implied);
}

TEST(TreeTest, DiffNamesEachChange) {
  Tree before;
  for (const char* path : {"a", "d/x", "d/y", "same"}) ASSERT_TRUE(before.Put(path, FileEntry("1")));
  Tree after = before;
  ASSERT_TRUE(after.Put("a", FileEntry("22")));
  after.Remove("d");
  ASSERT_TRUE(after.Put("new", FileEntry("3")));
  EXPECT_THAT(Diff(before, after),
              ElementsAre(TreeChange{ChangeKind::kChanged, "a"}, TreeChange{ChangeKind::kRemoved, "d"},
                          TreeChange{ChangeKind::kRemoved, "d/x"}, TreeChange{ChangeKind::kRemoved, "d/y"},
                          TreeChange{ChangeKind::kAdded, "new"}));
}

TEST(TreeTest, DiffLayerLeadsFromOneTreeToTheOther) {
  auto directory = TempDirectory::Make(fs::temp_directory_path(), "ingot-tree-");
  ASSERT_TRUE(directory);
  auto pool = ObjectPool::Open(directory->path() / "objects");
  ASSERT_TRUE(pool);
  for (uint64_t seed = 0; seed < 150; ++seed) {
    RandomTree random(seed, *pool);
    const Tree before = random.Make(60, /*layer=*/false);
    const Tree after = random.Change(before, random.Below(25));
    const Tree layer = DiffLayer(before, after);
    EXPECT_TRUE(ApplyOn(before, layer) == after) << "seed " << seed;
    // And so through a squashed pair of layers.
    const Tree last = random.Change(after, 10);
    EXPECT_TRUE(ApplyOn(before, ApplyOn(layer, DiffLayer(after, last), /*keep_whiteouts=*/true)) == last)
        << "seed " << seed;
  }
}

}  // namespace
}  // namespace ingot::store
