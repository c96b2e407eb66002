#include "registry/registry.h"

#include <sys/stat.h>

#include "base/json.h"
#include "base/sha512.h"
#include "oci/manifest.h"
#include "registry/registry_fixture.h"
#include "store/collector.h"
#include "store/tar_writer.h"
#include "store/verify.h"

namespace ingot::registry {
namespace {

TEST_F(RegistryTest, ABlobIsPushedInOneRequestAndRead) {
  const auto digest = oci::Digest::Of("hello").Render();
  EXPECT_EQ(CodeOf(Call("GET", "/v2/a/blobs/" + digest)), "BLOB_UNKNOWN");
  const Response pushed = Call("POST", "/v2/a/blobs/uploads/?digest=" + digest, "hello");
  EXPECT_EQ(pushed.status, 201);
  EXPECT_EQ(pushed.Header("Location"), "/v2/a/blobs/" + digest);
  EXPECT_EQ(pushed.Header("Docker-Content-Digest"), digest);
  const Response got = Call("GET", "/v2/a/blobs/" + digest);
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(BodyOf(got), "hello");
  const Response head = Call("HEAD", "/v2/a/blobs/" + digest);
  EXPECT_EQ(head.head_bytes, 5U);
  EXPECT_EQ(head.BodyBytes(), 0U);
  // Another repository does not have it.
  EXPECT_EQ(Call("HEAD", "/v2/b/blobs/" + digest).status, 404);
  struct stat st {};
  ASSERT_EQ(::stat((root_ / "blobs/sha256" / oci::Digest::Of("hello").hex()).c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0444U);
}

TEST_F(RegistryTest, AManifestIsKeptVerbatim) {
  PushBlob("a", "{}");
  PushBlob("a", "layer");
  const std::string manifest = ManifestOf("{}", {"layer"}, R"(,   "custom" : [1]  )");
  const auto digest = oci::Digest::Of(manifest).Render();
  const Response put = PutManifest("a", "v1", manifest);
  ASSERT_EQ(put.status, 201) << put.text;
  EXPECT_EQ(put.Header("Location"), "/v2/a/manifests/" + digest);
  for (const std::string& reference : {std::string("v1"), digest}) {
    const Response got = Call("GET", "/v2/a/manifests/" + reference);
    EXPECT_EQ(got.text, manifest);
    EXPECT_EQ(got.Header("Content-Type"), kType);
    EXPECT_EQ(got.Header("Docker-Content-Digest"), digest);
    EXPECT_EQ(Call("HEAD", "/v2/a/manifests/" + reference).head_bytes, manifest.size());
  }
  EXPECT_EQ(CodeOf(Call("GET", "/v2/a/manifests/v2")), "MANIFEST_UNKNOWN");
  EXPECT_EQ(CodeOf(Call("GET", "/v2/b/manifests/" + digest)), "MANIFEST_UNKNOWN");
  EXPECT_EQ(CodeOf(Call("GET", "/v2/A/manifests/v1")), "NAME_INVALID");
}

TEST_F(RegistryTest, AManifestNeedsItsBlobs) {
  PushBlob("a", "{}");
  const std::string manifest = ManifestOf("{}", {"layer"});
  const Response refused = PutManifest("a", "v1", manifest);
  EXPECT_EQ(refused.status, 404);
  EXPECT_EQ(CodeOf(refused), "MANIFEST_BLOB_UNKNOWN");
  EXPECT_THAT(refused.text, HasSubstr(oci::Digest::Of("layer").Render()));
  EXPECT_EQ(Call("GET", "/v2/a/manifests/v1").status, 404);
  // A blob of another repository is not one of this.
  PushBlob("b", "layer");
  EXPECT_EQ(PutManifest("a", "v1", manifest).status, 404);
  Reopen(/*accept_sparse=*/true);
  EXPECT_EQ(PutManifest("a", "v1", manifest).status, 201);
}

TEST_F(RegistryTest, AnIndexNeedsItsManifestsAndForeignLayersNobody) {
  PushBlob("a", "{}");
  const std::string child = ManifestOf("{}", {});
  const std::string index = R"({"schemaVersion":2,"mediaType":")" + std::string(oci::kIndexType) +
                            R"(","manifests":[{"mediaType":")" + kType + R"(","digest":")" +
                            oci::Digest::Of(child).Render() + R"(","size":)" + std::to_string(child.size()) +
                            "}]}";
  EXPECT_EQ(CodeOf(PutManifest("a", "i", index, std::string(oci::kIndexType))), "MANIFEST_BLOB_UNKNOWN");
  EXPECT_EQ(PutManifest("a", oci::Digest::Of(child).Render(), child).status, 201);
  EXPECT_EQ(PutManifest("a", "i", index, std::string(oci::kIndexType)).status, 201);
  const std::string foreign =
      R"({"schemaVersion":2,"config":{"mediaType":"a/b","digest":")" + oci::Digest::Of("{}").Render() +
      R"(","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":")" +
      oci::Digest::Of("x").Render() + R"(","size":1}]})";
  EXPECT_EQ(PutManifest("a", "f", foreign).status, 201);
}

