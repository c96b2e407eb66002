#include "registry/registry.h"

#include <sys/stat.h>

#include "base/json.h"
#include "base/sha512.h"
#include "oci/manifest.h"
#include "store/collector.h"
#include "store/store_fixture.h"
#include "store/tar_writer.h"
#include "store/verify.h"

namespace ingot::registry {
namespace {

using store::Must;
using testing::HasSubstr;

constexpr const char* kType = "application/vnd.oci.image.manifest.v1+json";

class RegistryTest : public store::StoreTest {
 protected:
  void Reopen(bool accept_sparse = false) {
    registry_.reset();
    registry_ = Must(Registry::Open(*store_, clock_, {root_ / "tmp" / "uploads", {}, accept_sparse}));
  }
  void SetUp() override { Reopen(); }

  static Request Parsed(const std::string& method, const std::string& target) {
    Request request;
    request.method = method;
    const size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    std::string rest = mark == std::string::npos ? "" : target.substr(mark + 1);
    while (!rest.empty()) {
      const std::string pair = rest.substr(0, rest.find('&'));
      request.query.emplace_back(pair.substr(0, pair.find('=')), pair.substr(pair.find('=') + 1));
      rest.erase(0, pair.size() + 1);
    }
    return request;
  }
  Response Run(const Request& request, const std::string& body = "") {
    auto exchange = registry_->Begin(request);
    // In two pieces.
    bool goes_on = true;
    if (exchange->WantsBody() && !body.empty()) goes_on = exchange->Write(body.substr(0, body.size() / 2));
    if (exchange->WantsBody() && !body.empty() && goes_on) exchange->Write(body.substr(body.size() / 2));
    return exchange->Finish();
  }
  Response Call(const std::string& method, const std::string& target, const std::string& body = "") {
    Request request = Parsed(method, target);
    if (method != "GET" && method != "HEAD") request.content_length = body.size();
    return Run(request, body);
  }
  static std::string BodyOf(const Response& response) {
    if (response.file) {
      std::string bytes(response.file->size_bytes, '\0');
      EXPECT_EQ(::pread(response.file->fd.get(), bytes.data(), bytes.size(),
                        static_cast<off_t>(response.file->offset)),
                static_cast<ssize_t>(bytes.size()));
      return bytes;
    }
    if (!response.made) return response.text;
    std::string bytes;
    Must(response.made->write([&](std::string_view piece) -> Result<void> {
      bytes += piece;
      return {};
    }));
    EXPECT_EQ(bytes.size(), response.made->size_bytes);
    return bytes;
  }
  static std::string CodeOf(const Response& response) {
    const Json json = Must(ParseJson(response.text));
    return std::string(json.at("errors").at(0).at("code").as_string());
  }
  void PushBlob(const std::string& repository, const std::string& bytes) {
    const auto digest = oci::Digest::Of(bytes);
    const Response response =
        Call("POST", "/v2/" + repository + "/blobs/uploads/?digest=" + digest.Render(), bytes);
    ASSERT_EQ(response.status, 201) << response.text;
  }
  Response PutManifest(const std::string& repository, const std::string& reference, const std::string& bytes,
                       const std::string& type = kType) {
    Request request = Parsed("PUT", "/v2/" + repository + "/manifests/" + reference);
    request.content_type = type;
    request.content_length = bytes.size();
    return Run(request, bytes);
  }
  static std::string ManifestOf(const std::string& config, const std::vector<std::string>& layers,
                                const std::string& more = "") {
    const auto descriptor = [](const std::string& bytes) {
      return R"({"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
             oci::Digest::Of(bytes).Render() + R"(","size":)" + std::to_string(bytes.size()) + "}";
    };
    std::string list;
    for (const std::string& layer : layers) list += (list.empty() ? "" : ",") + descriptor(layer);
    return R"({"schemaVersion":2,"mediaType":")" + std::string(kType) + R"(","config":)" +
           descriptor(config) + R"(,"layers":[)" + list + "]" + more + "}";
  }

  std::unique_ptr<Registry> registry_;
};

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

TEST_F(RegistryTest, AnImmutableTagIsMovedByNoPush) {
  PushBlob("a", "{}");
  const std::string one = ManifestOf("{}", {});
  const std::string two = ManifestOf("{}", {}, R"(,"annotations":{"two":"2"})");
  EXPECT_EQ(PutManifest("a", "1.0", one).status, 201);
  EXPECT_EQ(PutManifest("a", "1.0", one).status, 201);
  const Response moved = PutManifest("a", "1.0", two);
  EXPECT_EQ(moved.status, 403);
  EXPECT_EQ(CodeOf(moved), "DENIED");
  EXPECT_THAT(moved.text, HasSubstr("a:1.0 is immutable"));
  const std::string first = oci::Digest::Of(one).Render();
  EXPECT_EQ(Call("HEAD", "/v2/a/manifests/1.0").Header("Docker-Content-Digest"), first);
  // Nothing of a push of several tags stays when one is refused.
  Request several = Parsed("PUT", "/v2/a/manifests/" + oci::Digest::Of(two).Render() + "?tag=2.0&tag=1.0");
  several.content_type = kType;
  several.content_length = two.size();
  EXPECT_EQ(CodeOf(Run(several, two)), "DENIED");
  EXPECT_EQ(Call("HEAD", "/v2/a/manifests/2.0").status, 404);
  // Deleted, with its manifest too, it stays taken.
  EXPECT_EQ(Call("DELETE", "/v2/a/manifests/1.0").status, 202);
  EXPECT_EQ(CodeOf(PutManifest("a", "1.0", two)), "DENIED");
  EXPECT_EQ(Call("DELETE", "/v2/a/manifests/" + first).status, 202);
  EXPECT_EQ(CodeOf(PutManifest("a", "1.0", two)), "DENIED");
  EXPECT_EQ(PutManifest("a", "1.0", one).status, 201);
  // What is no version moves; so does what a rule of the host frees.
  EXPECT_EQ(PutManifest("a", "latest", one).status, 201);
  EXPECT_EQ(PutManifest("a", "latest", two).status, 201);
  store_->SetTagRules(store::TagRules({{"a", false, {}}}));
  EXPECT_EQ(PutManifest("a", "1.0", two).status, 201);
}

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

