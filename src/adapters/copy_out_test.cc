#include "adapters/copy_out.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ingot::adapters {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

TEST(CopyOut, TakesPlainFilesAndLeavesOutWhatCouldLeadElsewhere) {
  TempDirectory directory = TempDirectory::Make("/tmp", "ingot-copy-").value();
  const fs::path from = directory.path() / "from";
  ASSERT_TRUE(MakeDirectories(from / "deep"));
  ASSERT_TRUE(WriteFileAtomic(from / "a", "one", 04755));
  ASSERT_TRUE(WriteFileAtomic(from / "deep/ü", "two"));
  ASSERT_TRUE(WriteFileAtomic(from / "bad\xff", "x"));
  ASSERT_TRUE(WriteFileAtomic(from / "new\nline", "x"));
  ASSERT_EQ(::symlink("/etc", (from / "link").c_str()), 0);
  ASSERT_EQ(::mkfifo((from / "pipe").c_str(), 0644), 0);
  ASSERT_TRUE(WriteFileAtomic(from / "large", ""));
  ASSERT_EQ(::truncate((from / "large").c_str(), 1 << 20), 0);

  Fd opened = OpenFile(from, O_RDONLY | O_DIRECTORY).value();
  platform::CopiedOut out;
  const fs::path target = directory.path() / "to";
  const auto copied = CopyTreeOut(opened.get(), target, "/out/x", 1'000, out);
  ASSERT_TRUE(copied) << copied.error().Render();
  EXPECT_EQ(out.files, 2u);
  EXPECT_EQ(out.bytes, 6u);
  EXPECT_EQ(out.left_out_count, 5u);
  EXPECT_THAT(out.left_out,
              UnorderedElementsAre("a file: its name is not plain text", "a file: its name is not plain text",
                                   "/out/x/link: a symbolic link", "/out/x/pipe: not a plain file",
                                   "/out/x/large: larger than what its scratch holds"));
  EXPECT_THAT(*ListDirectory(target / "out/x"), ElementsAre("a", "deep"));
  EXPECT_EQ(*ReadFile(target / "out/x/deep/ü"), "two");
  struct stat st {};
  ASSERT_EQ(::stat((target / "out/x/a").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07111, 0u) << "neither set-id nor to be executed";
  // Never onto something that is there.
  EXPECT_FALSE(CopyTreeOut(opened.get(), target, "/out/x", 1'000, out));
}

TEST(CopyOut, GoesNoDeeperThanItSays) {
  TempDirectory directory = TempDirectory::Make("/tmp", "ingot-copy-").value();
  fs::path deepest = directory.path() / "from";
  for (int i = 0; i < 70; ++i) deepest /= "d";
  ASSERT_TRUE(MakeDirectories(deepest));
  Fd opened = OpenFile(directory.path() / "from", O_RDONLY | O_DIRECTORY).value();
  platform::CopiedOut out;
  ASSERT_TRUE(CopyTreeOut(opened.get(), directory.path() / "to", "/out", 1'000, out));
  EXPECT_EQ(out.left_out_count, 1u);
}

}  // namespace
}  // namespace ingot::adapters
