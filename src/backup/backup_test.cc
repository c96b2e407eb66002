// Backups that are written and read again, and those that somebody has made up.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>

#include "backup/check.h"
#include "backup/reader.h"
#include "backup/writer.h"

namespace ingot::backup {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

const std::string kHash(64, 'a');

class BackupTest : public testing::Test {
 protected:
  static void Write(const fs::path& path, const std::string& bytes) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  fs::path From() const { return temp_.path() / "from"; }
  fs::path Into() const { return temp_.path() / "into"; }

  Result<Manifest> Pack(const std::vector<SourcePart>& parts) {
    archive_.clear();
    Manifest manifest;
    manifest.ingot = "0.1.0";
    manifest.host = "here";
    manifest.root = "/var/lib/ingot";
    manifest.created = WallTime(std::chrono::milliseconds(1'700'000'000'123));
    manifest.warnings = {"one"};
    return WriteBackup(manifest, parts,
                       [&](std::string_view bytes) -> Result<void> {
                         archive_ += bytes;
                         return {};
                       },
                       {});
  }
  Result<Manifest> Unpack(const std::string& archive) {
    fs::remove_all(Into());
    fs::create_directories(Into());
    ReadOptions options;
    options.into = Into();
    return ReadBackup(SourceOf(archive), options);
  }
  // An archive of somebody's own making, whose manifest has the right digests.
  std::string Forge(const std::string& part, const std::vector<std::pair<TarEntry, std::string>>& entries) {
    std::string out;
    auto archive = *TarArchiveWriter::Open([&](std::string_view bytes) -> Result<void> {
      out += bytes;
      return {};
    });
    PartDigest digest;
    for (const auto& [entry, bytes] : entries) {
      digest.Add(entry);
      digest.Data(bytes);
    }
    Manifest manifest;
    manifest.parts = {digest.Finish(part)};
    const std::string about = RenderManifest(manifest);
    EXPECT_TRUE(archive->Add({kManifestName, TarEntry::Kind::kFile, 0600, 0, 0, 0, 0, about.size(), "", {}}));
    EXPECT_TRUE(archive->Data(about));
    for (const auto& [entry, bytes] : entries) {
      EXPECT_TRUE(archive->Add(entry));
      EXPECT_TRUE(archive->Data(bytes));
    }
    EXPECT_TRUE(archive->Finish());
    return out;
  }
  static TarEntry File(const std::string& path, uint64_t size = 0) {
    return {path, TarEntry::Kind::kFile, 0600, 0, 0, 0, 0, size, "", {}};
  }
  static TarEntry Link(const std::string& path, TarEntry::Kind kind, const std::string& target) {
    return {path, kind, 0777, 0, 0, 0, 0, 0, target, {}};
  }
  static TarEntry Folder(const std::string& path) {
    return {path, TarEntry::Kind::kDirectory, 0755, 0, 0, 0, 0, 0, "", {}};
  }

