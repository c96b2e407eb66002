#include "store/verify.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>

#include "store/store_fixture.h"

namespace ingot::store {
namespace {

class VerifyTest : public StoreTest {
 protected:
  void SetUp() override {
    auto lease = Must(store_->TakeLease("test"));
    const Layer base = Must(store_->SealLayer(TreeOf(store_->objects(), {{"base", "in both"}}), lease));
    const Layer top = Must(store_->SealLayer(TreeOf(store_->objects(), {{"top", "in one"}}), lease));
    one_ = PutImageOf(*store_, lease, std::vector{base, top}, "one");
    two_ = PutImageOf(*store_, lease, std::vector{base}, "two");
    base_ = base.id;
    Must(store_->SetTag("shop/one", "v1", one_));
    Must(store_->SetTag("shop/two", "v1", two_));
  }
  // Overwrites in place, as a disk or a person might.
  static void Damage(const fs::path& path, std::string_view bytes) {
    fs::permissions(path, fs::perms::owner_all);
    std::ofstream(path, std::ios::trunc) << bytes;
  }
  Problem Only(const VerifyOptions& options = {}) {
    const VerifyReport report = Must(Verify(*store_, options));
    EXPECT_EQ(report.problems.size(), 1U);
    return report.problems.empty() ? Problem{} : report.problems[0];
  }
  oci::Digest one_, two_;
  LayerId base_;
};

TEST_F(VerifyTest, CountsEachThingOnce) {
  const VerifyReport report = Must(Verify(*store_, {}));
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.images, 2U);
  EXPECT_EQ(report.layers, 2U);
  EXPECT_EQ(report.objects, 2U);
  EXPECT_EQ(report.blobs, 4U);
  EXPECT_GT(report.bytes, 13U);
  EXPECT_EQ(Must(Verify(*store_, {{two_}, 0, {}})).objects, 1U);
}

TEST_F(VerifyTest, ADamagedObjectNamesEveryImageItIsIn) {
  const ObjectId object = ObjectId::Of("in both");
  Damage(store_->objects().PathOf(object), "in Both");
  const Problem problem = Only();
  EXPECT_EQ(problem.kind, ProblemKind::kDamaged);
  EXPECT_EQ(problem.thing, ThingKind::kObject);
  EXPECT_EQ(problem.name, object.Render());
  EXPECT_EQ(problem.path, store_->objects().PathOf(object));
  EXPECT_EQ(problem.images, (std::set{one_, two_}));
}

TEST_F(VerifyTest, AMissingObjectIsMissing) {
  fs::remove(store_->objects().PathOf(ObjectId::Of("in one")));
  const Problem problem = Only();
  EXPECT_EQ(problem.kind, ProblemKind::kMissing);
  EXPECT_EQ(problem.images, std::set{one_});
  EXPECT_TRUE(Must(Verify(*store_, {{two_}, 1, {}})).ok());
}

TEST_F(VerifyTest, WhatCannotBeReadIsNeitherMissingNorFine) {
  const fs::path path = store_->objects().PathOf(ObjectId::Of("in one"));
  fs::remove(path);
  fs::create_symlink("nowhere", path);  // O_NOFOLLOW: ELOOP
  EXPECT_EQ(Only().kind, ProblemKind::kUnreadable);
}

TEST_F(VerifyTest, LayersAndBlobsAreChecked) {
  Damage(store_->LayerPath(base_), "not a layer");
  Problem problem = Only();
  EXPECT_EQ(problem.kind, ProblemKind::kDamaged);
  EXPECT_EQ(problem.thing, ThingKind::kLayer);
  EXPECT_EQ(problem.images, (std::set{one_, two_}));
  fs::remove(store_->LayerPath(base_));
  problem = Only();
  EXPECT_EQ(problem.kind, ProblemKind::kMissing);
  EXPECT_EQ(problem.name, base_.Render());
}

TEST_F(VerifyTest, AnImageWithoutItsManifestOrConfigurationIsReported) {
  const oci::Digest config = Must(store_->GetImage(two_)).manifest.config.digest;
  Damage(store_->BlobPath(config), "{}");
  Problem problem = Only();
  EXPECT_EQ(problem.kind, ProblemKind::kDamaged);
  EXPECT_EQ(problem.thing, ThingKind::kBlob);
  EXPECT_EQ(problem.name, config.Render());
  EXPECT_EQ(problem.images, std::set{two_});
  fs::remove(store_->BlobPath(config));
  EXPECT_EQ(Only().kind, ProblemKind::kMissing);
  fs::remove(store_->BlobPath(two_));
  problem = Only();
  EXPECT_EQ(problem.kind, ProblemKind::kMissing);
  EXPECT_EQ(problem.name, two_.Render());
}

TEST_F(VerifyTest, SeveralProblemsComeInOrder) {
  Damage(store_->objects().PathOf(ObjectId::Of("in both")), "x");
  fs::remove(store_->objects().PathOf(ObjectId::Of("in one")));
  fs::remove(store_->BlobPath(one_));
  const VerifyReport report = Must(Verify(*store_, {{}, 8, {}}));
  ASSERT_EQ(report.problems.size(), 3U);
  EXPECT_EQ(report.problems[0].thing, ThingKind::kObject);
  EXPECT_EQ(report.problems[2].thing, ThingKind::kBlob);
}

TEST_F(VerifyTest, AnUnknownImageIsNotFound) {
  EXPECT_EQ(Verify(*store_, {{oci::Digest::Of("none")}, 1, {}}).error().code(), Code::kNotFound);
}

TEST_F(VerifyTest, ProgressEndsWithEverything) {
  uint64_t done = 0;
  uint64_t total = 1;
  VerifyOptions options;
  options.progress = [&](uint64_t d, uint64_t t) {
    done = d;
    total = t;
  };
  const VerifyReport report = Must(Verify(*store_, options));
  EXPECT_EQ(done, report.bytes);
  EXPECT_GE(done, total);  // a manifest's size is known only when it has been read
}

}  // namespace
}  // namespace ingot::store
