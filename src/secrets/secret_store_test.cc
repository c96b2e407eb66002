#include "secrets/secret_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/sha256.h"

namespace ingot::secrets {
namespace {

using platform::EnvironmentId;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const EnvironmentId kLocal("shop", "local");
constexpr const char* kValue = "correct horse battery staple";

class SecretStoreTest : public testing::Test {
 protected:
  Result<std::unique_ptr<SecretStore>> TryOpen(bool given = false) {
    return SecretStore::Open({temp_.path() / "secrets", key_, given}, clock_);
  }
  std::unique_ptr<SecretStore> Open() {
    auto opened = TryOpen();
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().Render());
    return std::move(*opened);
  }
  std::string Put(SecretStore& store, const std::string& value, const std::string& name = "token") {
    clock_.Advance(Milliseconds(1000));
    return store.Put(kLocal, name, value, "root")->version;
  }
  fs::path FileOf(const std::string& version, const std::string& name = "token") const {
    return temp_.path() / "secrets/shop/local" / name / (version + ".sealed");
  }
  static void Write(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static std::string Read(const fs::path& path) { return *ReadFile(path); }
  // All that is below the root, but the key.
  std::string Everything() const {
    std::string out;
    for (const auto& entry : fs::recursive_directory_iterator(temp_.path()))
      if (entry.is_regular_file() && entry.path() != key_) out += Read(entry.path());
    return out;
  }

  TempDirectory temp_ = *TempDirectory::Make("/tmp", "ingot-secrets-");
  fs::path key_ = temp_.path() / "secrets.key";
  FakeClock clock_;
};

TEST_F(SecretStoreTest, GivesBackWhatItWasGivenAlsoWhenOpenedAnew) {
  const std::string bytes("a\0b\nc", 5);
  std::string version;
  {
    auto store = Open();
    version = Put(*store, bytes);
    EXPECT_EQ(*store->Get(kLocal, {"token", version}), bytes);
  }
  auto store = Open();
  EXPECT_EQ(*store->Get(kLocal, {"token", version}), bytes);
  EXPECT_EQ(*store->Newest(kLocal, "token"), version);
  EXPECT_THAT(store->problems(), IsEmpty());
}

TEST_F(SecretStoreTest, NothingOfAValueIsOnTheDisk) {
  auto store = Open();
  Put(*store, kValue);
  EXPECT_EQ(Everything().find("horse"), std::string::npos);
  struct stat st {};
  ASSERT_EQ(::stat(key_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(SecretStoreTest, TheSameBytesAreTheSameVersionAndTheLastThatWasSetIsTheNewest) {
  auto store = Open();
  const std::string one = Put(*store, "one");
  const std::string two = Put(*store, "two");
  EXPECT_NE(one, two);
  EXPECT_FALSE(store->Put(kLocal, "token", "two", "root")->changed);
  EXPECT_EQ(*store->Newest(kLocal, "token"), two);
  // Back to a value that was there before, with a clock that went back, too.
  clock_.JumpWall(Milliseconds(-3'600'000));
  EXPECT_TRUE(store->Put(kLocal, "token", "one", "ann")->changed);
  EXPECT_EQ(*store->Newest(kLocal, "token"), one);
  const auto listed = *store->List(kLocal);
  ASSERT_THAT(listed, SizeIs(1));
  ASSERT_THAT(listed[0].versions, SizeIs(2));
  EXPECT_EQ(listed[0].versions[0].version, one);
  EXPECT_EQ(listed[0].versions[0].by, "ann");
  EXPECT_EQ(listed[0].versions[0].set, clock_.Now());
  EXPECT_EQ(listed[0].versions[1].by, "root");
}

TEST_F(SecretStoreTest, WhatIsNotThereIsSaidWithTheCommandThatSetsIt) {
  auto store = Open();
  const auto newest = store->Newest(kLocal, "token");
  EXPECT_EQ(newest.error().code(), Code::kNotFound);
  EXPECT_THAT(newest.error().message(), HasSubstr("`ingot secret set token -e local`"));
  EXPECT_EQ(store->Get(kLocal, {"token", "0123456789abcdef"}).error().code(), Code::kNotFound);
  EXPECT_EQ(store->Require(kLocal, {{"token", "0123456789abcdef"}}).error().code(), Code::kNotFound);
  const std::string version = Put(*store, "x");
  EXPECT_TRUE(store->Require(kLocal, {{"token", version}}));
}

TEST_F(SecretStoreTest, NamesAndVersionsLeadNowhereElse) {
  auto store = Open();
  for (const std::string name : {"", "..", "../x", "a/b", ".hidden"}) {
    EXPECT_EQ(store->Put(kLocal, name, "x", "root").error().code(), Code::kInvalid) << name;
    EXPECT_EQ(store->Get(kLocal, {name, "0123456789abcdef"}).error().code(), Code::kInvalid) << name;
    EXPECT_EQ(store->Get(kLocal, {"token", name}).error().code(), Code::kInvalid) << name;
    EXPECT_EQ(store->Remove(kLocal, {"token", name}).error().code(), Code::kInvalid) << name;
  }
  EXPECT_EQ(store->Put(kLocal, "token", std::string((1 << 20) + 1, 'x'), "root").error().code(),
            Code::kInvalid);
  EXPECT_TRUE(store->Put(kLocal, "token", std::string(1 << 20, 'x'), "root"));
}

TEST_F(SecretStoreTest, AChangedByteAnywhereIsNeverServed) {
  auto store = Open();
  const std::string version = Put(*store, kValue);
  const std::string whole = Read(FileOf(version));
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    Write(FileOf(version), changed);
    const auto got = store->Get(kLocal, {"token", version});
    ASSERT_FALSE(got) << at;
    ASSERT_THAT(got.error().code(), testing::AnyOf(Code::kCorrupt, Code::kUnsupported)) << at;
    ASSERT_EQ(got.error().Render().find("horse"), std::string::npos);
  }
  for (size_t size = 0; size < whole.size(); size += 7) {
    Write(FileOf(version), whole.substr(0, size));
    ASSERT_EQ(store->Get(kLocal, {"token", version}).error().code(), Code::kCorrupt) << size;
    ASSERT_EQ(store->Newest(kLocal, "token").error().code(), Code::kCorrupt) << size;
  }
  EXPECT_THAT(store->List(kLocal)->at(0).versions.at(0).problem, HasSubstr(version));
  // The same value again mends it.
  EXPECT_TRUE(store->Put(kLocal, "token", kValue, "root")->changed);
  EXPECT_EQ(*store->Get(kLocal, {"token", version}), kValue);
}

TEST_F(SecretStoreTest, AFileOfAnotherSecretOrVersionIsNeverServed) {
  auto store = Open();
  const std::string one = Put(*store, "one");
  const std::string two = Put(*store, "two");
  const std::string other = Put(*store, "one", "other");
  ASSERT_EQ(one, other);
  fs::copy_file(FileOf(two), FileOf(one), fs::copy_options::overwrite_existing);
  EXPECT_EQ(store->Get(kLocal, {"token", one}).error().code(), Code::kCorrupt);
  fs::copy_file(FileOf(other, "other"), FileOf(one), fs::copy_options::overwrite_existing);
  EXPECT_EQ(store->Get(kLocal, {"token", one}).error().code(), Code::kCorrupt);
  const fs::path elsewhere = temp_.path() / "secrets/shop/production/token";
  fs::create_directories(elsewhere);
  fs::copy_file(FileOf(two), elsewhere / (two + ".sealed"));
  EXPECT_EQ(store->Get(EnvironmentId("shop", "production"), {"token", two}).error().code(), Code::kCorrupt);
}

TEST_F(SecretStoreTest, AnotherKeyOpensNothingAndMakesNothing) {
  const std::string version = Put(*Open(), kValue);
  const std::string right = Read(key_);
  Write(key_, std::string(64, '7') + "\n");
  const auto wrong = TryOpen();
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), Code::kCorrupt);
  EXPECT_THAT(wrong.error().message(), HasSubstr("bring back the key"));
  fs::remove(key_);
  const auto none = TryOpen();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kNotFound);
  EXPECT_FALSE(fs::exists(key_));
  Write(key_, right);
  fs::permissions(key_, fs::perms(0640));
  EXPECT_EQ(TryOpen().error().code(), Code::kPermission);
  fs::permissions(key_, fs::perms(0600));
  EXPECT_EQ(*Open()->Get(kLocal, {"token", version}), kValue);
}

TEST_F(SecretStoreTest, ANewKeySealsEverythingAndVersionsKeepTheirNames) {
  auto store = Open();
  const std::string one = Put(*store, "one");
  const std::string two = Put(*store, "two");
  const std::string before = Read(key_);
  const auto rotated = *store->RotateKey();
  EXPECT_EQ(rotated.sealed, 3u);  // and what versions are named by
  const std::string after = Read(key_);
  EXPECT_EQ(after.find(before.substr(0, 64)), std::string::npos);
  EXPECT_EQ(after.size(), 65u);
  EXPECT_THAT(Read(FileOf(one)), HasSubstr(rotated.key));
  EXPECT_EQ(*store->Get(kLocal, {"token", one}), "one");
  EXPECT_FALSE(store->Put(kLocal, "token", "two", "root")->changed);
  store = Open();
  EXPECT_EQ(*store->Get(kLocal, {"token", two}), "two");
  EXPECT_EQ(*store->Newest(kLocal, "token"), two);
}

TEST_F(SecretStoreTest, ARotationThatWasKilledAnywhereIsEndedByTheNextStart) {
  std::vector<std::string> versions;
  std::vector<std::string> old;
  std::string old_key;
  std::string old_names;
  {
    auto store = Open();
    for (int i = 0; i < 4; ++i) versions.push_back(Put(*store, "value " + std::to_string(i)));
    for (const auto& version : versions) old.push_back(Read(FileOf(version)));
    old_key = Read(key_);
    old_names = Read(temp_.path() / "secrets/names.sealed");
    ASSERT_TRUE(store->RotateKey());
  }
  const std::string new_key = Read(key_);
  const std::string new_names = Read(temp_.path() / "secrets/names.sealed");
  std::vector<std::string> sealed;
  for (const auto& version : versions) sealed.push_back(Read(FileOf(version)));
  // As the disk is after the first `done` files were sealed anew.
  for (size_t done = 0; done <= versions.size() + 1; ++done) {
    Write(key_, new_key + old_key);
    Write(temp_.path() / "secrets/names.sealed", done > 0 ? new_names : old_names);
    for (size_t i = 0; i < versions.size(); ++i)
      Write(FileOf(versions[i]), i + 1 < done ? sealed[i] : old[i]);
    auto store = Open();
    EXPECT_THAT(store->problems(), IsEmpty());
    for (size_t i = 0; i < versions.size(); ++i)
      EXPECT_EQ(*store->Get(kLocal, {"token", versions[i]}), "value " + std::to_string(i));
    EXPECT_EQ(Read(key_), new_key);
    for (const auto& version : versions)
      EXPECT_THAT(Read(FileOf(version)), HasSubstr(KeyRing::Parse(new_key)->current().id));
  }
}

TEST_F(SecretStoreTest, WhatDoesNotOpenKeepsItsOldKey) {
  auto store = Open();
  const std::string one = Put(*store, "one");
  const std::string two = Put(*store, "two");
  const std::string whole = Read(FileOf(one));
  std::string changed = whole;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  Write(FileOf(one), changed);
  const auto rotated = store->RotateKey();
  ASSERT_FALSE(rotated);
  EXPECT_EQ(rotated.error().code(), Code::kCorrupt);
  EXPECT_EQ(KeyRing::Parse(Read(key_))->size(), 2u);
  store = Open();
  EXPECT_THAT(store->problems(), ElementsAre(HasSubstr(one)));
  EXPECT_EQ(*store->Get(kLocal, {"token", two}), "two");
  // Somebody brings the file back from a copy.
  Write(FileOf(one), whole);
  store = Open();
  EXPECT_THAT(store->problems(), IsEmpty());
  EXPECT_EQ(*store->Get(kLocal, {"token", one}), "one");
  EXPECT_EQ(KeyRing::Parse(Read(key_))->size(), 1u);
}

TEST_F(SecretStoreTest, AKeyThatIsGivenIsNeverWritten) {
  EXPECT_EQ(TryOpen(true).error().code(), Code::kNotFound);
  Write(key_, std::string(64, '1') + "\n");
  fs::permissions(key_, fs::perms(0600));
  auto store = *TryOpen(true);
  const std::string version = Put(*store, kValue);
  EXPECT_EQ(store->RotateKey().error().code(), Code::kRefused);
  // As the refusal says it.
  const std::string both = std::string(64, '2') + "\n" + std::string(64, '1') + "\n";
  Write(key_, both);
  store = *TryOpen(true);
  EXPECT_THAT(store->problems(), ElementsAre(HasSubstr("can be removed")));
  EXPECT_EQ(Read(key_), both);
  Write(key_, std::string(64, '2') + "\n");
  store = *TryOpen(true);
  EXPECT_THAT(store->problems(), IsEmpty());
  EXPECT_EQ(*store->Get(kLocal, {"token", version}), kValue);
}

TEST_F(SecretStoreTest, SecretsAreReadWhileTheKeyIsRotated) {
  auto store = Open();
  const std::string version = Put(*store, kValue);
  std::atomic<bool> ended{false};
  std::atomic<int> failures{0};
  std::thread reader([&] {
    while (!ended) {
      const auto got = store->Get(kLocal, {"token", version});
      if (!got || *got != kValue) ++failures;
    }
  });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(store->RotateKey());
  ended = true;
  reader.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(SecretStoreTest, RemovesOneVersionAndLeavesNoFolder) {
  auto store = Open();
  const std::string one = Put(*store, "one");
  const std::string two = Put(*store, "two");
  EXPECT_TRUE(store->Remove(kLocal, {"token", two}));
  EXPECT_EQ(*store->Newest(kLocal, "token"), one);
  EXPECT_EQ(store->Remove(kLocal, {"token", two}).error().code(), Code::kNotFound);
  EXPECT_TRUE(store->Remove(kLocal, {"token", one}));
  EXPECT_THAT(*store->List(kLocal), IsEmpty());
  EXPECT_FALSE(fs::exists(FileOf(one).parent_path()));
}

// What former versions of Ingot kept: bytes as they are, and the key that versions are named by.
class TakeOverTest : public SecretStoreTest {
 protected:
  TakeOverTest() {
    fs::create_directories(Folder());
    Write(temp_.path() / "secrets/key", names_);
    Plain("one", 1);
    Plain("two", 2);
  }
  fs::path Folder() const { return temp_.path() / "secrets/shop/local/token"; }
  std::string VersionOf(const std::string& value) const {
    return Sha256Hex(names_ + Sha256Hex(names_ + value)).substr(0, 16);
  }
  void Plain(const std::string& value, int minute) const {
    const fs::path path = Folder() / VersionOf(value);
    Write(path, value);
    fs::last_write_time(path, fs::file_time_type::clock::now() + std::chrono::minutes(minute));
  }
  const std::string names_ = std::string(32, 'n');
};

TEST_F(TakeOverTest, PlainFilesAreSealedUnderTheirVersions) {
  auto store = Open();
  EXPECT_THAT(store->problems(), IsEmpty());
  EXPECT_EQ(*store->Get(kLocal, {"token", VersionOf("one")}), "one");
  EXPECT_EQ(*store->Newest(kLocal, "token"), VersionOf("two"));
  EXPECT_FALSE(fs::exists(Folder() / VersionOf("one")));
  EXPECT_FALSE(fs::exists(temp_.path() / "secrets/key"));
  EXPECT_EQ(Everything().find(names_), std::string::npos);
  // And the same value is still the same version.
  EXPECT_EQ(store->Put(kLocal, "token", "one", "root")->version, VersionOf("one"));
}

TEST_F(TakeOverTest, ATakeOverThatWasKilledAnywhereIsEndedByTheNextStart) {
  Open();
  const std::string names = Read(temp_.path() / "secrets/names.sealed");
  const std::string one = Read(FileOf(VersionOf("one")));
  for (int step = 0; step < 4; ++step) {
    fs::remove_all(temp_.path() / "secrets");
    fs::create_directories(Folder());
    Write(temp_.path() / "secrets/key", names_);
    Plain("two", 2);
    if (step < 3) Plain("one", 1);
    if (step > 0) Write(temp_.path() / "secrets/names.sealed", names);
    if (step > 1) Write(FileOf(VersionOf("one")), one);
    Write(Folder() / (VersionOf("one") + ".sealed.tmp.1.1"), "half");
    auto store = Open();
    EXPECT_EQ(*store->Get(kLocal, {"token", VersionOf("one")}), "one") << step;
    EXPECT_EQ(*store->Newest(kLocal, "token"), VersionOf("two")) << step;
    EXPECT_FALSE(fs::exists(temp_.path() / "secrets/key"));
    EXPECT_THAT(*ListDirectory(Folder()), SizeIs(2)) << step;
  }
}

TEST_F(TakeOverTest, ADamagedPlainFileIsSaidAndServedToNobody) {
  Write(Folder() / VersionOf("one"), "other");
  auto store = Open();
  EXPECT_THAT(store->problems(), ElementsAre(HasSubstr("damaged")));
  EXPECT_EQ(store->Get(kLocal, {"token", VersionOf("one")}).error().code(), Code::kNotFound);
  EXPECT_EQ(*store->Get(kLocal, {"token", VersionOf("two")}), "two");
}

}  // namespace
}  // namespace ingot::secrets