TEST_F(RegistryTest, ManifestsThatAreNoneAreRefused) {
  PushBlob("a", "{}");
  const std::string good = ManifestOf("{}", {});
  EXPECT_EQ(CodeOf(PutManifest("a", "v1", "no JSON")), "MANIFEST_INVALID");
  EXPECT_EQ(CodeOf(PutManifest("a", "v1", "[]")), "MANIFEST_INVALID");
  EXPECT_EQ(CodeOf(PutManifest("a", "v1", R"({"schemaVersion":1})")), "MANIFEST_INVALID");
  EXPECT_EQ(CodeOf(PutManifest("a", "v1", R"({"schemaVersion":2})")), "MANIFEST_INVALID");
  EXPECT_EQ(CodeOf(PutManifest("a", "v1", good, "application/json")), "MANIFEST_INVALID");
  EXPECT_EQ(CodeOf(PutManifest("a", ".v1", good)), "MANIFEST_INVALID");
  EXPECT_EQ(CodeOf(PutManifest("a", oci::Digest::Of("x").Render(), good)), "DIGEST_INVALID");
  EXPECT_EQ(PutManifest("a", "v1", good, std::string(kType) + "; charset=utf-8").status, 201);
  const Response long_one = PutManifest("a", "v1", std::string((4 << 20) + 1, ' '));
  EXPECT_EQ(long_one.status, 413);
  EXPECT_EQ(CodeOf(long_one), "SIZE_INVALID");
  Request chunked = Parsed("PUT", "/v2/a/manifests/v1");
  EXPECT_EQ(Run(chunked, std::string(9 << 20, ' ')).status, 413);
}

TEST_F(RegistryTest, TheSecondAlgorithmWorksThroughout) {
  const std::string hex = Sha512Hex("{}");
  EXPECT_EQ(Call("POST", "/v2/a/blobs/uploads/?digest=sha512:" + hex, "{}").status, 201);
  EXPECT_EQ(BodyOf(Call("GET", "/v2/a/blobs/sha512:" + hex)), "{}");
  const std::string manifest = R"({"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha512:)" + hex +
                               R"(","size":2},"layers":[]})";
  const std::string digest = "sha512:" + Sha512Hex(manifest);
  const Response put = PutManifest("a", digest + "?tag=x&tag=y", manifest);
  EXPECT_EQ(put.status, 201) << put.text;
  EXPECT_EQ(put.Header("OCI-Tag"), "x");
  EXPECT_EQ(Call("GET", "/v2/a/manifests/y").Header("Docker-Content-Digest"), digest);
  EXPECT_EQ(Call("GET", "/v2/a/manifests/" + digest).text, manifest);
}

TEST_F(RegistryTest, MethodsAndPathsThatAreNone) {
  EXPECT_EQ(Call("GET", "/v2/").status, 200);
  EXPECT_EQ(CodeOf(Call("POST", "/v2/")), "UNSUPPORTED");
  EXPECT_EQ(Call("GET", "/v1/").status, 404);
  EXPECT_EQ(CodeOf(Call("POST", "/v2/a/manifests/x")), "UNSUPPORTED");
  EXPECT_EQ(CodeOf(Call("PUT", "/v2/a/blobs/" + oci::Digest::Of("x").Render())), "UNSUPPORTED");
  EXPECT_EQ(CodeOf(Call("GET", "/v2/../blobs/" + oci::Digest::Of("x").Render())), "NAME_INVALID");
}

