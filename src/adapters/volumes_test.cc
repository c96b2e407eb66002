#include "adapters/volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "adapters/volume_quota.h"
#include "base/subprocess.h"

namespace ingot::adapters {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class VolumesTest : public ::testing::Test {
 protected:
  VolumesTest() : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-volumes-")) { Open(); }
  void Open() {
    auto opened = Volumes::Open(directory_.path() / "volumes");
    ASSERT_TRUE(opened) << opened.error().Render();
    volumes_ = std::move(*opened);
  }
  platform::FleetSpec Member(uint32_t member, const std::string& snapshot = "") {
    platform::FleetSpec fleet;
    fleet.id = {kLocal, "cache", "3f2a9c0d1e2b"};
    fleet.volumes = {{"data", "/data", false, 0}};
    fleet.member = member;
    if (!snapshot.empty()) fleet.snapshot = {snapshot, {"data"}};
    return fleet;
  }
  platform::InstanceId Instance(uint64_t ordinal) { return {Member(0).id, ordinal}; }
  fs::path Data(const std::string& name = "data-0") { return volumes_->DataOf(kLocal, name); }
  void Write(const std::string& text) { ASSERT_TRUE(WriteFileAtomic(Data() / "file", text)); }
  std::string Read() { return ReadFile(Data() / "file").value_or("nothing"); }
  std::vector<std::string> Snapshots() {
    std::vector<std::string> out;
    const auto found = volumes_->Find(kLocal, "data-0");
    EXPECT_TRUE(found);
    if (!found) return out;
    for (const auto& one : found->snapshots) out.push_back(one.name);
    return out;
  }

  const platform::EnvironmentId kLocal{"shop", "local"};
  TempDirectory directory_;
  std::unique_ptr<Volumes> volumes_;
};

TEST_F(VolumesTest, IsWithOneInstanceAtATime) {
  ASSERT_TRUE(volumes_->Attach(Member(0), Instance(1)));
  ASSERT_TRUE(volumes_->Attach(Member(0), Instance(1)));
  ASSERT_TRUE(volumes_->Attach(Member(1), Instance(2)));
  auto second = volumes_->Attach(Member(0), Instance(3));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kConflict);
  EXPECT_EQ(second.error().message(), "volume data-0 is attached to cache-1, and to one instance at a time");
  // A process that comes later finds it so.
  Open();
  EXPECT_FALSE(volumes_->Attach(Member(0), Instance(3)));
  ASSERT_TRUE(volumes_->Detach(Instance(2)));
  EXPECT_FALSE(volumes_->Attach(Member(0), Instance(3)));
  ASSERT_TRUE(volumes_->Detach(Instance(1)));
  ASSERT_TRUE(volumes_->Detach(Instance(1)));
  EXPECT_TRUE(volumes_->Attach(Member(0), Instance(3)));
}

TEST_F(VolumesTest, WhatNoInstanceIsLeftToHaveIsTakenBack) {
  ASSERT_TRUE(volumes_->Attach(Member(0), Instance(1)));
  ASSERT_TRUE(volumes_->Attach(Member(1), Instance(2)));
  ASSERT_TRUE(volumes_->KeepOnly({Instance(2).FileName()}));
  EXPECT_EQ(volumes_->Find(kLocal, "data-0")->attached, "");
  EXPECT_EQ(volumes_->Find(kLocal, "data-1")->attached, Instance(2).FileName());
}

TEST_F(VolumesTest, OneThatIsUsedIsNeitherCopiedNorRestoredNorRemoved) {
  ASSERT_TRUE(volumes_->Attach(Member(0), Instance(1)));
  Volumes::Copied copied;
  for (const Code code : {volumes_->MakeSnapshot(kLocal, "data-0", "s").error().code(),
                          volumes_->Restore(kLocal, "data-0", "s", copied).error().code(),
                          volumes_->Remove(kLocal, "data-0").error().code()})
    EXPECT_EQ(code, Code::kConflict);
  EXPECT_THAT(volumes_->Remove(kLocal, "data-0").error().message(), HasSubstr("in use by cache-1"));
}

