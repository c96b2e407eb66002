#include "adapters/id_ranges.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace ingot::adapters {
namespace {

class IdRangesTest : public ::testing::Test {
 protected:
  IdRangesTest() : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-ids-")) {}
  IdRanges Of(const std::string& key) {
    const fs::path root = directory_.path() / ("root-" + key);
    EXPECT_TRUE(MakeDirectories(root));
    return IdRanges({.directory = directory_.path() / "ids",
                     .subuid = directory_.path() / "subuid",
                     .subgid = directory_.path() / "subgid",
                     .root_key = key,
                     .root = root});
  }
  TempDirectory directory_;
};

TEST_F(IdRangesTest, SameNameSameRangeUntilReleased) {
  const IdRanges a = Of("a");
  const IdRanges b = Of("b");
  EXPECT_EQ(a.Acquire("web.1")->first, 268'435'456u);
  EXPECT_EQ(b.Acquire("web.1")->first, 268'500'992u);
  EXPECT_EQ(a.Acquire("web.1")->first, 268'435'456u);
  EXPECT_EQ(a.Acquire("web.1")->count, 65'536u);
  ASSERT_TRUE(a.Release("web.1"));
  ASSERT_TRUE(a.Release("web.1"));
  EXPECT_EQ(b.Acquire("web.2")->first, 268'435'456u);
}

TEST_F(IdRangesTest, AvoidsRangesOfUsers) {
  ASSERT_TRUE(WriteFileAtomic(directory_.path() / "subuid", "someone:268435456:65536\n"));
  ASSERT_TRUE(WriteFileAtomic(directory_.path() / "subgid", "someone:268500993:1\n"));
  EXPECT_EQ(Of("a").Acquire("web.1")->first, 268'435'456u + 2 * 65'536);
}

TEST_F(IdRangesTest, RangesOfARemovedRootAreFreeAgain) {
  const IdRanges dead = Of("dead");
  EXPECT_EQ(dead.Acquire("web.1")->first, 268'435'456u);
  ASSERT_TRUE(RemoveTree(directory_.path() / "root-dead"));
  EXPECT_EQ(Of("b").Acquire("web.1")->first, 268'435'456u);
}

TEST_F(IdRangesTest, KeepOnlyReleasesTheRestOfItsOwnRoot) {
  const IdRanges a = Of("a");
  const IdRanges b = Of("b");
  ASSERT_TRUE(a.Acquire("web.1"));
  ASSERT_TRUE(a.Acquire("web.2"));
  ASSERT_TRUE(b.Acquire("web.1"));
  ASSERT_TRUE(a.KeepOnly({"web.2"}));
  EXPECT_EQ(a.Acquire("web.2")->first, 268'500'992u);
  EXPECT_EQ(b.Acquire("web.1")->first, 268'566'528u);
  EXPECT_EQ(b.Acquire("web.3")->first, 268'435'456u);
}

TEST_F(IdRangesTest, ThreadsNeverShareOne) {
  std::vector<std::vector<uint32_t>> got(4);
  std::vector<std::thread> threads;
  const IdRanges a = Of("a");
  for (size_t thread = 0; thread < got.size(); ++thread)
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 20; ++i)
        got[thread].push_back(a.Acquire("t" + std::to_string(thread) + "." + std::to_string(i))->first);
    });
  for (std::thread& thread : threads) thread.join();
  std::set<uint32_t> all;
  for (const auto& part : got) all.insert(part.begin(), part.end());
  EXPECT_EQ(all.size(), 80u);
}

TEST_F(IdRangesTest, FullIsSaid) {
  ASSERT_TRUE(WriteFileAtomic(directory_.path() / "subuid", "someone:268435456:4294967295\n"));
  EXPECT_EQ(Of("a").Acquire("web.1").error().code(), Code::kNoSpace);
  EXPECT_EQ(Of("a").Acquire("two words").error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace ingot::adapters