// Collection

TEST_F(RegistryTest, CollectionKeepsAllThatWasPushedAndRemovesWhatWasDeleted) {
  PushBlob("a", "{}");
  PushBlob("a", "a blob that no manifest names");
  const std::string hex = Sha512Hex("long");
  Call("POST", "/v2/a/blobs/uploads/?digest=sha512:" + hex, "long");
  const std::string manifest = ManifestOf("{}", {});
  const auto digest = oci::Digest::Of(manifest).Render();
  ASSERT_EQ(PutManifest("a", digest, manifest).status, 201);  // without a tag
  Must(store::Collect(*store_, {}, clock_));
  EXPECT_EQ(BodyOf(Call("GET", "/v2/a/blobs/" + oci::Digest::Of("{}").Render())), "{}");
  EXPECT_EQ(Call("GET", "/v2/a/blobs/" + oci::Digest::Of("a blob that no manifest names").Render()).status,
            200);
  EXPECT_EQ(BodyOf(Call("GET", "/v2/a/blobs/sha512:" + hex)), "long");
  EXPECT_EQ(Call("GET", "/v2/a/manifests/" + digest).text, manifest);
  EXPECT_EQ(Call("POST", "/v2/b/blobs/uploads/?mount=" + oci::Digest::Of("{}").Render()).status, 201);

  Call("DELETE", "/v2/a/blobs/" + oci::Digest::Of("{}").Render());  // b still has it
  Call("DELETE", "/v2/a/blobs/sha512:" + hex);
  Call("DELETE", "/v2/a/manifests/" + digest);
  const store::Collected collected = Must(store::Collect(*store_, {}, clock_));
  EXPECT_EQ(collected.blobs.files, 2U);
  EXPECT_EQ(BodyOf(Call("GET", "/v2/b/blobs/" + oci::Digest::Of("{}").Render())), "{}");
  EXPECT_TRUE(Must(ListDirectory(root_ / "blobs" / "sha512")).empty());
}

TEST_F(RegistryTest, VerificationFindsWhatWasPushedAndDamaged) {
  PushBlob("a", "hello");
  const std::string hex = Sha512Hex("long");
  Call("POST", "/v2/a/blobs/uploads/?digest=sha512:" + hex, "long");
  EXPECT_TRUE(Must(store::Verify(*store_, {})).problems.empty());
  const fs::path path = root_ / "blobs" / "sha512" / hex;
  Must(WriteFileAtomic(path, "lonk"));
  fs::remove(store_->BlobPath(oci::Digest::Of("hello")));
  const store::VerifyReport report = Must(store::Verify(*store_, {}));
  ASSERT_EQ(report.problems.size(), 2U);
  EXPECT_EQ(report.problems[0].kind, store::ProblemKind::kMissing);
  EXPECT_EQ(report.problems[1].kind, store::ProblemKind::kDamaged);
  EXPECT_EQ(report.problems[1].name, "sha512:" + hex);
}

// Images that were built here

class LocalImagesTest : public RegistryTest {
 protected:
  void SetUp() override {
    RegistryTest::SetUp();
    store::Lease lease = Must(store_->TakeLease("test"));
    tree_ = store::TreeOf(store_->objects(), {{"etc/motd", "hello"}, {"big", std::string(3 << 20, 'x')}});
    layer_ = Must(store_->SealLayer(tree_, lease));
    image_ = store::PutImageOf(*store_, lease, {layer_});
    Must(store_->SetTag("shop/web", "latest", image_));
    Must(store::WriteTar(tree_, store_->objects(), [&](std::string_view piece) -> Result<void> {
      tar_ += piece;
      return {};
    }));
    manifest_ = Must(store_->GetBlob(image_));
  }
  store::Tree tree_;
  store::Layer layer_;
  oci::Digest image_;
  std::string tar_;
  std::string manifest_;
};

