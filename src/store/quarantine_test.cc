#include "store/quarantine.h"

#include <fstream>

#include "store/repair.h"
#include "store/store_fixture.h"
#include "store/tar_writer.h"

namespace ingot::store {
namespace {

class QuarantineTest : public StoreTest {
 protected:
  void SetUp() override {
    auto lease = Must(store_->TakeLease("test"));
    const Tree tree = TreeOf(store_->objects(), {{"etc/a", "contents of a"}, {"etc/b", "contents of b"}});
    layer_ = Must(store_->SealLayer(tree, lease));
    image_ = PutImageOf(*store_, lease, std::vector{layer_});
    Must(store_->SetTag("shop/web", "v1", image_));
  }
  static void Spoil(const fs::path& path) {
    fs::permissions(path, fs::perms::owner_all);
    std::fstream(path, std::ios::in | std::ios::out) << "?";
  }
  // The layer's tar as somebody has pushed it.
  void KeepTar() {
    auto lease = Must(store_->TakeLease("test"));
    std::string tar;
    Must(WriteTar(Must(store_->ReadLayer(layer_.id)), store_->objects(),
                  [&](std::string_view bytes) -> Result<void> {
                    tar += bytes;
                    return {};
                  }));
    Must(store_->PutBlobAs(layer_.diff_id, tar, lease));
    Must(catalog_.Write([&](CatalogRows& rows) {
      return rows.PutRepositoryBlob({"team/web", layer_.diff_id, tar.size(), clock_.now});
    }));
  }
  LostThing SetAsideOnly() {
    const VerifyReport report = Must(Verify(*store_, {}));
    EXPECT_EQ(report.problems.size(), 1U);
    EXPECT_TRUE(Must(SetAside(*store_, report.problems.at(0), clock_)));
    const std::vector<LostThing> lost = Must(ListLost(*store_));
    EXPECT_EQ(lost.size(), 1U);
    return lost.at(0);
  }
  Layer layer_;
  oci::Digest image_;
};

TEST_F(QuarantineTest, ADamagedObjectIsMovedAsideAndItsImageRefusedByName) {
  const ObjectId object = ObjectId::Of("contents of a");
  Spoil(store_->objects().PathOf(object));
  Must(RequireWhole(*store_, image_));
  const LostThing lost = SetAsideOnly();
  EXPECT_EQ(lost.thing, ThingKind::kObject);
  EXPECT_EQ(lost.kind, ProblemKind::kDamaged);
  EXPECT_EQ(lost.images, std::set{image_});
  EXPECT_FALSE(fs::exists(store_->objects().PathOf(object)));
  EXPECT_EQ(ImagesThatNeed(*store_, ThingKind::kObject, object.Render()).value(), std::set{image_});
  const auto refused = RequireWhole(*store_, image_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kCorrupt);
  EXPECT_THAT(refused.error().message(), testing::HasSubstr(object.Render()));
  EXPECT_FALSE(Must(RepairFromStore(*store_, lost)));
  // Whoever puts the same contents again has repaired it.
  {
    auto lease = Must(store_->TakeLease("test"));
    Must(store_->objects().Put("contents of a"));
    Must(store_->objects().Flush());
  }
  EXPECT_TRUE(Must(ListLost(*store_)).empty());
  Must(RequireWhole(*store_, image_));
  EXPECT_TRUE(fs::is_empty(root_ / "quarantine"));
}

TEST_F(QuarantineTest, WhatIsWholeIsLeftAlone) {
  const ObjectId object = ObjectId::Of("contents of a");
  Problem problem{
      ProblemKind::kDamaged, ThingKind::kObject, object.Render(), {}, "it was read wrongly", {image_}};
  EXPECT_FALSE(Must(SetAside(*store_, problem, clock_)));
  EXPECT_TRUE(Must(ListLost(*store_)).empty());
  problem.kind = ProblemKind::kUnreadable;
  EXPECT_EQ(SetAside(*store_, problem, clock_).error().code(), Code::kInvalid);
}

TEST_F(QuarantineTest, AnObjectComesBackFromABlobThatHasIt) {
  KeepTar();
  Spoil(store_->objects().PathOf(ObjectId::Of("contents of b")));
  EXPECT_TRUE(Must(RepairFromStore(*store_, SetAsideOnly())));
  EXPECT_TRUE(Must(Verify(*store_, {})).ok());
  EXPECT_TRUE(Must(ListLost(*store_)).empty());
}

TEST_F(QuarantineTest, ASealedLayerComesBackFromItsTar) {
  KeepTar();
  Spoil(store_->LayerPath(layer_.id));
  EXPECT_TRUE(Must(RepairFromStore(*store_, SetAsideOnly())));
  EXPECT_TRUE(Must(Verify(*store_, {})).ok());
}

TEST_F(QuarantineTest, APushedTarComesBackFromTheLayerThatWasMadeHere) {
  KeepTar();
  Spoil(store_->BlobPath(layer_.diff_id));
  const LostThing lost = SetAsideOnly();
  EXPECT_EQ(lost.thing, ThingKind::kBlob);
  EXPECT_TRUE(Must(RepairFromStore(*store_, lost)));
  EXPECT_TRUE(Must(Verify(*store_, {})).ok());
}

TEST_F(QuarantineTest, AManifestIsNowhereElse) {
  Spoil(store_->BlobPath(image_));
  const LostThing lost = SetAsideOnly();
  EXPECT_FALSE(Must(RepairFromStore(*store_, lost)));
  EXPECT_EQ(Must(ListLost(*store_)).size(), 1U);
}

TEST_F(QuarantineTest, WhatOnlyACollectedImageNeededIsNoLongerLost) {
  Spoil(store_->objects().PathOf(ObjectId::Of("contents of a")));
  SetAsideOnly();
  Must(catalog_.Write([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.RemoveTag("shop/web", "v1"));
    TRY(rows.RemoveImage(image_));
    return {};
  }));
  EXPECT_TRUE(Must(Verify(*store_, {})).ok());
  EXPECT_TRUE(Must(ListLost(*store_)).empty());
  EXPECT_TRUE(Must(ListDirectory(store_->paths().blobs.parent_path() / "quarantine")).empty());
}

TEST_F(QuarantineTest, OfSeveralImagesThoseThatAreThereStayNamed) {
  oci::Digest other;
  {
    auto lease = Must(store_->TakeLease("test"));
    const Layer more =
        Must(store_->SealLayer(TreeOf(store_->objects(), {{"etc/c", "contents of c"}}), lease));
    other = PutImageOf(*store_, lease, std::vector{layer_, more});
    Must(store_->SetTag("shop/web", "v2", other));
  }
  Spoil(store_->objects().PathOf(ObjectId::Of("contents of a")));
  EXPECT_EQ(SetAsideOnly().images, (std::set{image_, other}));
  Must(catalog_.Write([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.RemoveTag("shop/web", "v1"));
    TRY(rows.RemoveImage(image_));
    return {};
  }));
  const std::vector<LostThing> lost = Must(ListLost(*store_));
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_EQ(lost[0].images, std::set{other});
}

TEST_F(QuarantineTest, ABlobThatOnlyARepositoryHasStaysLost) {
  KeepTar();
  Spoil(store_->BlobPath(layer_.diff_id));
  EXPECT_EQ(SetAsideOnly().thing, ThingKind::kBlob);
  Must(catalog_.Write([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.RemoveRepositoryBlob("team/web", layer_.diff_id));
    return {};
  }));
  EXPECT_TRUE(Must(ListLost(*store_)).empty());
}

}  // namespace
}  // namespace ingot::store
