#include "store/tar_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/sha256.h"
#include "base/subprocess.h"
#include "store/random_tree.h"
#include "store/tar_header.h"
#include "store/tar_writer.h"

namespace ingot::store {
namespace {

using ::testing::HasSubstr;

// A header block with the right checksum, and the padded contents behind it.
std::string Entry(char type, const std::string& name, const std::string& contents = "",
                  const std::string& link = "") {
  std::string block(512, '\0');
  block.replace(0, name.size(), name);
  block.replace(100, 7, "0000644");
  block.replace(108, 7, "0000000");
  block.replace(116, 7, "0000000");
  char size[12];
  std::snprintf(size, sizeof size, "%011zo", contents.size());
  block.replace(124, 11, size);
  block.replace(136, 11, "00000000000");
  block[156] = type;
  block.replace(157, link.size(), link);
  block.replace(257, 8,
                std::string("ustar\0"
                            "00",
                            8));
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  block.replace(148, 7, std::string(text, 7));
  return block + contents + std::string((512 - contents.size() % 512) % 512, '\0');
}

std::string Pax(const std::vector<std::pair<std::string, std::string>>& records, char type = 'x') {
  std::string data;
  for (const auto& [key, value] : records) {
    size_t length = key.size() + value.size() + 4;
    while (std::to_string(length).size() + key.size() + value.size() + 3 != length) ++length;
    data += std::to_string(length) + " " + key + "=" + value + "\n";
  }
  return Entry(type, "pax", data);
}

const std::string kEnd(1024, '\0');

class TarReaderTest : public ::testing::Test {
 protected:
  TarReaderTest()
      : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-tar-")),
        pool_(*ObjectPool::Open(directory_.path() / "objects")) {}

  Result<ReadArchive> Read(const std::string& tar, const TarOptions& options = {}) {
    return ReadTar(SourceOf(tar), pool_, options);
  }
  void Refused(const std::string& tar, Code code, const std::string& why) {
    const auto read = Read(tar);
    ASSERT_FALSE(read) << why;
    EXPECT_EQ(read.error().code(), code);
    EXPECT_THAT(read.error().message(), HasSubstr(why));
  }

