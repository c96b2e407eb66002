#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <thread>

namespace ingot {
namespace {

class FileTest : public ::testing::Test {
 protected:
  TempDirectory temp_ = *TempDirectory::Make("/tmp", "ingot-file-test-");
  const fs::path& here() const { return temp_.path(); }
};

TEST_F(FileTest, WritesAtomicallyWithTheModeWhateverTheUmask) {
  const mode_t umask = ::umask(077);
  ASSERT_TRUE(WriteFileAtomic(here() / "a", "one", 0644));
  ASSERT_TRUE(WriteFileAtomic(here() / "a", "two", 0644));
  ::umask(umask);
  EXPECT_EQ(*ReadFile(here() / "a"), "two");
  struct stat st {};
  ASSERT_EQ(::stat((here() / "a").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0644u);
  EXPECT_EQ(*ListDirectory(here()), std::vector<std::string>{"a"}) << "no temporary file is left";
}

TEST_F(FileTest, AReaderSeesTheOldOrTheNewBytes) {
  ASSERT_TRUE(WriteFileAtomic(here() / "a", std::string(100'000, 'x')));
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i)
      ASSERT_TRUE(WriteFileAtomic(here() / "a", std::string(100'000, i % 2 == 0 ? 'y' : 'x'), 0644,
                                  Durability::kNone));
  });
  for (int i = 0; i < 200; ++i) {
    const std::string seen = *ReadFile(here() / "a");
    ASSERT_EQ(seen.size(), 100'000u);
    ASSERT_EQ(seen.find_first_not_of(seen[0]), std::string::npos);
  }
  writer.join();
}

TEST_F(FileTest, ErrorsSayWhich) {
  EXPECT_EQ(ReadFile(here() / "missing").error().code(), Code::kNotFound);
  ASSERT_TRUE(WriteFileAtomic(here() / "big", std::string(11, 'x')));
  EXPECT_EQ(ReadFile(here() / "big", 10).error().code(), Code::kInvalid);
  EXPECT_EQ(ListDirectory(here() / "missing").error().code(), Code::kNotFound);
}

TEST_F(FileTest, RemoveTreeDoesNotFollowLinks) {
  ASSERT_TRUE(MakeDirectories(here() / "outside"));
  ASSERT_TRUE(WriteFileAtomic(here() / "outside/kept", "x"));
  ASSERT_TRUE(MakeDirectories(here() / "tree/a/b"));
  ASSERT_EQ(::symlink((here() / "outside").c_str(), (here() / "tree/a/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(here() / "tree"));
  EXPECT_FALSE(fs::exists(here() / "tree"));
  EXPECT_EQ(*ReadFile(here() / "outside/kept"), "x");
  EXPECT_TRUE(RemoveTree(here() / "tree")) << "missing is success";
}

TEST_F(FileTest, ALockIsHeldUntilItsEnd) {
  {
    const FileLock lock = *FileLock::Take(here() / "lock", false);
    EXPECT_EQ(FileLock::Take(here() / "lock", false).error().code(), Code::kConflict);
  }
  EXPECT_TRUE(FileLock::Take(here() / "lock", false));
}

TEST_F(FileTest, ASweepTakesWhatAKilledWriterLeftAndNothingElse) {
  auto directory = *TempDirectory::Make("/tmp/ingot-test", "sweep");
  const fs::path left = directory.path() / "state.json.tmp.4711.0";
  const fs::path held = directory.path() / "state.json.tmp.4712.0";
  const fs::path other = directory.path() / "state.tmp.json";
  for (const fs::path& path : {left, held, other})
    ASSERT_TRUE(WriteFileAtomic(path, "x", 0644, Durability::kNone));
  const auto writer = OpenFile(held, O_WRONLY);
  ASSERT_EQ(::flock(writer->get(), LOCK_SH | LOCK_NB), 0);
  ASSERT_TRUE(SweepAtomicWrites(directory.path()));
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(held));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_TRUE(SweepAtomicWrites(directory.path() / "nowhere"));
}

}  // namespace
}  // namespace ingot
