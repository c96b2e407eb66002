#include "observe/root_drift.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "store/object_pool.h"

namespace ingot::observe {
namespace {

using store::Node;

// A folder that is what a tree says, and the tree.
class RootDriftTest : public testing::Test {
 protected:
  RootDriftTest() {
    expected_.image = &tree_;
    expected_.first_id = ::getuid();
    expected_.own = {"/etc/hosts"};
    Put("etc/hosts", "the image's");
    Put("bin/app", "program", 0755);
    Put("empty", "");
    Link("lib", "bin");
    for (const char* folder : {"", "etc", "bin"})
      EXPECT_EQ(::stat((root_ / folder).c_str(), &stat_), 0),
          tree_.Find(folder)->mode = stat_.st_mode & 07777;
    EXPECT_TRUE(WriteFileAtomic(root_ / "etc/hosts", "its own", 0644, Durability::kNone));
  }

  void Put(const std::string& path, const std::string& bytes, mode_t mode = 0644) {
    EXPECT_TRUE(MakeDirectories((root_ / path).parent_path()));
    EXPECT_TRUE(WriteFileAtomic(root_ / path, bytes, mode, Durability::kNone));
    EXPECT_EQ(::chmod((root_ / path).c_str(), mode), 0);
    EXPECT_EQ(::stat((root_ / path).c_str(), &stat_), 0);
    Node node = Node::Regular(bytes.empty() ? store::ObjectId() : *pool_.Put(bytes), bytes.size(), mode);
    node.mtime_s = stat_.st_mtim.tv_sec;
    node.mtime_ns = static_cast<uint32_t>(stat_.st_mtim.tv_nsec);
    EXPECT_TRUE(tree_.Put(path, node));
  }
  void Link(const std::string& path, const std::string& target) {
    EXPECT_EQ(::symlink(target.c_str(), (root_ / path).c_str()), 0);
    EXPECT_TRUE(tree_.Put(path, Node::Symlink(target)));
  }
  // Without that the test's folder can be written to.
  RootReport Compare() {
    const Fd root(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    RootReport report = CompareRoot(root.get(), expected_, {});
    const RootDrift writable{RootDrift::Kind::kChanged, "/", "the root can be written to"};
    EXPECT_EQ(std::erase(report.drifts, writable), 1U);
    return report;
  }
  std::vector<RootDrift> Drifts() {
    const RootReport report = Compare();
    EXPECT_EQ(report.unknown, std::vector<std::string>());
    return report.drifts;
  }

  using Drifts_ = std::vector<RootDrift>;
  static constexpr RootDrift::Kind kMissing = RootDrift::Kind::kMissing;
  static constexpr RootDrift::Kind kChanged = RootDrift::Kind::kChanged;
  static constexpr RootDrift::Kind kUnexpected = RootDrift::Kind::kUnexpected;

  TempDirectory directory_ = *TempDirectory::Make("/tmp/ingot-test", "drift");
  fs::path root_ = directory_.path() / "root";
  store::ObjectPool pool_ = *store::ObjectPool::Open(directory_.path() / "objects");
  store::Tree tree_;
  ExpectedRoot expected_;
  struct stat stat_ {};
};

TEST_F(RootDriftTest, WhatIsAsInTheImageIsNone) {
  const RootReport report = Compare();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.bytes, 7U);
  EXPECT_EQ(report.files, 7U);  // the root, two folders, three files, a link
}

TEST_F(RootDriftTest, OtherContentsOfTheSameSizeAndTimeAreFound) {
  const int fd = ::open((root_ / "bin/app").c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::pwrite(fd, "PROGRAM", 7, 0), 7);
  const Node& node = *tree_.Find("bin/app");
  const struct timespec times[] = {{0, UTIME_OMIT}, {node.mtime_s, node.mtime_ns}};
  ASSERT_EQ(::futimens(fd, times), 0);
  ::close(fd);
  EXPECT_EQ(Drifts(), (Drifts_{{kChanged, "/bin/app", "contents"}}));
}

TEST_F(RootDriftTest, EachDifferenceIsNamed) {
  ASSERT_EQ(::chmod((root_ / "bin/app").c_str(), 04755), 0);
  ASSERT_EQ(::unlink((root_ / "empty").c_str()), 0);
  ASSERT_EQ(::unlink((root_ / "lib").c_str()), 0);
  ASSERT_EQ(::symlink("etc", (root_ / "lib").c_str()), 0);
  ASSERT_TRUE(MakeDirectories(root_ / "more/below"));
  EXPECT_EQ(Drifts(), (Drifts_{{kChanged, "/bin/app", "mode"},
                               {kMissing, "/empty", "the image has it"},
                               {kChanged, "/lib", "it leads to etc, not to bin"},
                               {kUnexpected, "/more", "the image does not have it"}}));
}

TEST_F(RootDriftTest, OwnersAreShiftedAndAnotherKindIsNotFollowed) {
  fs::remove_all(root_ / "bin");
  ASSERT_EQ(::symlink("/bin", (root_ / "bin").c_str()), 0);
  EXPECT_EQ(Drifts(), (Drifts_{{kChanged, "/bin", "it is another kind of file"},
                               {kMissing, "/bin/app", "the image has it"}}));
  expected_.first_id += 1;
  EXPECT_EQ(Drifts().size(), 6U);  // the root, /etc, /empty and the link, too
}

TEST_F(RootDriftTest, WhatIsMountedIsNotLookedIntoWhenItWasDeclared) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIP: needs root";
  ASSERT_TRUE(MakeDirectories(root_ / "var/scratch"));
  if (::mount("tmpfs", (root_ / "var/scratch").c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "SKIP: nothing can be mounted here";
  EXPECT_TRUE(WriteFileAtomic(root_ / "var/scratch/file", "x", 0644, Durability::kNone));
  const auto undeclared = Drifts();
  expected_.mounts = {"/var/scratch"};
  const auto declared = Drifts();
  ASSERT_EQ(::mount("tmpfs", (root_ / "bin").c_str(), "tmpfs", 0, "size=1m"), 0);
  const auto covered = Drifts();
  ASSERT_EQ(::umount((root_ / "bin").c_str()), 0);
  ASSERT_EQ(::umount((root_ / "var/scratch").c_str()), 0);
  EXPECT_EQ(undeclared, (Drifts_{{kUnexpected, "/var", "the image does not have it"}}));
  EXPECT_EQ(declared, Drifts_());
  EXPECT_EQ(covered, (Drifts_{{kUnexpected, "/bin", "something is mounted there that nobody declared"},
                              {kMissing, "/bin/app", "the image has it"}}));
}

}  // namespace
}  // namespace ingot::observe