TEST_F(LocalImagesTest, AreServedUnderTheirTags) {
  const Response got = Call("GET", "/v2/shop/web/manifests/latest");
  EXPECT_EQ(got.text, manifest_);
  EXPECT_EQ(got.Header("Content-Type"), kType);
  EXPECT_EQ(Call("GET", "/v2/shop/web/manifests/" + image_.Render()).text, manifest_);
  EXPECT_EQ(Call("GET", "/v2/shop/api/manifests/" + image_.Render()).status, 404);
  EXPECT_EQ(Call("GET", "/v2/shop/web/tags/list").text, R"({"name":"shop/web","tags":["latest"]})");
  const auto manifest = Must(oci::Manifest::Parse(manifest_));
  EXPECT_EQ(oci::Digest::Of(BodyOf(Call("GET", "/v2/shop/web/blobs/" + manifest.config.digest.Render()))),
            manifest.config.digest);
}

TEST_F(LocalImagesTest, LayersAreMadeWhenTheyAreRead) {
  const std::string place = "/v2/shop/web/blobs/" + layer_.diff_id.Render();
  EXPECT_FALSE(Must(store_->HasBlob(layer_.diff_id)));
  EXPECT_EQ(Call("HEAD", place).head_bytes, tar_.size());
  EXPECT_EQ(BodyOf(Call("GET", place)), tar_);
  EXPECT_FALSE(Must(store_->HasBlob(layer_.diff_id)));
  Request request = Parsed("GET", place);
  for (const auto& [range, begin, size] :
       std::vector<std::tuple<std::string, size_t, size_t>>{{"bytes=0-0", 0, 1},
                                                            {"bytes=1000-2000000", 1000, 1'999'001},
                                                            {"bytes=-1024", tar_.size() - 1024, 1024},
                                                            {"bytes=511-", 511, tar_.size() - 511}}) {
    request.range = range;
    const Response part = Run(request);
    EXPECT_EQ(part.status, 206);
    EXPECT_EQ(BodyOf(part), tar_.substr(begin, size)) << range;
  }
  request.range = "bytes=" + std::to_string(tar_.size()) + "-";
  EXPECT_EQ(Run(request).status, 416);
}

TEST_F(LocalImagesTest, APushCannotMoveOrDeleteThem) {
  PushBlob("shop/web", "{}");
  EXPECT_EQ(CodeOf(PutManifest("shop/web", "latest", ManifestOf("{}", {}))), "DENIED");
  EXPECT_EQ(CodeOf(Call("DELETE", "/v2/shop/web/manifests/latest")), "DENIED");
  EXPECT_EQ(CodeOf(Call("DELETE", "/v2/shop/web/manifests/" + image_.Render())), "DENIED");
  EXPECT_EQ(CodeOf(Call("DELETE", "/v2/shop/web/blobs/" + layer_.diff_id.Render())), "DENIED");
  EXPECT_EQ(Call("GET", "/v2/shop/web/manifests/latest").text, manifest_);
  // Another tag beside it is anybody's.
  EXPECT_EQ(PutManifest("shop/web", "mine", ManifestOf("{}", {})).status, 201);
  EXPECT_EQ(Call("GET", "/v2/shop/web/tags/list").text, R"({"name":"shop/web","tags":["latest","mine"]})");
}

TEST_F(LocalImagesTest, WhatIsTaggedAnewOrMountedOutlivesThem) {
  EXPECT_EQ(PutManifest("shop/web", "v1", manifest_).status, 201);
  EXPECT_EQ(
      Call("POST", "/v2/copy/blobs/uploads/?mount=" + layer_.diff_id.Render() + "&from=shop/web").status,
      201);
  ASSERT_TRUE(Must(store_->RemoveTag("shop/web", "latest")));
  Must(store::Collect(*store_, {.keep_cache = Milliseconds(0)}, clock_));
  EXPECT_EQ(store_->GetImage(image_).error().code(), Code::kNotFound);
  EXPECT_EQ(Call("GET", "/v2/shop/web/manifests/v1").text, manifest_);
  EXPECT_EQ(BodyOf(Call("GET", "/v2/shop/web/blobs/" + layer_.diff_id.Render())), tar_);
  EXPECT_EQ(BodyOf(Call("GET", "/v2/copy/blobs/" + layer_.diff_id.Render())), tar_);
}

}  // namespace
}  // namespace ingot::registry
