#include "registry/names.h"

#include <gtest/gtest.h>

#include <string>

#include "registry/byte_range.h"
#include "registry/route.h"

namespace ingot::registry {
namespace {

TEST(NamesTest, RepositoryNames) {
  for (const char* name : {"a", "shop/web", "a.b/c_d/e__f/g-h/i--j", "0", "a/b/c/d/e"})
    EXPECT_TRUE(IsRepositoryName(name)) << name;
  for (const char* name : {"", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a_", "-a", "a.", "a._b",
                           "a/../b", "..", ".", "a b", "a%2f", "a\n", "ä"})
    EXPECT_FALSE(IsRepositoryName(name)) << name;
  EXPECT_TRUE(IsRepositoryName(std::string(255, 'a')));
  EXPECT_FALSE(IsRepositoryName(std::string(256, 'a')));
}

TEST(NamesTest, Tags) {
  for (const char* tag : {"a", "_", "1.0", "V1-rc.2_x"}) EXPECT_TRUE(IsTagName(tag)) << tag;
  for (const char* tag : {"", ".a", "-a", "a/b", "a:b", "a b", "é"}) EXPECT_FALSE(IsTagName(tag)) << tag;
  EXPECT_TRUE(IsTagName(std::string(128, 'a')));
  EXPECT_FALSE(IsTagName(std::string(129, 'a')));
}

TEST(NamesTest, UploadIds) {
  EXPECT_TRUE(IsUploadId("0123456789abcdef0123456789abcdef"));
  EXPECT_FALSE(IsUploadId("0123456789abcdef0123456789abcde"));
  EXPECT_FALSE(IsUploadId("../../../etc/passwd/0123456789ab"));
  EXPECT_FALSE(IsUploadId("0123456789ABCDEF0123456789ABCDEF"));
}

TEST(RouteTest, Endpoints) {
  using enum Endpoint;
  EXPECT_EQ(Route::Of("/v2/"), (Route{kBase, "", ""}));
  EXPECT_EQ(Route::Of("/v2"), (Route{kBase, "", ""}));
  EXPECT_EQ(Route::Of("/v2/a/b/manifests/v1"), (Route{kManifest, "a/b", "v1"}));
  EXPECT_EQ(Route::Of("/v2/a/blobs/sha256:00"), (Route{kBlob, "a", "sha256:00"}));
  EXPECT_EQ(Route::Of("/v2/a/blobs/uploads/"), (Route{kUploads, "a", ""}));
  EXPECT_EQ(Route::Of("/v2/a/blobs/uploads"), (Route{kUploads, "a", ""}));
  EXPECT_EQ(Route::Of("/v2/a/b/blobs/uploads/12"), (Route{kUpload, "a/b", "12"}));
  EXPECT_EQ(Route::Of("/v2/a/tags/list"), (Route{kTags, "a", ""}));
  EXPECT_EQ(Route::Of("/v2/a/referrers/sha256:00"), (Route{kReferrers, "a", "sha256:00"}));
  // Components may be called as the endpoints are.
  EXPECT_EQ(Route::Of("/v2/manifests/blobs/manifests/v1"), (Route{kManifest, "manifests/blobs", "v1"}));
  for (const char* path : {"", "/", "/v1/a", "/v2/a", "/v2/manifests/v1", "/v2/a/uploads/1", "/v2x/"})
    EXPECT_TRUE(Route::Of(path).endpoint == kUnknown || Route::Of(path).repository.empty()) << path;
}

TEST(ByteRangeTest, Range) {
  ByteRange part;
  EXPECT_EQ(ParseRange("", 10, part), RangeKind::kWhole);
  EXPECT_EQ(ParseRange("bytes=0-0", 10, part), RangeKind::kPart);
  EXPECT_EQ(part, (ByteRange{0, 1}));
  EXPECT_EQ(ParseRange("bytes=3-", 10, part), RangeKind::kPart);
  EXPECT_EQ(part, (ByteRange{3, 7}));
  EXPECT_EQ(ParseRange("bytes=3-99", 10, part), RangeKind::kPart);
  EXPECT_EQ(part, (ByteRange{3, 7}));
  EXPECT_EQ(ParseRange("bytes=-4", 10, part), RangeKind::kPart);
  EXPECT_EQ(part, (ByteRange{6, 4}));
  EXPECT_EQ(ParseRange("bytes=-99", 10, part), RangeKind::kPart);
  EXPECT_EQ(part, (ByteRange{0, 10}));
  EXPECT_EQ(ParseRange("bytes=10-", 10, part), RangeKind::kUnsatisfiable);
  EXPECT_EQ(ParseRange("bytes=0-", 0, part), RangeKind::kUnsatisfiable);
  EXPECT_EQ(ParseRange("bytes=-0", 10, part), RangeKind::kUnsatisfiable);
  for (const char* header : {"bytes=5-3", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2", "bytes=", "bytes=-",
                             "bytes=18446744073709551615-18446744073709551616"})
    EXPECT_EQ(ParseRange(header, 10, part), RangeKind::kWhole) << header;
}

TEST(ByteRangeTest, Chunks) {
  EXPECT_EQ(ParseChunkRange("0-1023"), (ByteRange{0, 1024}));
  EXPECT_EQ(ParseChunkRange("7-7"), (ByteRange{7, 1}));
  for (const char* header :
       {"", "-", "1-", "-1", "5-3", "bytes=0-1", "0-1/2", "18446744073709551615-18446744073709551615"})
    EXPECT_EQ(ParseChunkRange(header), std::nullopt) << header;
}

}  // namespace
}  // namespace ingot::registry
