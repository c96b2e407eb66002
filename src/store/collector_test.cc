#include "store/collector.h"

#include <utime.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "store/claims.h"
#include "store/store_fixture.h"
#include "store/verify.h"

namespace ingot::store {
namespace {

class CollectorTest : public StoreTest {
 protected:
  Collected Run(bool dry = false, Milliseconds keep_cache = std::chrono::hours(1)) {
    CollectOptions options;
    options.rests = 0;
    options.dry_run = dry;
    options.keep_cache = keep_cache;
    options.batch = 2;
    return Must(Collect(*store_, options, clock_));
  }
  bool Whole(const oci::Digest& digest) {
    auto report = Verify(*store_, {{digest}, 1, {}});
    return report && report->ok();
  }
  oci::Digest Image(const std::map<std::string, std::string>& files, const char* tag) {
    auto lease = Must(store_->TakeLease("test"));
    const oci::Digest digest = PutImageOf(*store_, lease, files);
    if (tag != nullptr) Must(store_->SetTag("shop/web", tag, digest));
    return digest;
  }
};

TEST_F(CollectorTest, RemovesExactlyWhatNothingNames) {
  const auto kept = Image({{"shared", "in both"}, {"kept", "only in kept"}}, "v1");
  const std::vector<std::string> before = FilesBelow(root_);
  const auto dropped =
      Image({{"shared", "in both"}, {"dropped", "only in dropped"}, {"third", "too"}}, nullptr);
  ASSERT_EQ(FilesBelow(root_).size(), before.size() + 5);  // 2 objects, 1 layer, manifest, config

  const Collected dry = Run(true);
  EXPECT_EQ(FilesBelow(root_).size(), before.size() + 5);
  const Collected done = Run();
  for (const Collected& c : {dry, done}) {
    EXPECT_EQ(c.objects.files, 2U);
    EXPECT_EQ(c.layers.files, 1U);
    EXPECT_EQ(c.blobs.files, 2U);
    EXPECT_EQ(c.images, 1U);
    EXPECT_EQ(c.kept.files, before.size());
    EXPECT_EQ(c.temporary.files, 0U);
    EXPECT_GE(c.freed_bytes(), 5 * 4096U);
  }
  EXPECT_EQ(FilesBelow(root_), before);
  EXPECT_TRUE(Whole(kept));
  EXPECT_EQ(store_->GetImage(dropped).error().code(), Code::kNotFound);
  EXPECT_EQ(Run().freed_bytes(), 0U);
}

TEST_F(CollectorTest, EmptiesAStoreThatNothingNames) {
  Image({{"a", "1"}, {"b", "2"}}, nullptr);
  Run();
  EXPECT_TRUE(FilesBelow(root_).empty());
  EXPECT_TRUE(Must(store_->ListImages()).empty());
}

TEST_F(CollectorTest, ATagAndAPinAreRootsUntilTheyGo) {
  const auto digest = Image({{"a", "1"}}, "v1");
  Must(store_->Pin("shop/local", {digest}));
  Must(store_->RemoveTag("shop/web", "v1"));
  Run();
  EXPECT_TRUE(Whole(digest));
  Must(store_->Pin("shop/local", {}));
  EXPECT_EQ(Run().images, 1U);
}

TEST_F(CollectorTest, ALeaseKeepsWhatItMadeAndWhatItFound) {
  const auto found = Image({{"found", "here before"}}, nullptr);
  const auto other = Image({{"other", "nobody's"}}, nullptr);
  {
    auto lease = Must(store_->TakeLease("test"));
    ASSERT_TRUE(lease.KeepImage(found));
    const auto put = Must(store_->objects().Put("made but in no layer"));
    Must(store_->objects().Flush());
    const Layer layer = Must(store_->SealLayer(TreeOf(store_->objects(), {{"x", "in no image"}}), lease));
    const auto blob = Must(store_->PutBlob("a blob", lease));
    // An object that is there as garbage, and found again by its contents.
    Must(store_->objects().Put("nobody's"));
    const Collected collected = Run();
    EXPECT_EQ(collected.images, 1U);
    EXPECT_EQ(collected.objects.files, 0U);
    EXPECT_TRUE(Whole(found));
    EXPECT_FALSE(Whole(other));
    EXPECT_TRUE(Must(store_->objects().Has(put)));
    EXPECT_TRUE(Must(store_->objects().Has(ObjectId::Of("nobody's"))));
    EXPECT_TRUE(store_->ReadLayer(layer.id));
    EXPECT_TRUE(store_->FindLayer(layer.id));
    EXPECT_TRUE(Must(store_->HasBlob(blob)));
  }
  Run();
  EXPECT_TRUE(FilesBelow(root_).empty());
}

TEST_F(CollectorTest, ALeaseOfADeadProcessIsNone) {
  LeaseRow dead = Must(LeaseOfThisProcess());
  dead.id = "dead";
  dead.claims = std::string(32, 'd');
  dead.pid_start += 1;
  dead.expires = clock_.now + std::chrono::hours(24);
  std::ofstream(root_ / "claims" / dead.claims) << "b" << std::string(32, '\1');
  ASSERT_EQ(::utime((root_ / "claims" / dead.claims).c_str(), nullptr), 0);
  std::ofstream(root_ / "layers" / ("x.tmp." + dead.claims + ".0")) << "half a layer";
  Must(catalog_.Write([&](CatalogRows& rows) { return rows.PutLease(dead); }));
  clock_.now = SystemClock().Now() + std::chrono::hours(2);
  const Collected collected = Run();
  EXPECT_EQ(collected.leases, 1U);
  EXPECT_EQ(collected.temporary.files, 2U);
  EXPECT_TRUE(FilesBelow(root_).empty());
}

TEST_F(CollectorTest, ALeaseThatCannotBeLookedAtIsBelievedUntilItExpires) {
  LeaseRow far = Must(LeaseOfThisProcess());
  far.id = "far";
  far.claims = std::string(32, 'f');
  far.pid_namespace += 1;
  far.expires = clock_.now + std::chrono::hours(24);
  const auto digest = Image({{"a", "1"}}, nullptr);
  const auto name = ClaimBytes(digest);
  std::ofstream(root_ / "claims" / far.claims)
      << "b" << std::string(reinterpret_cast<const char*>(name.data()), name.size());
  Must(catalog_.Write([&](CatalogRows& rows) { return rows.PutLease(far); }));
  EXPECT_EQ(Run().images, 0U);
  EXPECT_TRUE(Whole(digest));
  clock_.now += std::chrono::hours(25);
  const Collected collected = Run();
  EXPECT_EQ(collected.leases, 1U);
  EXPECT_EQ(collected.images, 1U);
}

TEST_F(CollectorTest, UnreadableClaimsStopIt) {
  LeaseRow broken = Must(LeaseOfThisProcess());
  broken.id = "broken";
  broken.claims = std::string(32, 'b');
  Image({{"a", "1"}}, nullptr);
  const auto before = FilesBelow(root_);
  Must(catalog_.Write([&](CatalogRows& rows) { return rows.PutLease(broken); }));
  EXPECT_EQ(Collect(*store_, {}, clock_).error().code(), Code::kIo);
  EXPECT_EQ(FilesBelow(root_), before);
  EXPECT_EQ(Must(store_->ListImages()).size(), 1U);
}

TEST_F(CollectorTest, ANeededLayerThatCannotBeReadStopsIt) {
  const auto damaged = Image({{"a", "1"}}, "v1");
  Image({{"b", "2"}}, nullptr);
  const Layer layer = Must(store_->GetImage(damaged)).layers[0];
  fs::permissions(store_->LayerPath(layer.id), fs::perms::owner_all);
  std::ofstream(store_->LayerPath(layer.id), std::ios::app) << "x";
  const auto before = FilesBelow(root_);
  EXPECT_EQ(Collect(*store_, {}, clock_).error().code(), Code::kCorrupt);
  EXPECT_EQ(FilesBelow(root_), before);
}

TEST_F(CollectorTest, CacheEntriesAgeAndFreeOnesStay) {
  const auto kept = Image({{"a", "1"}}, "v1");
  const Layer kept_layer = Must(store_->GetImage(kept)).layers[0];
  LayerId loose;
  {
    auto lease = Must(store_->TakeLease("test"));
    loose = Must(store_->SealLayer(TreeOf(store_->objects(), {{"b", "2"}}), lease)).id;
    Must(store_->CachePut("free", "1", {{kept_layer.id}, {kept}}));
    Must(store_->CachePut("loose", "2", {{loose}, {}}));
    Must(store_->CachePut("value", "3", {}));
  }
  EXPECT_EQ(Run().cache_entries, 0U);
  EXPECT_TRUE(store_->ReadLayer(loose));
  clock_.now += std::chrono::minutes(61);
  const Collected collected = Run();
  EXPECT_EQ(collected.cache_entries, 2U);
  EXPECT_EQ(collected.layers.files, 1U);
  EXPECT_EQ(collected.objects.files, 1U);
  EXPECT_TRUE(Must(store_->CacheGet("free")).has_value());
  EXPECT_EQ(Must(store_->CacheGet("loose")), std::nullopt);
}

TEST_F(CollectorTest, OnlyOneRunsAtATime) {
  const auto lock = Must(FileLock::Take(root_ / "claims/collector.lock", false));
  EXPECT_EQ(Collect(*store_, {}, clock_).error().code(), Code::kConflict);
}

TEST_F(CollectorTest, AClaimWaitsWhileImportersAreLockedOut) {
  auto lease = Must(store_->TakeLease("test"));
  ClaimReader reader(root_ / "claims");
  std::atomic<bool> claimed{false};
  auto lock = std::make_optional(Must(reader.LockOut()));
  std::thread importer([&] {
    Must(store_->objects().Put("new"));
    claimed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(claimed);
  lock.reset();
  importer.join();
  EXPECT_TRUE(claimed);
}

TEST(SessionOfTemporaryTest, ReadsWhatTemporaryForWrites) {
  EXPECT_EQ(SessionOfTemporary("abc.erofs.tmp.0123.7"), "0123");
  EXPECT_EQ(SessionOfTemporary("abc.erofs"), "");
}

}  // namespace
}  // namespace ingot::store
