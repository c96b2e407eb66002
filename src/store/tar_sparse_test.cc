#include "store/tar_sparse.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/subprocess.h"
#include "store/object_pool.h"
#include "store/tar_reader.h"

namespace ingot::store {
namespace {

TEST(SparseMap, ExpandsWhatIsBetweenItsPartsToZeros) {
  SparseMap map;
  ASSERT_TRUE(ParseSparseList("2,3,7,1", map));
  map.real_size = 10;
  ASSERT_TRUE(map.Check(4));
  const ByteSource stored = SourceOf(std::string_view("abcd"));
  const ByteSource source = ExpandSparse(map, stored);
  std::string out;
  char buffer[4];
  while (const size_t n = source(buffer, sizeof buffer).value_or(0)) out.append(buffer, n);
  EXPECT_EQ(out, std::string("\0\0abc\0\0d\0\0", 10));
  EXPECT_EQ(map.Check(5).error().code(), Code::kInvalid);
  map.real_size = 7;
  EXPECT_EQ(map.Check(4).error().code(), Code::kInvalid);
  for (const char* text : {"1", "1,x", "-1,2", "1,9999999999999999999", "5,2,6,1", "1,,2"}) {
    SparseMap bad;
    bad.real_size = 100;
    EXPECT_FALSE(ParseSparseList(text, bad) && bad.Check(3)) << text;
  }
}

// tar is the judge: a file with holes, in every form that it writes.
TEST(SparseMap, ReadsWhatTarWrites) {
  if (!FindProgram("tar")) GTEST_SKIP() << "SKIP: tar is not installed";
  const TempDirectory directory = *TempDirectory::Make("/tmp", "ingot-sparse-");
  ObjectPool pool = *ObjectPool::Open(directory.path() / "objects");
  const fs::path file = directory.path() / "tree/holes";
  ASSERT_TRUE(MakeDirectories(file.parent_path()));
  constexpr int kParts = 60;  // more than a header and two blocks hold
  constexpr off_t kStep = 256 << 10;
  {
    const Fd fd = *OpenFile(file, O_RDWR | O_CREAT);
    for (int i = 0; i < kParts; ++i) ASSERT_EQ(::pwrite(fd.get(), "part", 4, i * kStep + 100), 4);
    ASSERT_EQ(::ftruncate(fd.get(), kParts * kStep + 5), 0);
  }
  const ObjectId::Measured whole = *pool.PutFile(file);
  for (const std::string form :
       {"--format=gnu", "--format=oldgnu", "--sparse-version=0.1", "--sparse-version=1.0"}) {
    Command make;
    make.argv = {"tar",
                 "-S",
                 "--hole-detection=raw",
                 form,
                 "-C",
                 directory.path() / "tree",
                 "-cf",
                 directory.path() / "x.tar",
                 "holes"};
    if (form.starts_with("--sparse")) make.argv.insert(make.argv.begin() + 1, "--format=posix");
    ASSERT_TRUE(RunChecked(make, std::chrono::seconds(60)));
    const std::string bytes = *ReadFile(directory.path() / "x.tar");
    ASSERT_LT(bytes.size(), 2u << 20) << "tar has found the holes";
    const auto read = ReadTar(SourceOf(bytes), pool);
    ASSERT_TRUE(read) << form << ": " << read.error().Render();
    const Node* node = read->tree.Find("holes");
    ASSERT_NE(node, nullptr) << form;
    EXPECT_EQ(node->size_bytes, static_cast<uint64_t>(kParts * kStep + 5)) << form;
    EXPECT_EQ(node->object, whole.id) << form;
    TarOptions tight;
    tight.limits.max_sparse_bytes = 1 << 20;
    EXPECT_EQ(ReadTar(SourceOf(bytes), pool, tight).error().code(), Code::kRefused) << form;
    for (size_t cut = 512; cut < bytes.size() - 10'240; cut += 4096)
      EXPECT_FALSE(ReadTar(SourceOf(std::string_view(bytes).substr(0, cut)), pool)) << form << " " << cut;
  }
}

}  // namespace
}  // namespace ingot::store