TEST_F(VolumesTest, ARestoreKeepsWhatThereWas) {
  ASSERT_TRUE(volumes_->Create(kLocal, "data-0", 0));
  Write("one");
  ASSERT_EQ(::chown((Data() / "file").c_str(), ::geteuid() == 0 ? 1234 : ::geteuid(), -1), 0);
  ASSERT_TRUE(volumes_->MakeSnapshot(kLocal, "data-0", "s"));
  EXPECT_EQ(volumes_->MakeSnapshot(kLocal, "data-0", "s").error().code(), Code::kExists);
  Write("two");
  Volumes::Copied copied;
  auto before = volumes_->Restore(kLocal, "data-0", "s", copied);
  ASSERT_TRUE(before) << before.error().Render();
  EXPECT_EQ(Read(), "one");
  struct stat st {};
  ASSERT_EQ(::stat((Data() / "file").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, ::geteuid() == 0 ? 1234 : ::geteuid());
  EXPECT_THAT(Snapshots(), ElementsAre("s", *before));
  ASSERT_TRUE(volumes_->Restore(kLocal, "data-0", *before, copied));
  EXPECT_EQ(Read(), "two");
  EXPECT_EQ(volumes_->Restore(kLocal, "data-0", "none", copied).error().code(), Code::kNotFound);
}

TEST_F(VolumesTest, OfTheSnapshotsOfRolloutsThreeAreKept) {
  uint64_t ordinal = 1;
  const auto release = [&](const std::string& snapshot) {
    ASSERT_TRUE(volumes_->Attach(Member(0, snapshot), Instance(ordinal)));
    ASSERT_TRUE(volumes_->Detach(Instance(ordinal++)));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  release("before-r1-1");
  EXPECT_THAT(Snapshots(), IsEmpty());  // there was nothing
  ASSERT_TRUE(volumes_->MakeSnapshot(kLocal, "data-0", "mine"));
  for (const char* name : {"before-r2-1", "before-r3-1", "before-r4-1", "before-r4-1", "before-r5-1"}) {
    Write(name);
    release(name);
  }
  EXPECT_THAT(Snapshots(), ElementsAre("mine", "before-r3-1", "before-r4-1", "before-r5-1"));
  // A second start in one rollout leaves what the first has copied.
  EXPECT_EQ(*ReadFile(directory_.path() / "volumes/shop/local/data-0/snapshots/before-r4-1/file"),
            "before-r4-1");
  ASSERT_TRUE(volumes_->RemoveSnapshot(kLocal, "data-0", "mine"));
  EXPECT_EQ(volumes_->RemoveSnapshot(kLocal, "data-0", "mine").error().code(), Code::kNotFound);
}

TEST_F(VolumesTest, WhatAKilledProcessHalfMadeIsGone) {
  ASSERT_TRUE(volumes_->Create(kLocal, "data-0", 0));
  const fs::path local = directory_.path() / "volumes/shop/local";
  ASSERT_TRUE(MakeDirectories(local / ".data-1.new/data"));
  ASSERT_TRUE(MakeDirectories(local / ".data-2.gone/data"));
  ASSERT_TRUE(MakeDirectories(local / "data-0/snapshots/.s"));
  // Of a file system that is mounted there.
  ASSERT_TRUE(MakeDirectories(directory_.path() / "volumes/lost+found"));
  ASSERT_TRUE(WriteFileAtomic(directory_.path() / "volumes/lost+found/x", ""));
  Open();
  EXPECT_THAT(*ListDirectory(local), ElementsAre("data-0"));
  EXPECT_THAT(Snapshots(), IsEmpty());
}

TEST_F(VolumesTest, NoCopyOutlivesTheProcess) {
  ASSERT_TRUE(volumes_->Create(kLocal, "data-0", 0));
  volumes_->Interrupt();
  EXPECT_EQ(volumes_->MakeSnapshot(kLocal, "data-0", "s").error().code(), Code::kCancelled);
  EXPECT_THAT(Snapshots(), IsEmpty());
}

TEST_F(VolumesTest, NamesLeadNowhereElse) {
  for (const char* name : {"", "data", "data-", "-0", "../data-0", "data-0/..", "Data-0", ".x-0"})
    EXPECT_EQ(Volumes::CheckName(name).error().code(), Code::kInvalid) << name;
  EXPECT_TRUE(Volumes::CheckName("my-data-12"));
  for (const char* name : {"", ".", "..", ".s", "a/b", "a b"})
    EXPECT_EQ(Volumes::CheckSnapshotName(name).error().code(), Code::kInvalid) << name;
  EXPECT_TRUE(Volumes::CheckSnapshotName("before-r3-20260102T030405Z"));
}

// A file system of its own.
class VolumeFileSystemTest : public ::testing::Test {
 protected:
  // False, and the test is skipped, where this host cannot mount one.
  bool Mount(std::vector<std::string> make, const std::string& options) {
    const std::string image = (directory_.path() / "image").string();
    EXPECT_TRUE(WriteFileAtomic(image, ""));
    EXPECT_EQ(::truncate(image.c_str(), 400 << 20), 0);
    EXPECT_TRUE(MakeDirectories(mount_));
    make.push_back(image);
    auto mounted = RunChecked({.argv = std::move(make)}, Milliseconds(30'000));
    if (mounted)
      mounted = RunChecked({.argv = {"mount", "-o", options, image, mount_.string()}}, Milliseconds(30'000));
    mounted_ = mounted.has_value();
    if (!mounted_) why_ = mounted.error().message();
    return mounted_;
  }
  void TearDown() override {
    if (!mounted_) return;
    EXPECT_TRUE(RunChecked({.argv = {"umount", mount_.string()}}, Milliseconds(30'000)));
  }
  TempDirectory directory_ = *TempDirectory::Make(fs::temp_directory_path(), "ingot-quota-");
  fs::path mount_ = directory_.path() / "mount";
  bool mounted_ = false;
  std::string why_;
};

TEST_F(VolumeFileSystemTest, ASnapshotTakesNoRoomWhereBlocksCanBeShared) {
  if (!Mount({"mkfs.xfs", "-q"}, "loop")) GTEST_SKIP() << "SKIP: no xfs here: " << why_;
  auto volumes = Volumes::Open(mount_ / "volumes");
  ASSERT_TRUE(volumes);
  const platform::EnvironmentId local("shop", "local");
  ASSERT_TRUE((*volumes)->Create(local, "data-0", 0));
  const fs::path data = (*volumes)->DataOf(local, "data-0");
  ASSERT_TRUE(WriteFileAtomic(data / "file", std::string(32 << 20, 'x')));
  const auto free = [&] {
    EXPECT_TRUE(RunChecked({.argv = {"sync"}}, Milliseconds(30'000)));
    return fs::space(mount_).free;
  };
  const auto before = free();
  auto copied = (*volumes)->MakeSnapshot(local, "data-0", "s");
  ASSERT_TRUE(copied) << copied.error().Render();
  EXPECT_TRUE(copied->shared);
  EXPECT_LT(before - free(), uint64_t{4} << 20);
}

TEST_F(VolumeFileSystemTest, AVolumeHoldsNoMoreThanItsSize) {
  if (!Mount({"mkfs.ext4", "-q", "-O", "quota,project"}, "loop,prjquota"))
    GTEST_SKIP() << "SKIP: no ext4 with project quotas here: " << why_;
  ASSERT_EQ(QuotaMissing(mount_), "");
  auto volumes = Volumes::Open(mount_ / "volumes");
  ASSERT_TRUE(volumes);
  const platform::EnvironmentId local("shop", "local");
  ASSERT_TRUE((*volumes)->Create(local, "data-0", 8 << 20));
  const fs::path data = (*volumes)->DataOf(local, "data-0");
  const auto write = [&](size_t mib) {
    return WriteFileAtomic(data / "file", std::string(mib << 20, 'x'), 0644);
  };
  EXPECT_TRUE(write(3));
  EXPECT_FALSE(write(9));
  ASSERT_TRUE(SweepAtomicWrites(data));
  auto found = (*volumes)->Find(local, "data-0");
  ASSERT_TRUE(found) << found.error().Render();
  EXPECT_TRUE(found->size_kept);
  EXPECT_GE(*found->used_bytes, uint64_t{3} << 20);
  EXPECT_LT(*found->used_bytes, uint64_t{5} << 20);
  // A snapshot takes nothing of it, and what is restored has the same limit.
  ASSERT_TRUE((*volumes)->MakeSnapshot(local, "data-0", "s"));
  EXPECT_EQ((*volumes)->Find(local, "data-0")->used_bytes, found->used_bytes);
  Volumes::Copied copied;
  ASSERT_TRUE((*volumes)->Restore(local, "data-0", "s", copied));
  EXPECT_FALSE(write(9));
  // As the next definition says.
  platform::FleetSpec fleet;
  fleet.id = {local, "cache", "3f2a9c0d1e2b"};
  fleet.volumes = {{"data", "/data", false, 16 << 20}};
  fleet.member = 0;
  ASSERT_TRUE((*volumes)->Attach(fleet, {fleet.id, 1}));
  EXPECT_TRUE(write(9));
}

}  // namespace
}  // namespace ingot::adapters