TEST_F(RegistryTest, TagsAreListedInPages) {
  PushBlob("a", "{}");
  EXPECT_EQ(CodeOf(Call("GET", "/v2/b/tags/list")), "NAME_UNKNOWN");
  EXPECT_EQ(Call("GET", "/v2/a/tags/list").text, R"({"name":"a","tags":[]})");
  for (const char* tag : {"b", "B", "a", "c"})
    ASSERT_EQ(PutManifest("a", tag, ManifestOf("{}", {})).status, 201);
  const Response all = Call("GET", "/v2/a/tags/list");
  EXPECT_EQ(all.text, R"({"name":"a","tags":["B","a","b","c"]})");
  EXPECT_EQ(all.Header("Link"), "");
  const Response page = Call("GET", "/v2/a/tags/list?n=2");
  EXPECT_EQ(page.text, R"({"name":"a","tags":["B","a"]})");
  EXPECT_EQ(page.Header("Link"), "</v2/a/tags/list?n=2&last=a>; rel=\"next\"");
  const Response last = Call("GET", "/v2/a/tags/list?n=2&last=a");
  EXPECT_EQ(last.text, R"({"name":"a","tags":["b","c"]})");
  EXPECT_EQ(last.Header("Link"), "");
  const Response none = Call("GET", "/v2/a/tags/list?n=0");
  EXPECT_EQ(none.text, R"({"name":"a","tags":[]})");
  EXPECT_EQ(none.Header("Link"), "");
  EXPECT_EQ(Call("GET", "/v2/a/tags/list?n=-1").status, 400);
}

TEST_F(RegistryTest, ReferrersAreFoundByTheirSubject) {
  PushBlob("a", "{}");
  const std::string subject = ManifestOf("{}", {});
  const auto subject_digest = oci::Digest::Of(subject);
  const std::string pointer = R"(,"subject":{"mediaType":")" + std::string(kType) + R"(","digest":")" +
                              subject_digest.Render() + R"(","size":)" + std::to_string(subject.size()) + "}";
  const std::string signature =
      ManifestOf("{}", {}, pointer + R"(,"artifactType":"x/sig","annotations":{"k":"v"})");
  const std::string bom = ManifestOf("{}", {}, pointer);
  // The subject may come later.
  const Response put = PutManifest("a", oci::Digest::Of(signature).Render(), signature);
  EXPECT_EQ(put.Header("OCI-Subject"), subject_digest.Render());
  EXPECT_EQ(PutManifest("a", "bom", bom).status, 201);
  const std::string place = "/v2/a/referrers/" + subject_digest.Render();
  const Response all = Call("GET", place);
  EXPECT_EQ(all.Header("Content-Type"), oci::kIndexType);
  EXPECT_EQ(Must(ParseJson(all.text)).at("manifests").as_array().size(), 2U);
  const Response filtered = Call("GET", place + "?artifactType=x/sig");
  EXPECT_EQ(filtered.Header("OCI-Filters-Applied"), "artifactType");
  EXPECT_EQ(filtered.text, R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",)"
                           R"("manifests":[{"mediaType":")" +
                               std::string(kType) + R"(","digest":")" + oci::Digest::Of(signature).Render() +
                               R"(","size":)" + std::to_string(signature.size()) +
                               R"(,"artifactType":"x/sig","annotations":{"k":"v"}}]})");
  // Of the configuration where the manifest has none.
  EXPECT_EQ(
      Must(ParseJson(Call("GET", place + "?artifactType=application/vnd.oci.image.config.v1+json").text))
          .at("manifests")
          .as_array()
          .size(),
      1U);
  EXPECT_EQ(Must(ParseJson(Call("GET", "/v2/b/referrers/" + subject_digest.Render()).text))
                .at("manifests")
                .as_array()
                .size(),
            0U);
  EXPECT_EQ(CodeOf(Call("GET", "/v2/a/referrers/v1")), "DIGEST_INVALID");
}

TEST_F(RegistryTest, ManifestsTagsAndBlobsAreDeleted) {
  PushBlob("a", "{}");
  const std::string manifest = ManifestOf("{}", {});
  const auto digest = oci::Digest::Of(manifest).Render();
  PutManifest("a", "v1", manifest);
  PutManifest("a", "v2", manifest);
  EXPECT_EQ(Call("DELETE", "/v2/a/manifests/v1").status, 202);
  EXPECT_EQ(CodeOf(Call("DELETE", "/v2/a/manifests/v1")), "MANIFEST_UNKNOWN");
  EXPECT_EQ(Call("GET", "/v2/a/manifests/v2").status, 200);
  EXPECT_EQ(Call("DELETE", "/v2/a/manifests/" + digest).status, 202);
  EXPECT_EQ(Call("GET", "/v2/a/manifests/v2").status, 404);
  EXPECT_EQ(Call("GET", "/v2/a/manifests/" + digest).status, 404);
  const auto blob = oci::Digest::Of("{}").Render();
  EXPECT_EQ(Call("DELETE", "/v2/a/blobs/" + blob).status, 202);
  EXPECT_EQ(CodeOf(Call("DELETE", "/v2/a/blobs/" + blob)), "BLOB_UNKNOWN");
  EXPECT_EQ(Call("GET", "/v2/a/blobs/" + blob).status, 404);
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
