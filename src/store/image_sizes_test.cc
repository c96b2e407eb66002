#include "store/image_sizes.h"

#include "store/collector.h"
#include "store/store_fixture.h"

namespace ingot::store {
namespace {

class ImageSizesTest : public StoreTest {};

TEST_F(ImageSizesTest, UniqueIsExactlyWhatRemovingTheImageFrees) {
  oci::Digest images[3];
  {
    auto lease = Must(store_->TakeLease("test"));
    const Layer base =
        Must(store_->SealLayer(TreeOf(store_->objects(), {{"lib", std::string(50'000, 'l')}}), lease));
    const auto on_base = [&](const std::map<std::string, std::string>& files) {
      return PutImageOf(
          *store_, lease,
          std::vector<Layer>{base, Must(store_->SealLayer(TreeOf(store_->objects(), files), lease))});
    };
    // The file "both" is one object in two layers.
    images[0] = on_base({{"one", std::string(9'000, '1')}, {"both", std::string(20'000, 'b')}});
    images[1] = on_base({{"two", std::string(30'000, '2')}, {"other", std::string(20'000, 'b')}});
    images[2] = PutImageOf(*store_, lease, {{"alone", std::string(70'000, 'a')}});
    for (int i = 0; i < 3; ++i) Must(store_->SetTag("shop/web", "t" + std::to_string(i), images[i]));
  }
  const auto sizes = Must(MeasureImages(*store_));
  EXPECT_EQ(sizes.at(images[0]).content_bytes, 50'000U + 9'000U + 20'000U);
  for (int i = 0; i < 3; ++i) {
    // Removed alone, each from the same state.
    const uint64_t expected = Must(MeasureImages(*store_)).at(images[i]).unique_bytes;
    Must(store_->RemoveTag("shop/web", "t" + std::to_string(i)));
    const Collected collected = Must(Collect(*store_, {.dry_run = true}, clock_));
    EXPECT_EQ(collected.freed_bytes(), expected) << i;
    ASSERT_EQ(collected.removed.size(), 1U);
    EXPECT_EQ(collected.removed[0].bytes, expected);
    EXPECT_EQ(collected.removed[0].digest, images[i]);
    EXPECT_THAT(collected.removed[0].repositories, testing::ElementsAre("shop/web"));
    Must(store_->SetTag("shop/web", "t" + std::to_string(i), images[i]));
  }
  EXPECT_GE(sizes.at(images[2]).unique_bytes, 70'000U);
  EXPECT_LT(sizes.at(images[0]).unique_bytes, 30'000U);
}

TEST_F(ImageSizesTest, WhatARepositoryHasIsNotFreed) {
  auto lease = Must(store_->TakeLease("test"));
  const oci::Digest digest = PutImageOf(*store_, lease, {{"a", "1"}});
  const uint64_t before = Must(MeasureImages(*store_)).at(digest).unique_bytes;
  Must(catalog_.Write([&](CatalogRows& rows) {
    return rows.PutRepositoryManifest({"team/a", digest, "t", 1, std::nullopt, "", "", {}});
  }));
  EXPECT_EQ(Must(MeasureImages(*store_)).at(digest).unique_bytes, before - 4096);
}

TEST_F(ImageSizesTest, AnUnreadableLayerIsAnError) {
  auto lease = Must(store_->TakeLease("test"));
  const oci::Digest digest = PutImageOf(*store_, lease, {{"a", "1"}});
  fs::remove(store_->LayerPath(Must(store_->GetImage(digest)).layers[0].id));
  EXPECT_FALSE(MeasureImages(*store_));
}

}  // namespace
}  // namespace ingot::store
