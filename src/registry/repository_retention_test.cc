#include "registry/repository_retention.h"

#include "oci/manifest.h"
#include "registry/why_held.h"
#include "store/collector.h"
#include "store/store_fixture.h"

namespace ingot::registry {
namespace {

using std::chrono::hours;
using store::Must;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr const char* kImageType = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";

class RepositoryRetentionTest : public store::StoreTest {
 protected:
  static std::string Descriptor(const oci::Digest& digest, size_t bytes, const char* type = "a/b") {
    return R"({"mediaType":")" + std::string(type) + R"(","digest":")" + digest.Render() + R"(","size":)" +
           std::to_string(bytes) + "}";
  }
  oci::Digest Blob(const std::string& bytes) {
    auto lease = Must(store_->TakeLease("test"));
    const oci::Digest digest = Must(store_->PutBlob(bytes, lease));
    Must(catalog_.Write([&](store::CatalogRows& rows) {
      return rows.PutRepositoryBlob({"team/web", digest, bytes.size(), clock_.now});
    }));
    return digest;
  }
  oci::Digest Put(const std::string& bytes, const char* type, const std::string& tag,
                  std::optional<oci::Digest> subject = {}) {
    auto lease = Must(store_->TakeLease("test"));
    const oci::Digest digest = Must(store_->PutBlob(bytes, lease));
    Must(catalog_.Write([&](store::CatalogRows& rows) -> Result<void> {
      TRY(rows.PutRepositoryManifest({"team/web", digest, type, bytes.size(), subject, "", "", clock_.now}));
      if (!tag.empty()) TRY(rows.PutRepositoryTag({"team/web", tag, digest, clock_.now}));
      return {};
    }));
    return digest;
  }
  // A manifest of one configuration and one layer of its own, an hour after the one before.
  oci::Digest Image(const std::string& name, const std::string& tag,
                    std::optional<oci::Digest> subject = {}) {
    clock_.now += hours(1);
    const oci::Digest config = Blob("config of " + name);
    const oci::Digest layer = Blob("layer of " + name);
    std::string bytes = R"({"schemaVersion":2,"mediaType":")" + std::string(kImageType) + R"(","config":)" +
                        Descriptor(config, 10 + name.size()) + R"(,"layers":[)" +
                        Descriptor(layer, 9 + name.size()) + "]";
    if (subject) bytes += R"(,"subject":)" + Descriptor(*subject, 1, kImageType);
    return Put(bytes + "}", kImageType, tag, subject);
  }
  oci::Digest Index(const std::vector<oci::Digest>& children, const std::string& tag) {
    std::string list;
    for (const oci::Digest& child : children)
      list += (list.empty() ? "" : ",") + Descriptor(child, 1, kImageType);
    return Put(
        R"({"schemaVersion":2,"mediaType":")" + std::string(kIndexType) + R"(","manifests":[)" + list + "]}",
        kIndexType, tag);
  }
  RetentionOutcome Apply(std::optional<uint64_t> keep, bool dry_run = false, size_t batch = 2) {
    RepositoryRetention retention;
    retention.rules.resize(1);
    retention.rules[0].repositories = "team/*";
    retention.rules[0].origin = "host.yaml: team/*";
    retention.rules[0].keep = keep;
    retention.dry_run = dry_run;
    retention.batch = batch;
    return Must(ApplyRetention(*store_, retention, clock_));
  }
  std::vector<oci::Digest> Left() {
    std::vector<oci::Digest> left;
    Must(catalog_.Read([&](const store::CatalogRows& rows) -> Result<void> {
      for (const auto& row : TRY(rows.ListRepositoryManifests("team/web"))) left.push_back(row.digest);
      return {};
    }));
    return left;
  }
  size_t BlobsLeft() {
    size_t count = 0;
    Must(catalog_.Read([&](const store::CatalogRows& rows) -> Result<void> {
      count = TRY(rows.ListRepositoryBlobs("team/web")).size();
      return {};
    }));
    return count;
  }
};

TEST_F(RepositoryRetentionTest, WhatNoRuleKeepsGoesWithItsBlobs) {
  std::vector<oci::Digest> images;
  for (int i = 0; i < 7; ++i) images.push_back(Image(std::to_string(i), "t" + std::to_string(i)));
  const RetentionOutcome dry = Apply(2, true);
  EXPECT_EQ(dry.removed.size(), 5U);
  EXPECT_EQ(dry.gone.size(), 15U);
  EXPECT_EQ(Left().size(), 7U);
  store::CollectOptions files;
  files.rests = 0;
  files.dry_run = true;
  files.without = dry.gone;
  const uint64_t freed = Must(store::Collect(*store_, files, clock_)).freed_bytes();
  EXPECT_EQ(freed, 15 * 4096U);

  const RetentionOutcome done = Apply(2);
  ASSERT_EQ(done.removed.size(), 5U);
  EXPECT_EQ(done.blobs, 10U);
  EXPECT_EQ(done.removed[0].reason, "host.yaml: team/*: not among the 2 newest");
  EXPECT_EQ(done.removed[0].tags.size(), 1U);
  EXPECT_THAT(Left(), UnorderedElementsAre(images[5], images[6]));
  EXPECT_EQ(BlobsLeft(), 4U);
  EXPECT_EQ(Must(store::Collect(*store_, {}, clock_)).freed_bytes(), freed);
  EXPECT_TRUE(Must(store_->HasBlob(images[6])));
  EXPECT_THAT(Apply(2).removed, IsEmpty());
}

TEST_F(RepositoryRetentionTest, PartsAndDescriptionsOfWhatIsKeptAreKept) {
  const auto part = Image("part", "");
  const auto signature_of_part = Image("signature of part", "", part);
  const auto old = Image("old", "old");
  const auto signature_of_old = Image("signature of old", "", old);
  clock_.now += hours(1);
  const auto index = Index({part}, "latest");
  const auto signature = Image("signature of index", "", index);
  Apply(1);
  EXPECT_THAT(Left(), UnorderedElementsAre(part, signature_of_part, index, signature));
  EXPECT_EQ(BlobsLeft(), 6U);
  Apply(0);
  EXPECT_THAT(Left(), IsEmpty());
  EXPECT_EQ(BlobsLeft(), 0U);
}

TEST_F(RepositoryRetentionTest, BlobsThatAnotherManifestNamesStay) {
  const oci::Digest config = Blob("{}");
  const auto manifest = [&](const char* name) {
    clock_.now += hours(1);
    return Put(R"({"schemaVersion":2,"config":)" + Descriptor(config, 2) +
                   R"(,"layers":[],"annotations":{"n":")" + name + R"("}})",
               kImageType, name);
  };
  manifest("a");
  const auto b = manifest("b");
  const RetentionOutcome outcome = Apply(1);
  EXPECT_EQ(outcome.removed.size(), 1U);
  EXPECT_EQ(outcome.blobs, 0U);
  EXPECT_THAT(Left(), ElementsAre(b));
  EXPECT_EQ(BlobsLeft(), 1U);
}

TEST_F(RepositoryRetentionTest, APushInWorkIsLeftAloneForADay) {
  Blob("pushed, and not named yet");
  Apply(1);
  EXPECT_EQ(BlobsLeft(), 1U);
  clock_.now += hours(25);
  EXPECT_EQ(Apply(1).blobs, 1U);
  EXPECT_EQ(BlobsLeft(), 0U);
}

TEST_F(RepositoryRetentionTest, WhatIsLeasedOrSomebodysRuleDoesNotSayStays) {
  const auto leased = Image("leased", "a");
  Image("b", "b");
  {
    auto lease = Must(store_->TakeLease("pull"));
    ASSERT_TRUE(Must(store_->KeepBlob(leased, lease)));
    Apply(0);
    EXPECT_THAT(Left(), ElementsAre(leased));
  }
  Apply(std::nullopt);
  EXPECT_THAT(Left(), ElementsAre(leased));
  Apply(0);
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(RepositoryRetentionTest, AnImageThatMayRunIsHeldInItsRepositoryToo) {
  oci::Digest image;
  {
    auto lease = Must(store_->TakeLease("test"));
    image = store::PutImageOf(*store_, lease, {{"a", "1"}});
    Must(store_->Pin("shop/local", {image}));
  }
  const std::string bytes = Must(store_->GetBlob(image));
  Put(bytes, kImageType, "1");
  clock_.now += hours(1);
  const auto signature = Image("signature", "", image);
  Apply(0);
  EXPECT_THAT(Left(), UnorderedElementsAre(image, signature));
  Must(store_->Pin("shop/local", {}));
}

class WhyHeldTest : public RepositoryRetentionTest {
 protected:
  std::vector<std::string> Roots(const std::string& name) {
    std::vector<std::string> kinds;
    const Held held = Must(WhyHeld(*store_, name, {}, clock_));
    const std::function<void(const std::vector<Holder>&)> add = [&](const std::vector<Holder>& holders) {
      for (const Holder& holder : holders) {
        kinds.push_back(holder.kind);
        add(holder.by);
      }
    };
    add(held.by);
    return kinds;
  }
};

TEST_F(WhyHeldTest, EveryRootOfAnImageItsLayersAndItsFiles) {
  oci::Digest image;
  {
    auto lease = Must(store_->TakeLease("test"));
    image = store::PutImageOf(*store_, lease, {{"etc/motd", "hello"}});
    EXPECT_THAT(Roots(image.Render()), ElementsAre("lease"));
    Must(store_->SetTag("shop/web", "latest", image));
  }
  Must(store_->Pin("shop/local", {image}));
  Must(store_->MoveChannel({0, "shop/web", "production", image, {}, "", "", "", {}}, {}));
  Must(store_->CachePut("image:web", "{}", {{}, {image}}));
  Must(catalog_.Write([&](store::CatalogRows& rows) { return rows.SetProjectRetention({"shop", 3, {}}); }));
  const std::vector<std::string> roots{"tag", "channel", "revision", "build cache", "retention"};
  EXPECT_THAT(Roots(image.Render()), testing::UnorderedElementsAreArray(roots));
  std::vector<std::string> through{"image"};
  through.insert(through.end(), roots.begin(), roots.end());
  const store::Image parsed = Must(store_->GetImage(image));
  EXPECT_THAT(Roots(parsed.manifest.config.digest.Render()), testing::UnorderedElementsAreArray(through));
  EXPECT_THAT(Roots(parsed.layers[0].id.Render()), testing::UnorderedElementsAreArray(through));
  through.emplace_back("layer");
  EXPECT_THAT(Roots(store::ObjectId::Of("hello").Render()), testing::UnorderedElementsAreArray(through));
  const Held file = Must(WhyHeld(*store_, store::ObjectId::Of("hello").Render(), {}, clock_));
  EXPECT_THAT(file.what, ElementsAre("object"));
  EXPECT_EQ(file.by[0].detail, "as /etc/motd");
  EXPECT_EQ(WhyHeld(*store_, oci::Digest::Of("none").Render(), {}, clock_).error().code(), Code::kNotFound);
}

TEST_F(WhyHeldTest, IndexSubjectAndRepositoryHoldWhatWasPushed) {
  const auto part = Image("part", "");
  const auto index = Index({part}, "latest");
  const auto signature = Image("signature", "", index);
  EXPECT_THAT(Roots(part.Render()), ElementsAre("index", "registry tag", "registry", "registry"));
  EXPECT_THAT(Roots(signature.Render()), ElementsAre("subject", "registry tag", "registry", "registry"));
  EXPECT_THAT(Roots(oci::Digest::Of("layer of part").Render()),
              ElementsAre("manifest", "index", "registry tag", "registry", "registry"));
}

}  // namespace
}  // namespace ingot::registry
