#include "store/capture.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

namespace ingot::store {
namespace {

using ::testing::ElementsAre;

class CaptureTest : public ::testing::Test {
 protected:
  CaptureTest()
      : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-capture-")),
        pool_(*ObjectPool::Open(directory_.path() / "objects")),
        root_(directory_.path() / "root") {
    fs::create_directories(root_);
  }
  void Write(const fs::path& path, const std::string& bytes) {
    fs::create_directories((root_ / path).parent_path());
    ASSERT_TRUE(WriteFileAtomic(root_ / path, bytes, 0644, Durability::kNone));
  }
  bool Attribute(const fs::path& path, const char* name, const std::string& value) {
    return ::lsetxattr((root_ / path).c_str(), name, value.data(), value.size(), 0) == 0;
  }

  TempDirectory directory_;
  ObjectPool pool_;
  fs::path root_;
};

TEST_F(CaptureTest, MovesFilesIntoThePool) {
  Write("a/file", std::string(10'000, 'x'));
  fs::create_hard_link(root_ / "a/file", root_ / "a/link");
  fs::create_symlink("../target", root_ / "a/symlink");
  ASSERT_EQ(::chmod((root_ / "a/file").c_str(), 04711), 0);
  struct stat st {};
  ASSERT_EQ(::stat((root_ / "a/file").c_str(), &st), 0);
  CaptureOptions options;
  options.fixed_mtime_s = 7;
  const auto captured = CaptureDirectory(root_, pool_, options);
  ASSERT_TRUE(captured) << captured.error().Render();
  ASSERT_TRUE(pool_.Flush());
  const Node& file = *captured->tree.Find("a/file");
  EXPECT_EQ(file.mode, 04711U);
  EXPECT_EQ(file.mtime_s, 7);
  EXPECT_EQ(file.size_bytes, 10'000U);
  EXPECT_EQ(captured->tree.names().find("a/link")->second, captured->tree.names().find("a/file")->second);
  EXPECT_EQ(captured->tree.Find("a/symlink")->target, "../target");
  EXPECT_EQ(captured->bytes, 10'000U);
  EXPECT_FALSE(fs::exists(root_ / "a/file"));
  EXPECT_FALSE(fs::exists(root_ / "a/link"));
  struct stat object {};
  ASSERT_EQ(::stat(pool_.PathOf(file.object).c_str(), &object), 0);
  EXPECT_EQ(object.st_ino, st.st_ino);  // moved, not copied
  EXPECT_EQ(object.st_nlink, 1U);
}

TEST_F(CaptureTest, CopiesWhenAsked) {
  Write("file", "contents");
  CaptureOptions options;
  options.move = false;
  options.owner = std::pair<uint32_t, uint32_t>(12, 34);
  const auto captured = CaptureDirectory(root_, pool_, options);
  ASSERT_TRUE(captured);
  EXPECT_EQ(captured->tree.Find("file")->object, ObjectId::Of("contents"));
  EXPECT_EQ(captured->tree.Find("file")->uid, 12U);
  EXPECT_EQ(captured->tree.Find("file")->gid, 34U);
  EXPECT_EQ(*ReadFile(root_ / "file"), "contents");
}

TEST_F(CaptureTest, ClampsOnlyLaterTimes) {
  Write("old", "1");
  Write("new", "2");
  const timespec old_times[2] = {{100, 5}, {100, 5}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (root_ / "old").c_str(), old_times, 0), 0);
  CaptureOptions options;
  options.clamp_mtime_s = 1000;
  const auto captured = CaptureDirectory(root_, pool_, options);
  ASSERT_TRUE(captured);
  EXPECT_EQ(captured->tree.Find("old")->mtime_s, 100);
  EXPECT_EQ(captured->tree.Find("old")->mtime_ns, 5U);
  EXPECT_EQ(captured->tree.Find("new")->mtime_s, 1000);
  EXPECT_EQ(captured->tree.Find("new")->mtime_ns, 0U);
}

TEST_F(CaptureTest, LeavesOutWhatIsExcludedAndMentionsSockets) {
  Write("keep/x", "1");
  Write("skip/y", "2");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (root_ / "s").string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  CaptureOptions options;
  options.exclude = {"skip"};
  const auto captured = CaptureDirectory(root_, pool_, options);
  ASSERT_TRUE(captured);
  EXPECT_THAT(captured->dropped, ElementsAre("s"));
  EXPECT_EQ(captured->tree.Find("skip"), nullptr);
  EXPECT_TRUE(fs::exists(root_ / "skip/y"));
  EXPECT_EQ(captured->tree.names().size(), 3U);
}

TEST_F(CaptureTest, ReadsTheMarksOfOverlayfs) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIP: trusted attributes and devices need root";
  Write("opaque/new", "1");
  Write("attribute-whiteout", "");
  Write("meta", "");
  ASSERT_EQ(::truncate((root_ / "meta").c_str(), 5), 0);
  if (!Attribute("opaque", "trusted.overlay.opaque", "y")) GTEST_SKIP() << "SKIP: no trusted attributes here";
  ASSERT_TRUE(Attribute("attribute-whiteout", "trusted.overlay.whiteout", ""));
  ASSERT_TRUE(Attribute("meta", "trusted.overlay.metacopy", ""));
  ASSERT_TRUE(Attribute("meta", "trusted.overlay.redirect", "/was/here"));
  ASSERT_TRUE(Attribute("meta", "trusted.overlay.origin", "x"));
  ASSERT_TRUE(Attribute("meta", "user.note", "kept"));
  ASSERT_EQ(::mknod((root_ / "gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  Tree lower;
  ASSERT_TRUE(lower.Put("was/here", Node::Regular(ObjectId::Of("lower"), 5)));
  CaptureOptions options;
  EXPECT_EQ(CaptureUpper(root_, pool_, options).error().code(), Code::kUnsupported);
  options.lower = [&]() -> Result<const Tree*> { return &lower; };
  const auto captured = CaptureUpper(root_, pool_, options);
  ASSERT_TRUE(captured) << captured.error().Render();
  EXPECT_TRUE(captured->tree.Find("opaque")->opaque);
  EXPECT_EQ(captured->tree.Find("gone")->type, NodeType::kWhiteout);
  EXPECT_EQ(captured->tree.Find("attribute-whiteout")->type, NodeType::kWhiteout);
  const Node& meta = *captured->tree.Find("meta");
  EXPECT_EQ(meta.object, ObjectId::Of("lower"));
  EXPECT_EQ(meta.xattrs, (std::map<std::string, std::string>{{"user.note", "kept"}}));

  Tree without;
  options.lower = [&]() -> Result<const Tree*> { return &without; };
  EXPECT_EQ(CaptureUpper(root_, pool_, options).error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace ingot::store