  TempDirectory temp_ = *TempDirectory::Make("/tmp", "ingot-backup-");
  std::string archive_;
};

TEST_F(BackupTest, WhatIsReadIsWhatWasWritten) {
  const std::string large(3'000'000, 'x');
  Write(From() / "state.db", "state");
  Write(From() / "scripts" / kHash, "select 1");
  Write(From() / "objects/ab" / std::string(62, 'c'), large);
  std::vector<SourcePart> parts{{"state", {}}, {"scripts", {}}, {"images", {}}};
  ASSERT_TRUE(AddTree(From() / "state.db", "state/state.db", Contents::kPlain, parts[0].entries));
  ASSERT_TRUE(AddTree(From() / "scripts", "scripts", Contents::kPlain, parts[1].entries));
  ASSERT_TRUE(AddTree(From() / "objects", "images/objects", Contents::kPlain, parts[2].entries));
  const auto written = Pack(parts);
  ASSERT_TRUE(written) << written.error().Render();
  EXPECT_LT(archive_.size(), 100'000u);  // compressed
  const auto read = Unpack(archive_);
  ASSERT_TRUE(read) << read.error().Render();
  EXPECT_EQ(*read, *written);
  EXPECT_EQ(read->Find("images")->bytes, large.size());
  EXPECT_EQ(read->Find("volumes"), nullptr);
  EXPECT_EQ(*ReadFile(Into() / "state.db"), "state");
  EXPECT_EQ(*ReadFile(Into() / "scripts" / kHash), "select 1");
  EXPECT_EQ(*ReadFile(Into() / "objects/ab" / std::string(62, 'c')), large);
  EXPECT_THAT(*ListDirectory(Into()), UnorderedElementsAre("objects", "scripts", "state.db"));
}

TEST_F(BackupTest, AVolumesFilesKeepAllThatTheyAre) {
  const fs::path data = From() / "data";
  Write(data / "deep/er/file", "bytes");
  Write(data / std::string(150, 'n') / std::string(150, 'm'), "long");
  fs::create_hard_link(data / "deep/er/file", data / "same");
  fs::create_symlink("/etc/passwd", data / "link");
  fs::create_symlink("\xff\xfe", data / "odd link");
  Write(data / "\xc3\xa4 \xff", "no UTF-8");
  fs::create_directories(data / "empty");
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::lchown((data / "deep/er/file").c_str(), 100'123, 100'456), 0);
  }
  ASSERT_EQ(::chmod((data / "deep/er/file").c_str(), 04751), 0);
  ASSERT_EQ(::chmod((data / "deep").c_str(), 01777), 0);
  const bool xattrs = ::setxattr((data / "same").c_str(), "user.note", "a\0b", 3, 0) == 0;
  const timespec times[2] = {{1'000, 5}, {1'000'000, 123'456'789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (data / "deep").c_str(), times, 0), 0);
  ASSERT_EQ(::mkfifo((data / "pipe").c_str(), 0600), 0);
  std::vector<SourcePart> parts{{"volumes", {}}};
  ASSERT_TRUE(AddTree(From(), "volumes/shop/local/cache-0", Contents::kAny, parts[0].entries));
  ASSERT_TRUE(Pack(parts));
  const auto read = Unpack(archive_);
  ASSERT_TRUE(read) << read.error().Render();
  const fs::path back = Into() / "volumes/shop/local/cache-0/data";
  EXPECT_THAT(*ListDirectory(back), ElementsAre("deep", "empty", "link", std::string(150, 'n'), "odd link",
                                                "same", "\xc3\xa4 \xff"));
  EXPECT_EQ(*ReadFile(back / "\xc3\xa4 \xff"), "no UTF-8");
  EXPECT_EQ(fs::read_symlink(back / "odd link").string(), "\xff\xfe");
  EXPECT_EQ(*ReadFile(back / "same"), "bytes");
  EXPECT_EQ(fs::read_symlink(back / "link"), "/etc/passwd");
  EXPECT_EQ(*ReadFile(back / std::string(150, 'n') / std::string(150, 'm')), "long");
  struct stat st {};
  ASSERT_EQ(::lstat((back / "deep/er/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_nlink, 2u);
  EXPECT_EQ(st.st_mode & 07777, 04751u);
  if (root) {
    EXPECT_EQ(st.st_uid, 100'123u);
    EXPECT_EQ(st.st_gid, 100'456u);
  }
  ASSERT_EQ(::lstat((back / "deep").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 01777u);
  EXPECT_EQ(st.st_mtim.tv_sec, 1'000'000);
  EXPECT_EQ(st.st_mtim.tv_nsec, 123'456'789);
  if (xattrs) {
    std::string value(10, '\0');
    ASSERT_EQ(::getxattr((back / "deep/er/file").c_str(), "user.note", value.data(), value.size()), 3);
    EXPECT_EQ(value.substr(0, 3), std::string("a\0b", 3));
  }
}

TEST_F(BackupTest, WhatIsCutOffOrChangedIsRefusedWhereverItIs) {
  Write(From() / "state.db", std::string(5'000, 's') + "end");
  Write(From() / "scripts" / kHash, "select 1");
  std::vector<SourcePart> parts{{"state", {}}, {"scripts", {}}};
  ASSERT_TRUE(AddTree(From() / "state.db", "state/state.db", Contents::kPlain, parts[0].entries));
  ASSERT_TRUE(AddTree(From() / "scripts", "scripts", Contents::kPlain, parts[1].entries));
  ASSERT_TRUE(Pack(parts));
  for (size_t size = 0; size < archive_.size(); size += 13)
    ASSERT_FALSE(Unpack(archive_.substr(0, size))) << size;
  size_t passed = 0;
  for (size_t at = 0; at < archive_.size(); ++at) {
    std::string changed = archive_;
    changed[at] = static_cast<char>(changed[at] ^ 0x20);
    const auto read = Unpack(changed);
    // A bit that means nothing to the decompressor may be another; what came out is then the same.
    if (read) {
      ++passed;
      ASSERT_EQ(*ReadFile(Into() / "state.db"), std::string(5'000, 's') + "end") << at;
      ASSERT_EQ(*ReadFile(Into() / "scripts" / kHash), "select 1") << at;
    }
  }
  EXPECT_LT(passed, archive_.size() / 10);
}

TEST_F(BackupTest, AFileThatChangesMeanwhileIsNamed) {
  Write(From() / "state.db", "state");
  std::vector<SourcePart> parts{{"state", {}}};
  ASSERT_TRUE(AddTree(From() / "state.db", "state/state.db", Contents::kPlain, parts[0].entries));
  Write(From() / "state.db", "longer than before");
  EXPECT_EQ(Pack(parts).error().code(), Code::kConflict);
  Write(From() / "state.db", "st");
  EXPECT_THAT(Pack(parts).error().message(), HasSubstr("state.db changed"));
  fs::remove(From() / "state.db");
  EXPECT_EQ(Pack(parts).error().code(), Code::kConflict);
}

TEST_F(BackupTest, ASinkThatFailsEndsItWithItsError) {
  Write(From() / "state.db", std::string(1'000'000, 's'));
  std::vector<SourcePart> parts{{"state", {}}};
  ASSERT_TRUE(AddTree(From() / "state.db", "state/state.db", Contents::kPlain, parts[0].entries));
  const auto full = WriteBackup(
      {}, parts, [](std::string_view) -> Result<void> { return Error(Code::kNoSpace, "full"); }, {});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::kNoSpace);
}

TEST_F(BackupTest, ANewerFormatIsSaidToBeOne) {
  Manifest manifest;
  std::string text = RenderManifest(manifest);
  text.replace(text.find("\"ingot_backup\": 1"), 17, "\"ingot_backup\": 2");
  EXPECT_EQ(ParseManifest(text).error().code(), Code::kUnsupported);
  EXPECT_EQ(ParseManifest("{}").error().code(), Code::kInvalid);
  EXPECT_EQ(Unpack("no archive at all").error().code(), Code::kInvalid);
  EXPECT_EQ(Unpack("").error().code(), Code::kInvalid);
}

TEST_F(BackupTest, PathsAndKindsThatNoBackupHasAreRefused) {
  using Kind = TarEntry::Kind;
  const std::string volume = "volumes/shop/local/cache-0";
  const std::vector<std::pair<std::string, TarEntry>> cases = {
      {"state", File("state/../../etc/passwd")},
      {"state", File("state//state.db")},
      {"state", File("state/other.db")},
      {"state", Folder("state/state.db")},
      {"state", Link("state/state.db", Kind::kSymlink, "/etc/passwd")},
      {"state", Link("state/state.db", Kind::kHardLink, "/etc/passwd")},
      {"scripts", File("scripts/../x")},
      {"scripts", File("scripts/" + kHash + "0")},
      {"secrets", File("secrets/shop/local/token/0123456789abcdef")},
      {"secrets", File("secrets/shop/local/../0123456789abcdef.sealed")},
      {"secrets", File("secrets/key")},
      {"images", File("images/objects/ab/x")},
      {"images", File("images/etc/passwd")},
      {"images", File("images/blobs/sha256/..")},
      {"volumes", File("volumes/shop/local")},
      {"volumes", File("volumes/../x/y/z")},
      {"volumes", File(volume)},
      {"volumes", Link(volume, Kind::kSymlink, "/etc")},
      {"volumes", Link(volume + "/data", Kind::kSymlink, "/etc")},
      {"volumes", File(volume + "/attached")},
      {"volumes", Link(volume + "/data/x", Kind::kHardLink, "/etc/passwd")},
      {"volumes", Link(volume + "/data/x", Kind::kHardLink, "state/state.db")},
      {"volumes", Link(volume + "/data/x", Kind::kHardLink, "volumes/shop/local/other-0/data/x")},
      {"volumes", Link(volume + "/data/x", Kind::kHardLink, volume + "/data/nothing")},
      {"other", File("other/x")},
      {"state", File("etc/passwd")},
  };
  for (const auto& [part, entry] : cases) {
    const auto read = Unpack(Forge(part, {{entry, ""}}));
    ASSERT_FALSE(read) << entry.path;
    EXPECT_EQ(read.error().code(), Code::kInvalid) << entry.path << ": " << read.error().Render();
  }
}

TEST_F(BackupTest, NothingIsWrittenThroughALinkOfTheBackupItself) {
  using Kind = TarEntry::Kind;
  const std::string data = "volumes/shop/local/cache-0/data";
  const fs::path outside = temp_.path() / "outside";
  fs::create_directories(outside);
  const auto read = Unpack(Forge("volumes", {{Folder("volumes/shop/local/cache-0"), ""},
                                             {Folder(data), ""},
                                             {Link(data + "/way", Kind::kSymlink, outside.string()), ""},
                                             {File(data + "/way/in", 4), "evil"}}));
  EXPECT_FALSE(read);
  EXPECT_TRUE(fs::is_empty(outside));
  // Nor is a link followed to be linked to, or overwritten.
  EXPECT_EQ(Unpack(Forge("volumes", {{Link(data + "/way", Kind::kSymlink, "/etc/passwd"), ""},
                                     {Link(data + "/hard", Kind::kHardLink, data + "/way"), ""}}))
                .error()
                .code(),
            Code::kInvalid);
  EXPECT_EQ(Unpack(Forge("volumes", {{Link(data + "/way", Kind::kSymlink, "/etc/passwd"), ""},
                                     {File(data + "/way", 4), "evil"}}))
                .error()
                .code(),
            Code::kInvalid);
}

TEST_F(BackupTest, EntriesBesideTheManifestsAreRefused) {
  Write(From() / "state.db", "state");
  std::vector<SourcePart> parts{{"state", {}}};
  ASSERT_TRUE(AddTree(From() / "state.db", "state/state.db", Contents::kPlain, parts[0].entries));
  // Twice the same place.
  EXPECT_EQ(Unpack(Forge("state", {{File("state/state.db", 1), "a"}, {File("state/state.db", 1), "b"}}))
                .error()
                .code(),
            Code::kInvalid);
  // One of another part.
  EXPECT_EQ(Unpack(Forge("state", {{File("store/store.db", 1), "a"}})).error().code(), Code::kInvalid);
  // A volume's attribute that no backup keeps.
  TarEntry entry = Folder("volumes/shop/local/cache-0");
  entry.xattrs["trusted.overlay.redirect"] = "/etc";
  EXPECT_EQ(CheckEntry(entry).error().code(), Code::kInvalid);
}

TEST_F(BackupTest, ADryRunChecksAllAndWritesNothing) {
  Write(From() / "state.db", "state");
  std::vector<SourcePart> parts{{"state", {}}};
  ASSERT_TRUE(AddTree(From() / "state.db", "state/state.db", Contents::kPlain, parts[0].entries));
  ASSERT_TRUE(Pack(parts));
  EXPECT_TRUE(ReadBackup(SourceOf(archive_), {}));
  EXPECT_FALSE(ReadBackup(SourceOf(std::string_view(archive_).substr(0, archive_.size() - 8)), {}));
}

TEST_F(BackupTest, AFolderThatHoldsLinksIsNoPlainOne) {
  Write(From() / "scripts/a", "a");
  fs::create_symlink("/etc/passwd", From() / "scripts/b");
  std::vector<SourceEntry> out;
  EXPECT_EQ(AddTree(From() / "scripts", "scripts", Contents::kPlain, out).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace ingot::backup
