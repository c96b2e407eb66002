#include "store/store.h"

#include <fstream>

#include "store/store_fixture.h"

namespace ingot::store {
namespace {

TEST_F(StoreTest, NothingIsPutWithoutALease) {
  EXPECT_EQ(store_->objects().Put("x").error().code(), Code::kInternal);
  auto lease = Must(store_->TakeLease("test"));
  EXPECT_TRUE(store_->objects().Put("x"));
  ASSERT_TRUE(lease.Release());
  EXPECT_EQ(store_->PutBlob("x", lease).error().code(), Code::kInternal);
  EXPECT_EQ(store_->objects().Put("y").error().code(), Code::kInternal);
}

TEST_F(StoreTest, ALeaseIsARowWhileItLives) {
  const auto leases = [&] {
    std::vector<LeaseRow> rows;
    Must(catalog_.Read([&](const CatalogRows& r) -> Result<void> {
      rows = TRY(r.ListLeases());
      return {};
    }));
    return rows;
  };
  {
    auto first = Must(store_->TakeLease("build web"));
    auto second = Must(store_->TakeLease("build api"));
    ASSERT_EQ(leases().size(), 2U);
    EXPECT_EQ(leases()[0].claims, leases()[1].claims);
    EXPECT_EQ(LivenessOf(leases()[0]), Liveness::kAlive);
    EXPECT_TRUE(fs::exists(root_ / "claims" / leases()[0].claims));
    Lease moved = std::move(first);
    EXPECT_EQ(leases().size(), 2U);
  }
  EXPECT_TRUE(leases().empty());
  EXPECT_TRUE(FilesBelow(root_).empty());
}

TEST_F(StoreTest, LivenessTellsDeadFromUnknown) {
  LeaseRow lease = Must(LeaseOfThisProcess());
  EXPECT_EQ(LivenessOf(lease), Liveness::kAlive);
  LeaseRow other = lease;
  other.pid_start += 1;  // the pid was used again
  EXPECT_EQ(LivenessOf(other), Liveness::kDead);
  other = lease;
  other.pid = 4'194'304;  // above any pid
  EXPECT_EQ(LivenessOf(other), Liveness::kDead);
  other = lease;
  other.boot_id = "another boot";
  EXPECT_EQ(LivenessOf(other), Liveness::kDead);
  other = lease;
  other.pid_namespace += 1;
  EXPECT_EQ(LivenessOf(other), Liveness::kUnknown);
}

TEST_F(StoreTest, SealingIsIdempotentAndReadsBack) {
  auto lease = Must(store_->TakeLease("test"));
  const std::string large(300'000, 'x');
  const Tree tree = TreeOf(store_->objects(), {{"bin/app", large}, {"etc/conf", "a=1\n"}, {"empty", ""}});
  const Layer layer = Must(store_->SealLayer(tree, lease));
  EXPECT_EQ(layer.object_bytes, 300'004U);
  EXPECT_GT(layer.tar_bytes, layer.object_bytes);
  EXPECT_EQ(Must(store_->SealLayer(tree, lease)), layer);
  EXPECT_EQ(Must(store_->FindLayer(layer.diff_id)), layer);
  EXPECT_EQ(Must(store_->FindLayer(layer.id)), layer);
  EXPECT_EQ(Must(store_->ReadLayer(layer.id)), tree);
  EXPECT_EQ(store_->FindLayer(oci::Digest::Of("none")).error().code(), Code::kNotFound);
  EXPECT_EQ(store_->ReadLayer(ObjectId::Of("none")).error().code(), Code::kNotFound);
}

TEST_F(StoreTest, SealingATreeOfUnknownObjectsIsRefused) {
  auto lease = Must(store_->TakeLease("test"));
  Tree tree;
  Must(tree.Put("file", Node::Regular(ObjectId::Of("never put"), 9)));
  EXPECT_EQ(store_->SealLayer(tree, lease).error().code(), Code::kNotFound);
  EXPECT_EQ(FilesBelow(root_).size(), 1U);  // the claims
}

TEST_F(StoreTest, ALostOrDamagedFileIsMadeAgain) {
  auto lease = Must(store_->TakeLease("test"));
  const Tree tree = TreeOf(store_->objects(), {{"a", "contents of a"}});
  const Layer layer = Must(store_->SealLayer(tree, lease));
  fs::remove(store_->LayerPath(layer.id));
  fs::remove(store_->objects().PathOf(ObjectId::Of("contents of a")));
  EXPECT_EQ(store_->SealLayer(tree, lease).error().code(), Code::kNotFound);  // the object is gone
  Must(store_->objects().Put("contents of a"));
  EXPECT_EQ(Must(store_->SealLayer(tree, lease)), layer);
  EXPECT_EQ(Must(store_->ReadLayer(layer.id)), tree);
  std::ofstream(store_->LayerPath(layer.id), std::ios::trunc) << "torn";
  EXPECT_EQ(store_->ReadLayer(layer.id).error().code(), Code::kCorrupt);
  EXPECT_EQ(Must(store_->SealLayer(tree, lease)), layer);
  EXPECT_EQ(Must(store_->ReadLayer(layer.id)), tree);
}

TEST_F(StoreTest, BlobsAreChecked) {
  auto lease = Must(store_->TakeLease("test"));
  const auto digest = Must(store_->PutBlob("hello", lease));
  EXPECT_EQ(digest.Render(), "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  EXPECT_EQ(Must(store_->PutBlob("hello", lease)), digest);
  EXPECT_EQ(Must(store_->GetBlob(digest)), "hello");
  EXPECT_EQ(store_->GetBlob(digest, 4).error().code(), Code::kInvalid);
  EXPECT_TRUE(Must(store_->HasBlob(digest)));
  EXPECT_EQ(store_->GetBlob(oci::Digest::Of("none")).error().code(), Code::kNotFound);
  fs::permissions(store_->BlobPath(digest), fs::perms::owner_all);
  std::ofstream(store_->BlobPath(digest), std::ios::trunc) << "hellO";
  EXPECT_EQ(store_->GetBlob(digest).error().code(), Code::kCorrupt);
}

TEST_F(StoreTest, StreamedBlobsMustBeWhatTheyClaim) {
  auto lease = Must(store_->TakeLease("test"));
  const auto digest = oci::Digest::Of("hello");
  EXPECT_EQ(store_->PutBlobStream(digest, SourceOf("hellO"), 5, lease).error().code(), Code::kInvalid);
  EXPECT_EQ(store_->PutBlobStream(digest, SourceOf("hello"), 4, lease).error().code(), Code::kInvalid);
  EXPECT_FALSE(Must(store_->HasBlob(digest)));
  EXPECT_TRUE(fs::is_empty(root_ / "blobs/sha256"));
  ASSERT_TRUE(store_->PutBlobStream(digest, SourceOf("hello"), 5, lease));
  EXPECT_EQ(Must(store_->GetBlob(digest)), "hello");
}

TEST_F(StoreTest, AnImageReadsBackAndHasOneDigestAnywhere) {
  auto lease = Must(store_->TakeLease("test"));
  const Layer base = Must(store_->SealLayer(TreeOf(store_->objects(), {{"bin/sh", "#!"}}), lease));
  const Layer top = Must(store_->SealLayer(TreeOf(store_->objects(), {{"app", "v1"}}), lease));
  NewImage image;
  image.config.architecture = "amd64";
  image.config.os = "linux";
  image.config.config.cmd = {{"/app"}};
  image.layers = {base, top};
  image.annotations = {{"org.opencontainers.image.title", "web"}};
  image.provenance = R"({"commit":"abc"})";
  const oci::Digest digest = Must(store_->PutImage(image, lease));
  EXPECT_EQ(Must(store_->PutImage(image, lease)), digest);

  const Image read = Must(store_->GetImage(digest));
  EXPECT_THAT(read.layers, testing::ElementsAre(base, top));
  EXPECT_EQ(read.config.diff_ids, (std::vector{base.diff_id, top.diff_id}));
  EXPECT_EQ(read.config.config.cmd, std::vector<std::string>{"/app"});
  EXPECT_EQ(read.manifest.annotations, image.annotations);
  EXPECT_EQ(read.manifest.layers[1].media_type, "application/vnd.oci.image.layer.v1.tar");
  EXPECT_EQ(read.manifest.layers[1].digest, top.diff_id);
  EXPECT_EQ(read.manifest.layers[1].size_bytes, top.tar_bytes);
  EXPECT_EQ(read.provenance, image.provenance);
  EXPECT_FALSE(read.golden);

  // Another store, another time, another order of work: the same digest.
  MemoryCatalog catalog;
  StillClock clock;
  clock.now += std::chrono::hours(1000);
  auto other = Must(Store::Open(StorePaths::Below(root_ / "other"), catalog, clock));
  auto other_lease = Must(other->TakeLease("test"));
  const Layer other_top = Must(other->SealLayer(TreeOf(other->objects(), {{"app", "v1"}}), other_lease));
  const Layer other_base = Must(other->SealLayer(TreeOf(other->objects(), {{"bin/sh", "#!"}}), other_lease));
  image.layers = {other_base, other_top};
  EXPECT_EQ(Must(other->PutImage(image, other_lease)), digest);
}

TEST_F(StoreTest, AnImageOfNoOrUnknownLayersIsRefused) {
  auto lease = Must(store_->TakeLease("test"));
  NewImage image;
  image.config.architecture = "amd64";
  image.config.os = "linux";
  EXPECT_EQ(store_->PutImage(image, lease).error().code(), Code::kInvalid);
  image.layers = {{ObjectId::Of("x"), oci::Digest::Of("x"), 1024, 0, std::nullopt, {}}};
  EXPECT_EQ(store_->PutImage(image, lease).error().code(), Code::kNotFound);
  EXPECT_TRUE(Must(store_->ListImages()).empty());
}

TEST_F(StoreTest, AForeignImageMustFitTogether) {
  auto lease = Must(store_->TakeLease("test"));
  const oci::Digest digest = PutImageOf(*store_, lease, {{"a", "1"}});
  const Image image = Must(store_->GetImage(digest));
  const Layer other = Must(store_->SealLayer(TreeOf(store_->objects(), {{"b", "2"}}), lease));
  const std::string manifest = image.manifest.Render();
  const std::string config = image.config.Render();
  EXPECT_EQ(Must(store_->PutForeignImage(manifest, config, image.layers, "", lease)), digest);
  const auto code = [&](std::string_view m, std::string_view c, const std::vector<Layer>& layers) {
    return store_->PutForeignImage(m, c, layers, "", lease).error().code();
  };
  EXPECT_EQ(code(manifest, config + " ", image.layers), Code::kInvalid);
  EXPECT_EQ(code(manifest, config, {other}), Code::kInvalid);
  EXPECT_EQ(code(manifest, config, {}), Code::kInvalid);
  EXPECT_EQ(code("{}", config, image.layers), Code::kInvalid);
}

TEST_F(StoreTest, OnlyAnExistingImageBecomesGoldenTaggedOrPinned) {
  const auto none = oci::Digest::Of("none");
  EXPECT_EQ(store_->MarkGolden(none, "{}").error().code(), Code::kNotFound);
  EXPECT_EQ(store_->SetTag("shop/web", "v1", none).error().code(), Code::kNotFound);
  EXPECT_EQ(store_->GetTag("shop/web", "v1").error().code(), Code::kNotFound);
  auto lease = Must(store_->TakeLease("test"));
  EXPECT_EQ(lease.KeepImage(none).error().code(), Code::kNotFound);
  const oci::Digest digest = PutImageOf(*store_, lease, {{"a", "1"}});
  EXPECT_EQ(store_->Pin("shop/local", {digest, none}).error().code(), Code::kNotFound);
  ASSERT_TRUE(store_->MarkGolden(digest, R"({"tests":2})"));
  EXPECT_TRUE(Must(store_->GetImage(digest)).golden);
  EXPECT_EQ(Must(store_->GetImage(digest)).test_record, R"({"tests":2})");
  ASSERT_TRUE(store_->SetTag("shop/web", "v1", digest));
  EXPECT_EQ(Must(store_->GetTag("shop/web", "v1")), digest);
  EXPECT_EQ(Must(store_->ListTags()).size(), 1U);
  EXPECT_TRUE(Must(store_->RemoveTag("shop/web", "v1")));
  EXPECT_FALSE(Must(store_->RemoveTag("shop/web", "v1")));
  EXPECT_TRUE(store_->Pin("shop/local", {digest}));
}

TEST_F(StoreTest, TheCacheAnswersOnlyWhatIsThere) {
  EXPECT_EQ(Must(store_->CacheGet("step")), std::nullopt);
  auto lease = Must(store_->TakeLease("test"));
  const Layer layer = Must(store_->SealLayer(TreeOf(store_->objects(), {{"a", "1"}}), lease));
  EXPECT_EQ(store_->CachePut("step", "1", {{ObjectId::Of("none")}, {}}).error().code(), Code::kNotFound);
  EXPECT_EQ(store_->CachePut("step", "1", {{}, {oci::Digest::Of("none")}}).error().code(), Code::kNotFound);
  ASSERT_TRUE(store_->CachePut("step", R"({"v":1})", {{layer.id}, {}}));
  EXPECT_EQ(Must(store_->CacheGet("step"))->value, R"({"v":1})");
  EXPECT_EQ(Must(store_->CacheGet("step", &lease))->refs.layers, std::vector{layer.id});
  fs::remove(store_->LayerPath(layer.id));
  EXPECT_EQ(Must(store_->CacheGet("step", &lease)), std::nullopt);
}

TEST_F(StoreTest, UsingACacheEntryIsNotedOnceAnHour) {
  ASSERT_TRUE(store_->CachePut("step", "1", {}));
  const WallTime begin = clock_.now;
  clock_.now += std::chrono::minutes(59);
  EXPECT_EQ(Must(store_->CacheGet("step"))->last_used, begin);
  clock_.now += std::chrono::minutes(2);
  EXPECT_EQ(Must(store_->CacheGet("step"))->last_used, clock_.now);
  const WallTime used = clock_.now;
  clock_.now += std::chrono::minutes(1);
  EXPECT_EQ(Must(store_->CacheGet("step"))->last_used, used);
}

TEST_F(StoreTest, ALeaseOfAnotherStoreIsRefused) {
  MemoryCatalog catalog;
  auto other = Must(Store::Open(StorePaths::Below(root_ / "other"), catalog, clock_));
  auto lease = Must(other->TakeLease("test"));
  EXPECT_EQ(store_->PutBlob("x", lease).error().code(), Code::kInternal);
}

}  // namespace
}  // namespace ingot::store
