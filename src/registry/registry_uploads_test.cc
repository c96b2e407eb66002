#include "base/json.h"
#include "registry/registry_fixture.h"

namespace ingot::registry {
namespace {

TEST_F(RegistryTest, PartsOfABlob) {
  PushBlob("a", "0123456789");
  Request request = Parsed("GET", "/v2/a/blobs/" + oci::Digest::Of("0123456789").Render());
  request.range = "bytes=2-4";
  const Response part = Run(request);
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.Header("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(BodyOf(part), "234");
  request.range = "bytes=10-";
  const Response refused = Run(request);
  EXPECT_EQ(refused.status, 416);
  EXPECT_EQ(refused.Header("Content-Range"), "bytes */10");
}

TEST_F(RegistryTest, WrongDigestsAreRefusedAndNothingIsKept) {
  const auto other = oci::Digest::Of("other").Render();
  EXPECT_EQ(CodeOf(Call("POST", "/v2/a/blobs/uploads/?digest=" + other, "hello")), "DIGEST_INVALID");
  EXPECT_EQ(CodeOf(Call("POST", "/v2/a/blobs/uploads/?digest=md5:00", "hello")), "DIGEST_INVALID");
  EXPECT_EQ(CodeOf(Call("GET", "/v2/a/blobs/sha256:00")), "DIGEST_INVALID");
  EXPECT_TRUE(Must(ListDirectory(root_ / "blobs" / "sha256")).empty());
}

TEST_F(RegistryTest, ChunksComeInOrder) {
  const Response begun = Call("POST", "/v2/a/blobs/uploads/");
  EXPECT_EQ(begun.status, 202);
  const std::string place(begun.Header("Location"));
  Request chunk = Parsed("PATCH", place);
  chunk.content_range = "0-3";
  chunk.content_length = 4;
  const Response first = Run(chunk, "0123");
  EXPECT_EQ(first.status, 202);
  EXPECT_EQ(first.Header("Range"), "0-3");
  const Response again = Run(chunk, "0123");
  EXPECT_EQ(again.status, 416);
  EXPECT_EQ(again.Header("Range"), "0-3");
  EXPECT_EQ(again.Header("Location"), place);
  chunk.content_range = "4-9";
  EXPECT_EQ(CodeOf(Run(chunk, "4567")), "SIZE_INVALID");
  // Of unknown length, and shorter or longer than it says: as if it had not come.
  chunk.content_length.reset();
  EXPECT_EQ(CodeOf(Run(chunk, "4567")), "SIZE_INVALID");
  EXPECT_EQ(CodeOf(Run(chunk, "456789x")), "SIZE_INVALID");
  chunk.content_range = "nonsense";
  EXPECT_EQ(CodeOf(Run(chunk, "4567")), "BLOB_UPLOAD_INVALID");
  const Response status = Call("GET", place);
  EXPECT_EQ(status.status, 204);
  EXPECT_EQ(status.Header("Range"), "0-3");
  Request last = Parsed("PUT", place + "?digest=" + oci::Digest::Of("0123456789").Render());
  last.content_range = "4-9";
  last.content_length = 6;
  EXPECT_EQ(Run(last, "456789").status, 201);
  EXPECT_EQ(CodeOf(Call("GET", place)), "BLOB_UPLOAD_UNKNOWN");
  EXPECT_EQ(BodyOf(Call("GET", "/v2/a/blobs/" + oci::Digest::Of("0123456789").Render())), "0123456789");
}

TEST_F(RegistryTest, AClientThatWasCutOffGoesOnWhereItStopped) {
  const std::string place(Call("POST", "/v2/a/blobs/uploads/").Header("Location"));
  {
    auto exchange = registry_->Begin(Parsed("PATCH", place));
    ASSERT_TRUE(exchange->Write("0123"));
    // Meanwhile nobody else may write.
    EXPECT_EQ(Call("PATCH", place, "x").status, 409);
  }
  EXPECT_EQ(Call("GET", place).Header("Range"), "0-3");
  EXPECT_EQ(Call("PUT", place + "?digest=" + oci::Digest::Of("01234").Render(), "4").status, 201);
}

TEST_F(RegistryTest, LargeBodiesAreHashedAhead) {
  std::string bytes;
  for (uint64_t i = 0; bytes.size() < size_t{20} << 20; ++i) bytes += std::to_string(i * 7919);
  PushBlob("a", bytes);
  EXPECT_EQ(BodyOf(Call("GET", "/v2/a/blobs/" + oci::Digest::Of(bytes).Render())), bytes);
}

TEST_F(RegistryTest, UploadsAreCancelledAndExpire) {
  const std::string place(Call("POST", "/v2/a/blobs/uploads/").Header("Location"));
  EXPECT_EQ(CodeOf(Call("GET", "/v2/b" + place.substr(5))), "BLOB_UPLOAD_UNKNOWN");  // of another repository
  EXPECT_EQ(Call("DELETE", place).status, 204);
  EXPECT_EQ(Call("DELETE", place).status, 404);
  EXPECT_EQ(CodeOf(Call("GET", "/v2/a/blobs/uploads/..")), "BLOB_UPLOAD_UNKNOWN");
}

TEST(UploadsTest, AbandonedOnesGoByAge) {
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "uploads");
  FakeClock clock;
  store::MemoryCatalog catalog;
  store::DiskBudget budget(catalog, directory.path());
  auto uploads = *Uploads::Open(directory.path() / "u", {2, std::chrono::hours(1)}, clock, budget);
  const std::string old = *uploads->Add("a");
  clock.Advance(std::chrono::minutes(50));
  const std::string young = *uploads->Add("a");
  EXPECT_EQ(uploads->Add("a").error().code(), Code::kConflict);  // there are two
  clock.Advance(std::chrono::minutes(20));
  EXPECT_EQ(uploads->Expire(), 1U);
  EXPECT_EQ(uploads->Begin("a", old).error().code(), Code::kNotFound);
  EXPECT_TRUE(uploads->Begin("a", young));
}

TEST(UploadsTest, WhatADeadProcessHasLeftIsRemovedAndALiveOneKept) {
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "uploads");
  FakeClock clock;
  const fs::path root = directory.path() / "u";
  ASSERT_TRUE(MakeDirectories(root / "dead"));
  ASSERT_TRUE(WriteFileAtomic(root / "dead" / "x", "left behind"));
  store::MemoryCatalog catalog;
  store::DiskBudget budget(catalog, directory.path());
  auto first = *Uploads::Open(root, {}, clock, budget);
  EXPECT_FALSE(fs::exists(root / "dead"));
  const std::string id = *first->Add("a");
  {
    auto second = *Uploads::Open(root, {}, clock, budget);
    EXPECT_TRUE(first->Begin("a", id));
    EXPECT_EQ(second->Begin("a", id).error().code(), Code::kNotFound);
    EXPECT_EQ(ListDirectory(root)->size(), 3U);  // two folders and the lock
  }
  EXPECT_EQ(ListDirectory(root)->size(), 2U);
}

TEST_F(RegistryTest, BlobsAreMounted) {
  PushBlob("a", "hello");
  const auto digest = oci::Digest::Of("hello").Render();
  EXPECT_EQ(Call("POST", "/v2/b/blobs/uploads/?mount=" + digest + "&from=c").status, 202);
  EXPECT_EQ(Call("POST", "/v2/b/blobs/uploads/?mount=" + digest + "&from=a").status, 201);
  EXPECT_EQ(BodyOf(Call("GET", "/v2/b/blobs/" + digest)), "hello");
  // from anywhere
  EXPECT_EQ(Call("POST", "/v2/d/blobs/uploads/?mount=" + digest).status, 201);
  EXPECT_EQ(Call("POST", "/v2/d/blobs/uploads/?mount=" + oci::Digest::Of("x").Render()).status, 202);
  EXPECT_EQ(CodeOf(Call("POST", "/v2/d/blobs/uploads/?mount=nonsense")), "DIGEST_INVALID");
  EXPECT_EQ(CodeOf(Call("POST", "/v2/d/blobs/uploads/?mount=" + digest + "&from=../a")), "NAME_INVALID");
}

}  // namespace
}  // namespace ingot::registry
