#include "store/object_id.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/file.h"
#include "base/subprocess.h"

namespace ingot::store {
namespace {

std::string Pattern(size_t size) {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 31 + (i >> 8));
  return out;
}

TEST(ObjectIdTest, ParseAndRenderAreInverse) {
  const std::string hex = "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95";
  const auto id = ObjectId::Parse(hex);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->Render(), hex);
  EXPECT_EQ(id->RelativePath(), "3d/" + hex.substr(2));
}

TEST(ObjectIdTest, RefusesWhatIsNoDigest) {
  for (const std::string& bad :
       {std::string(), std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'),
        std::string(63, 'a') + "g", std::string(63, 'a') + "/"}) {
    const auto id = ObjectId::Parse(bad);
    ASSERT_FALSE(id) << bad;
    EXPECT_EQ(id.error().code(), Code::kInvalid);
  }
}

TEST(ObjectIdTest, NoBytesNoObject) {
  EXPECT_TRUE(ObjectId::Of("").empty());
  EXPECT_FALSE(ObjectId::Of("x").empty());
}

// The kernel's own tool is the judge, at the sizes where the tree gets another block or level.
TEST(ObjectIdTest, AgreesWithFsverity) {
  if (!FindProgram("fsverity")) GTEST_SKIP() << "SKIP: fsverity is not installed (package fsverity)";
  auto directory = TempDirectory::Make(fs::temp_directory_path(), "ingot-object-id-");
  ASSERT_TRUE(directory);
  const fs::path path = directory->path() / "file";
  for (const size_t size : {size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{8192},
                            size_t{128} * 4096, size_t{128} * 4096 + 1, size_t{129} * 4096, size_t{200'000},
                            size_t{128} * 128 * 4096, size_t{128} * 128 * 4096 + 1}) {
    const std::string bytes = Pattern(size);
    ASSERT_TRUE(WriteFileAtomic(path, bytes, 0644, Durability::kNone));
    Command command;
    command.argv = {"fsverity", "digest", "--compact", path};
    auto out = RunChecked(command, std::chrono::seconds(60));
    ASSERT_TRUE(out) << out.error().Render();
    EXPECT_EQ(ObjectId::Of(bytes).Render() + "\n", *out) << size;
    auto fd = OpenFile(path, O_RDONLY);
    ASSERT_TRUE(fd);
    const auto measured = ObjectId::OfFile(fd->get());
    ASSERT_TRUE(measured);
    EXPECT_EQ(measured->id, ObjectId::Of(bytes));
    EXPECT_EQ(measured->size_bytes, size);
  }
}

TEST(ObjectIdTest, PiecesMakeNoDifference) {
  const std::string bytes = Pattern(700'001);
  for (const size_t piece : {size_t{1000}, size_t{4096}, size_t{5000}, size_t{65537}}) {
    ObjectHasher hasher;
    for (size_t at = 0; at < bytes.size(); at += piece)
      hasher.Update(std::string_view(bytes).substr(at, piece));
    EXPECT_EQ(hasher.Finish(), ObjectId::Of(bytes)) << piece;
    hasher.Update("x");  // as new
    EXPECT_EQ(hasher.Finish(), ObjectId::Of("x"));
  }
}

}  // namespace
}  // namespace ingot::store
