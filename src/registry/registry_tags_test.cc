#include "base/json.h"
#include "registry/registry_fixture.h"

namespace ingot::registry {
namespace {

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

}  // namespace
}  // namespace ingot::registry
