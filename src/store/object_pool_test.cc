#include "store/object_pool.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <algorithm>
#include <thread>

namespace ingot::store {
namespace {

class ObjectPoolTest : public ::testing::Test {
 protected:
  ObjectPoolTest() : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-pool-")) {}
  ObjectPool Open() { return *ObjectPool::Open(directory_.path() / "objects"); }
  fs::path Write(const std::string& name, const std::string& bytes) {
    EXPECT_TRUE(WriteFileAtomic(directory_.path() / name, bytes, 0644, Durability::kNone));
    return directory_.path() / name;
  }
  std::string Contents(const ObjectPool& pool, const ObjectId& id) {
    const auto fd = pool.OpenObject(id);
    EXPECT_TRUE(fd) << fd.error().Render();
    std::string bytes(1 << 16, '\0');
    bytes.resize(static_cast<size_t>(::read(fd->get(), bytes.data(), bytes.size())));
    return bytes;
  }
  size_t Staged() {
    size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory_.path() / "objects.staging")) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  TempDirectory directory_;
};

TEST_F(ObjectPoolTest, AnObjectIsVisibleToOthersOnlyAfterFlush) {
  ObjectPool pool = Open();
  const ObjectPool other = Open();
  const auto id = pool.Put("hello");
  ASSERT_TRUE(id);
  EXPECT_EQ(*id, ObjectId::Of("hello"));
  EXPECT_TRUE(*pool.Has(*id));
  EXPECT_FALSE(*other.Has(*id));
  EXPECT_FALSE(fs::exists(pool.PathOf(*id)));
  EXPECT_EQ(Contents(pool, *id), "hello");
  ASSERT_TRUE(pool.Flush());
  EXPECT_TRUE(*other.Has(*id));
  EXPECT_EQ(Contents(other, *id), "hello");
  EXPECT_EQ(pool.PathOf(*id), directory_.path() / "objects" / id->RelativePath());
  EXPECT_EQ(*pool.SizeOf(*id), 5U);
  EXPECT_EQ(Staged(), 0U);
  struct stat st {};
  ASSERT_EQ(::stat(pool.PathOf(*id).c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0444U);
}

TEST_F(ObjectPoolTest, TheModeDoesNotDependOnTheUmask) {
  const mode_t before = ::umask(0777);
  ObjectPool pool = Open();
  const auto id = pool.Put("masked");
  const auto flushed = pool.Flush();
  ::umask(before);
  ASSERT_TRUE(id);
  ASSERT_TRUE(flushed) << flushed.error().Render();
  struct stat st {};
  ASSERT_EQ(::stat(pool.PathOf(*id).c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0444U);
}

TEST_F(ObjectPoolTest, NothingIsStoredForNoBytes) {
  ObjectPool pool = Open();
  EXPECT_TRUE(pool.Put("")->empty());
  EXPECT_TRUE(pool.PutFile(Write("empty", ""))->id.empty());
  EXPECT_TRUE(pool.Adopt(directory_.path() / "empty")->id.empty());
  EXPECT_FALSE(fs::exists(directory_.path() / "empty"));
  ASSERT_TRUE(pool.Flush());
  EXPECT_TRUE(pool.List()->empty());
  EXPECT_EQ(Contents(pool, ObjectId()), "");
}

TEST_F(ObjectPoolTest, AdoptMovesTheInodeAndStripsIt) {
  ObjectPool pool = Open();
  const fs::path path = Write("file", std::string(100'000, 'x'));
  ASSERT_EQ(::chmod(path.c_str(), 04755), 0);
  const bool attributes = ::setxattr(path.c_str(), "user.note", "1", 1, 0) == 0;
  struct stat before {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  const auto adopted = pool.Adopt(path);
  ASSERT_TRUE(adopted) << adopted.error().Render();
  EXPECT_EQ(adopted->size_bytes, 100'000U);
  EXPECT_FALSE(fs::exists(path));
  ASSERT_TRUE(pool.Flush());
  struct stat after {};
  ASSERT_EQ(::stat(pool.PathOf(adopted->id).c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_mode & 07777, 0444U);
  EXPECT_TRUE(!attributes || ::getxattr(pool.PathOf(adopted->id).c_str(), "user.note", nullptr, 0) == -1);
}

TEST_F(ObjectPoolTest, AdoptLeavesOtherHardLinksAlone) {
  ObjectPool pool = Open();
  const fs::path path = Write("file", "shared");
  fs::create_hard_link(path, directory_.path() / "link");
  const auto adopted = pool.Adopt(path);
  ASSERT_TRUE(adopted);
  ASSERT_TRUE(pool.Flush());
  struct stat link {};
  ASSERT_EQ(::stat((directory_.path() / "link").c_str(), &link), 0);
  EXPECT_EQ(link.st_mode & 07777, 0644U);
  EXPECT_EQ(link.st_nlink, 1U);
  EXPECT_EQ(Contents(pool, adopted->id), "shared");
}

TEST_F(ObjectPoolTest, AdoptRefusesWhatIsNoFile) {
  ObjectPool pool = Open();
  fs::create_directory(directory_.path() / "d");
  EXPECT_EQ(pool.Adopt(directory_.path() / "d").error().code(), Code::kInvalid);
  fs::create_symlink("/etc/passwd", directory_.path() / "l");
  EXPECT_FALSE(pool.Adopt(directory_.path() / "l"));
  EXPECT_EQ(pool.Adopt(directory_.path() / "none").error().code(), Code::kNotFound);
}

TEST_F(ObjectPoolTest, LargeFilesAndStreamsAreCopied) {
  ObjectPool pool = Open();
  std::string bytes(5'000'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + (i >> 12));
  const auto put = pool.PutFile(Write("big", bytes));
  ASSERT_TRUE(put);
  EXPECT_EQ(put->id, ObjectId::Of(bytes));
  EXPECT_EQ(pool.PutStream(SourceOf(bytes))->id, put->id);
  ASSERT_TRUE(pool.Flush());
  EXPECT_TRUE(pool.Verify(put->id));
  EXPECT_TRUE(fs::exists(directory_.path() / "big"));
}

TEST_F(ObjectPoolTest, VerifyFindsAChangedObject) {
  ObjectPool pool = Open();
  const ObjectId id = *pool.Put("right");
  ASSERT_TRUE(pool.Flush());
  EXPECT_TRUE(pool.Verify(id));
  fs::permissions(pool.PathOf(id), fs::perms::owner_all);
  ASSERT_TRUE(WriteFileAtomic(pool.PathOf(id), "wrong", 0444));
  EXPECT_EQ(pool.Verify(id).error().code(), Code::kCorrupt);
  EXPECT_EQ(pool.Verify(ObjectId::Of("other")).error().code(), Code::kNotFound);
}

// A crash before Ingot synced, or a hand, may leave a file of the wrong size under a name: it must not count
// as there.
TEST_F(ObjectPoolTest, ATornObjectIsReplaced) {
  ObjectPool pool = Open();
  const ObjectId id = ObjectId::Of("complete");
  fs::create_directories(pool.PathOf(id).parent_path());
  ASSERT_TRUE(WriteFileAtomic(pool.PathOf(id), "compl", 0444));
  ASSERT_TRUE(pool.Put("complete"));
  ASSERT_TRUE(pool.Flush());
  EXPECT_TRUE(pool.Verify(id));
}

TEST_F(ObjectPoolTest, ManyObjectsInOneFlush) {
  ObjectPool pool = Open();
  std::vector<ObjectId> ids;
  for (int i = 0; i < 500; ++i) ids.push_back(*pool.Put("object " + std::to_string(i)));
  ASSERT_TRUE(pool.Flush());
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(*pool.List(), ids);
  EXPECT_TRUE(*pool.Remove(ids[0]));
  EXPECT_FALSE(*pool.Remove(ids[0]));
  EXPECT_EQ(pool.OpenObject(ids[0]).error().code(), Code::kNotFound);
}

TEST_F(ObjectPoolTest, ThreadsMayPutTheSameObjects) {
  ObjectPool pool = Open();
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string bytes = "same " + std::to_string(i);
        const auto id = pool.Put(bytes);
        if (!id || Contents(pool, *id) != bytes) ++failures;
        if (i % 25 == t && !pool.Flush()) ++failures;
      }
      if (!pool.Flush()) ++failures;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(pool.List()->size(), 100U);
  EXPECT_EQ(Staged(), 0U);
}

TEST_F(ObjectPoolTest, ProcessesMayPutTheSameObjects) {
  std::vector<pid_t> children;
  for (int p = 0; p < 4; ++p) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      bool ok = true;
      {
        ObjectPool pool = Open();
        for (int i = 0; i < 50; ++i) {
          ok = ok && pool.Put("same " + std::to_string(i));
          if (i % 10 == p) ok = ok && pool.Flush();
        }
        ok = ok && pool.Flush();
      }
      ::_exit(ok ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = -1;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  const ObjectPool pool = Open();
  const auto ids = pool.List();
  ASSERT_EQ(ids->size(), 50U);
  for (const ObjectId& id : *ids) EXPECT_TRUE(pool.Verify(id));
}

TEST_F(ObjectPoolTest, SweepTakesOnlyWhatTheDeadLeft) {
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    ObjectPool pool = Open();
    const auto id = pool.Put("never flushed");
    ::_exit(id ? 0 : 1);  // as a kill: no destructor
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_EQ(status, 0);
  ObjectPool pool = Open();
  const ObjectId mine = *pool.Put("mine");
  EXPECT_EQ(Staged(), 2U);
  EXPECT_EQ(*pool.SweepStaging(), 1U);
  EXPECT_EQ(Staged(), 1U);
  ASSERT_TRUE(pool.Flush());
  EXPECT_TRUE(pool.Verify(mine));
}

}  // namespace
}  // namespace ingot::store