  TempDirectory directory_;
  ObjectPool pool_;
};

TEST_F(TarReaderTest, RefusesNamesThatLeadOut) {
  Refused(Entry('0', "/etc/passwd", "x") + kEnd, Code::kInvalid, "absolute");
  Refused(Entry('0', "../x", "x") + kEnd, Code::kInvalid, "\"..\"");
  Refused(Entry('0', "a/../../x", "x") + kEnd, Code::kInvalid, "\"..\"");
  Refused(Entry('1', "x", "", "/etc/shadow") + kEnd, Code::kInvalid, "absolute");
  Refused(Entry('1', "x", "", "../shadow") + kEnd, Code::kInvalid, "\"..\"");
  Refused(Entry('1', "x", "", "absent") + kEnd, Code::kInvalid, "does not exist");
  Refused(Entry('2', "etc", "", "/host/etc") + Entry('0', "etc/passwd", "x") + kEnd, Code::kInvalid,
          "not a directory");
  Refused(Pax({{"path", "/a"}}) + Entry('0', "ok", "x") + kEnd, Code::kInvalid, "absolute");
  Refused(Entry('0', ".", "x") + kEnd, Code::kInvalid, "root");
  Refused(Entry('0', ".wh...", "") + kEnd, Code::kInvalid, "removes nothing");
}

TEST_F(TarReaderTest, AbsoluteNamesAreWithinTheImageWhereTheyAreAllowed) {
  TarOptions options;
  options.absolute_names = true;
  const auto read = Read(Entry('0', "/etc/x", "x") + Entry('1', "//y", "", "/etc/x") + kEnd, options);
  ASSERT_TRUE(read) << read.error().Render();
  EXPECT_NE(read->tree.Find("etc/x"), nullptr);
  EXPECT_EQ(read->tree.names().find("y")->second, read->tree.names().find("etc/x")->second);
  EXPECT_EQ(Read(Entry('0', "/../x", "x") + kEnd, options).error().code(), Code::kInvalid);
  EXPECT_EQ(Read(Entry('1', "x", "", "/../etc/shadow") + kEnd, options).error().code(), Code::kInvalid);
}

TEST_F(TarReaderTest, RefusesWhatOverlayfsWouldObey) {
  Refused(Pax({{"SCHILY.xattr.trusted.overlay.redirect", "/ab/cd"}}) + Entry('0', "x", "x") + kEnd,
          Code::kInvalid, "obey");
  Refused(Entry('3', "x") + kEnd, Code::kInvalid, "0:0");
}

TEST_F(TarReaderTest, RefusesBrokenArchives) {
  Refused("", Code::kInvalid, "empty");
  Refused("not a tar", Code::kInvalid, "cut off");
  Refused(std::string(512, 'x'), Code::kInvalid, "checksum");
  Refused(Entry('0', "x", "contents").substr(0, 515), Code::kInvalid, "cut off");
  Refused(Entry('Z', "x") + kEnd, Code::kUnsupported, "type 'Z'");
  Refused(Pax({{"GNU.sparse.numblocks", "1"}}) + Entry('0', "x") + kEnd, Code::kUnsupported, "sparse");
  Refused(Pax({{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.realsize", "9"}}) +
              Entry('0', "x", "1\n0\n") + kEnd,
          Code::kInvalid, "map is broken");
  Refused(Entry('x', "pax", "99 path=x\n") + kEnd, Code::kInvalid, "malformed");
  Refused(Entry('x', "pax", "5 a=b") + kEnd, Code::kInvalid, "malformed");
  Refused(Pax({{"size", "-5"}}) + Entry('0', "x") + kEnd, Code::kInvalid, "negative");
  Refused(Pax({{"size", "9000000000000000000"}}) + Entry('0', "x") + kEnd, Code::kInvalid, "cut off");
  Refused(Pax({{"uid", "4294967295"}}) + Entry('0', "x") + kEnd, Code::kInvalid, "out of range");
  Refused("\x1f\x8b\x08" + std::string(40, 'x'), Code::kInvalid, "damaged");
}

TEST_F(TarReaderTest, WhiteoutsSpeakOfTheLayersBelow) {
  const auto read = Read(Entry('0', "etc/.wh.gone") + Entry('5', "etc/") + Entry('0', "etc/.wh.kept") +
                         Entry('0', "etc/kept", "k") + Entry('0', "var/.wh..wh..opq") +
                         Entry('0', "var/x", "x") + Entry('0', ".wh.dir") + Entry('0', "dir/y", "y") +
                         Entry('0', "var/.wh.old") + Entry('0', ".wh..wh.plnk") + kEnd);
  ASSERT_TRUE(read) << read.error().Render();
  EXPECT_EQ(read->tree.Find("etc/gone")->type, NodeType::kWhiteout);
  EXPECT_EQ(read->tree.Find("etc/kept")->type, NodeType::kRegular);
  EXPECT_TRUE(read->tree.Find("var")->opaque);
  EXPECT_EQ(read->tree.Find("var/old"), nullptr);  // nothing to hide in an opaque directory
  EXPECT_TRUE(read->tree.Find("dir")->opaque);
  EXPECT_TRUE(read->tree.Find("var/x")->type == NodeType::kRegular);
  EXPECT_EQ(read->tree.names().size(), 8U);

  TarOptions plain;
  plain.whiteouts = false;
  const auto archive = Read(Entry('0', ".wh.name", "x") + kEnd, plain);
  ASSERT_TRUE(archive);
  EXPECT_EQ(archive->tree.Find(".wh.name")->size_bytes, 1U);
}

TEST_F(TarReaderTest, LaterEntriesReplaceEarlierOnes) {
  const auto read = Read(Entry('0', "d/x", "1") + Entry('2', "d", "", "elsewhere") + Entry('0', "f", "old") +
                         Entry('0', "./f", "newer") + kEnd);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->tree.Find("d")->type, NodeType::kSymlink);
  EXPECT_EQ(read->tree.Find("d/x"), nullptr);
  EXPECT_EQ(read->tree.Find("f")->object, ObjectId::Of("newer"));
}

TEST_F(TarReaderTest, TimesAndNumbersOfAllForms) {
  const auto read = Read(Pax({{"mtime", "-0.25"}, {"uid", "4000000000"}}) + Entry('0', "a", "x") +
                         Pax({{"mtime", "1700000000.123456789123"}}) + Entry('0', "b", "x") +
                         Pax({{"mtime", "-5"}}) + Entry('0', "c", "x") + kEnd);
  ASSERT_TRUE(read) << read.error().Render();
  EXPECT_EQ(read->tree.Find("a")->mtime_s, -1);
  EXPECT_EQ(read->tree.Find("a")->mtime_ns, 750'000'000U);
  EXPECT_EQ(read->tree.Find("a")->uid, 4'000'000'000U);
  EXPECT_EQ(read->tree.Find("b")->mtime_ns, 123'456'789U);
  EXPECT_EQ(read->tree.Find("c")->mtime_s, -5);
}

TEST_F(TarReaderTest, LimitsHold) {
  TarOptions options;
  options.limits.max_entries = 2;
  auto read = Read(Entry('0', "a") + Entry('0', "b") + Entry('0', "c") + kEnd, options);
  EXPECT_EQ(read.error().code(), Code::kRefused);
  options = {};
  options.limits.max_bytes = 4000;
  read = Read(Entry('0', "a", std::string(5000, 'x')) + kEnd, options);
  EXPECT_EQ(read.error().code(), Code::kRefused);
  Refused(Entry('x', "pax", std::string((1 << 20) + 1, 'x')) + kEnd, Code::kRefused, "1 MiB");
}

TEST_F(TarReaderTest, ADecompressionBombIsRefused) {
  if (!FindProgram("zstd")) GTEST_SKIP() << "SKIP: zstd is not installed";
  Command compress;
  compress.argv = {"zstd", "-q", "-c"};
  const auto compressed =
      RunChecked(compress, std::chrono::seconds(60), Entry('0', "zeros", std::string(80 << 20, '\0')) + kEnd);
  ASSERT_TRUE(compressed) << compressed.error().Render();
  const std::string& bomb = *compressed;
  ASSERT_LT(bomb.size(), 100'000U);
  const auto read = Read(bomb);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kRefused);
  EXPECT_THAT(read.error().message(), HasSubstr("bomb"));
}

// tar and the compressors of the system are the judges.
TEST_F(TarReaderTest, ReadsWhatTarWritesInEveryFormatAndCompression) {
  if (!FindProgram("tar")) GTEST_SKIP() << "SKIP: tar is not installed";
  const fs::path tree = directory_.path() / "tree";
  fs::create_directories(tree / "sub" / std::string(120, 'l') / std::string(120, 'm'));
  const fs::path deep = fs::path("sub") / std::string(120, 'l') / std::string(120, 'm') / "deep";
  ASSERT_TRUE(WriteFileAtomic(tree / "sub/file", "contents"));
  ASSERT_TRUE(WriteFileAtomic(tree / deep, std::string(3'000'000, 'd')));
  fs::create_symlink("file", tree / "sub/link");
  fs::create_hard_link(tree / "sub/file", tree / "sub/hard");
  ASSERT_TRUE(WriteFileAtomic(tree / "sub/\xc3\xa9t\xc3\xa9", "accent"));
  for (const std::string format : {"gnu", "posix", "oldgnu"}) {
    for (const std::string compression : {"", "--gzip", "--zstd", "--xz", "--bzip2"}) {
      if (!compression.empty() && !FindProgram(compression.substr(2))) continue;
      Command make;
      make.argv = {"tar", "--format=" + format, "-C", tree, "-cf", directory_.path() / "x.tar", "."};
      if (!compression.empty()) make.argv.insert(make.argv.begin() + 1, compression);
      ASSERT_TRUE(RunChecked(make, std::chrono::seconds(60)));
      const auto bytes = ReadFile(directory_.path() / "x.tar");
      ASSERT_TRUE(bytes);
      const auto read = Read(*bytes);
      ASSERT_TRUE(read) << format << compression << ": " << read.error().Render();
      EXPECT_EQ(read->tree.names().size(), 9U) << format << compression;
      EXPECT_EQ(read->tree.Find(deep.string())->size_bytes, 3'000'000U);
      EXPECT_EQ(read->tree.Find("sub/\xc3\xa9t\xc3\xa9")->object, ObjectId::Of("accent"));
      EXPECT_EQ(read->tree.names().find("sub/hard")->second, read->tree.names().find("sub/file")->second);
      EXPECT_EQ(read->tree.Find("sub/link")->target, "file");
      if (compression.empty()) {
        EXPECT_EQ(read->diff_id.hex(), Sha256Hex(*bytes));
      } else {  // cut off in the middle, no compression may pass for whole
        EXPECT_FALSE(Read(bytes->substr(0, bytes->size() / 2))) << format << compression;
      }
    }
  }
}

TEST_F(TarReaderTest, DamagedArchivesNeverEscape) {
  std::mt19937_64 random(3);
  std::string tar;
  const Tree tree = RandomTree(11, pool_).Make(60, /*layer=*/true);
  ASSERT_TRUE(WriteTar(tree, pool_, [&](std::string_view piece) -> Result<void> {
    tar += piece;
    return {};
  }));
  size_t refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bad = tar;
    bad[random() % bad.size()] = static_cast<char>(random());
    const auto read = Read(bad);
    if (!read) {
      ++refused;
      EXPECT_NE(read.error().code(), Code::kInternal);
      continue;
    }
    for (const auto& [path, id] : read->tree.names()) EXPECT_TRUE(ValidatePath(path));
  }
  EXPECT_GT(refused, 20U);  // most bytes are contents, which any byte may be
}

TEST_F(TarReaderTest, TheSourcesOwnErrorComesThrough) {
  const std::string head = Entry('0', "a", "x");
  size_t at = 0;
  const auto read = ReadTar(
      [&](char* buffer, size_t size) -> Result<size_t> {
        if (at == head.size()) return Error(Code::kTimeout, "the registry does not answer");
        const size_t n = head.copy(buffer, size, at);
        at += n;
        return n;
      },
      pool_);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kTimeout);
}

TEST(TarHeaderTest, NumbersInBase256) {
  std::string block = Entry('0', "x").substr(0, 512);
  block.replace(136, 12, std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12));  // -2
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  block.replace(148, 7, std::string(text, 7));
  const auto header = ParseTarHeader(block);
  ASSERT_TRUE(header) << header.error().Render();
  EXPECT_EQ(header->mtime_s, -2);
}

}  // namespace
}  // namespace ingot::store
