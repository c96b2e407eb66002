// What every Catalog must keep, for its fake and the real one: included by their tests.
#pragma once

#include <gmock/gmock.h>

#include <functional>
#include <memory>
#include <string>

#include "base/sha256.h"
#include "store/catalog.h"

namespace ingot::store {

using CatalogFactory = std::function<std::unique_ptr<Catalog>()>;

class CatalogContract : public testing::TestWithParam<CatalogFactory> {
 protected:
  std::unique_ptr<Catalog> catalog_ = GetParam()();

  static oci::Digest D(std::string_view text) { return oci::Digest::Of(text); }
  static LayerId L(std::string_view text) { return ObjectId::Of(text); }
  static WallTime At(int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }
  static Layer MakeLayer(std::string_view name) {
    return {L(name), D(name), 10'240, uint64_t{1} << 40, std::nullopt, At(1'700'000'000'123)};
  }
  static ImageRow MakeImage(std::string_view name, std::vector<Layer> layers) {
    ImageRow image;
    image.digest = D(name);
    image.created = At(5);
    for (const Layer& layer : layers) image.layers.push_back({layer.id, layer.diff_id});
    return image;
  }

  // In a transaction of its own; the value, or the Error thrown into the test.
  template <typename F>
  auto Read(F f) {
    using T = std::decay_t<decltype(*f(std::declval<const CatalogRows&>()))>;
    T value{};
    auto done = catalog_->Read([&](const CatalogRows& rows) -> Result<void> {
      value = TRY(f(rows));
      return {};
    });
    EXPECT_TRUE(done) << done.error().Render();
    return value;
  }
  Result<void> Write(const std::function<Result<void>(CatalogRows&)>& f) { return catalog_->Write(f); }
  void MustWrite(const std::function<Result<void>(CatalogRows&)>& f) {
    auto done = Write(f);
    ASSERT_TRUE(done) << done.error().Render();
  }
  int64_t Generation() {
    return Read([](const CatalogRows& rows) { return rows.Generation(); });
  }
};

TEST_P(CatalogContract, LayersAreKeptExactly) {
  Layer plain = MakeLayer("a");
  Layer foreign = MakeLayer("a");
  foreign.diff_id = D("other tar of the same tree");
  foreign.created = At(7);
  foreign.blob = oci::Descriptor{};
  foreign.blob->media_type = oci::kLayerGzipType;
  foreign.blob->digest = D("gz");
  foreign.blob->size_bytes = 77;
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(plain));
    TRY(rows.PutLayer(foreign));
    Layer later = plain;
    later.created = At(9);
    return rows.PutLayer(later);  // changes nothing
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.FindLayers(L("a")); }),
              testing::UnorderedElementsAre(plain, foreign));
  EXPECT_THAT(Read([&](const CatalogRows& rows) { return rows.FindLayers(foreign.diff_id); }),
              testing::ElementsAre(foreign));
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.FindLayers(L("b")); }), testing::IsEmpty());
  MustWrite([](CatalogRows& rows) -> Result<void> {
    EXPECT_TRUE(*rows.RemoveLayer(L("a")));
    EXPECT_FALSE(*rows.RemoveLayer(L("a")));
    return {};
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListLayers(); }), testing::IsEmpty());
}

TEST_P(CatalogContract, LayersOfOneTarComeOldestFirst) {
  Layer young = MakeLayer("young");
  Layer old = MakeLayer("old");
  young.diff_id = old.diff_id = D("tar");
  old.created = At(1);
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(young));
    return rows.PutLayer(old);
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.FindLayers(D("tar")); }),
              testing::ElementsAre(old, young));
}

TEST_P(CatalogContract, ImagesKeepTheOrderOfTheirLayers) {
  const Layer a = MakeLayer("a");
  const Layer b = MakeLayer("b");
  ImageRow image = MakeImage("image", {b, a, b});
  image.provenance = R"({"by":"me"})";
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(a));
    TRY(rows.PutLayer(b));
    return rows.PutImage(image);
  });
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindImage(D("image")); }), image);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindImage(D("none")); }), std::nullopt);
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListImages(); }), testing::ElementsAre(image));
}

TEST_P(CatalogContract, AnImagePutAgainStaysGoldenAndAsOldAsItIs) {
  const Layer a = MakeLayer("a");
  ImageRow image = MakeImage("image", {a});
  image.provenance = "{}";
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(a));
    TRY(rows.PutImage(image));
    EXPECT_FALSE(*rows.MarkGolden(D("none"), "{}"));
    EXPECT_TRUE(*rows.MarkGolden(image.digest, R"({"passed":3})"));
    ImageRow again = image;
    again.created = At(99);
    again.provenance = "";
    return rows.PutImage(again);
  });
  image.golden = true;
  image.test_record = R"({"passed":3})";
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindImage(D("image")); }), image);
  ImageRow again = image;
  again.provenance = R"({"new":1})";
  MustWrite([&](CatalogRows& rows) { return rows.PutImage(again); });
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindImage(D("image")); }), again);
}

TEST_P(CatalogContract, NothingDangles) {
  const Layer a = MakeLayer("a");
  const ImageRow image = MakeImage("image", {a});
  const auto code = [&](const std::function<Result<void>(CatalogRows&)>& f) {
    auto done = Write(f);
    return done ? std::string("done") : std::string(CodeName(done.error().code()));
  };
  EXPECT_EQ(code([&](CatalogRows& rows) { return rows.PutImage(image); }), "exists");
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListImages(); }), testing::IsEmpty());
  EXPECT_EQ(code([](CatalogRows& rows) {
              return rows.PutTag({"shop/web", "v1", D("image"), At(1)});
            }),
            "exists");
  EXPECT_EQ(code([](CatalogRows& rows) { return rows.SetPin({"shop/local", {D("image")}}); }), "exists");
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(a));
    TRY(rows.PutImage(image));
    TRY(rows.PutTag({"shop/web", "v1", image.digest, At(1)}));
    return rows.SetPin({"shop/local", {image.digest}});
  });
  const auto remove_layer = [&](CatalogRows& rows) -> Result<void> {
    TRY(rows.RemoveLayer(a.id));
    return {};
  };
  const auto remove_image = [&](CatalogRows& rows) -> Result<void> {
    TRY(rows.RemoveImage(image.digest));
    return {};
  };
  EXPECT_EQ(code(remove_layer), "exists");
  EXPECT_EQ(code(remove_image), "exists");
  MustWrite([](CatalogRows& rows) -> Result<void> {
    EXPECT_TRUE(*rows.RemoveTag("shop/web", "v1"));
    EXPECT_FALSE(*rows.RemoveTag("shop/web", "v1"));
    return {};
  });
  EXPECT_EQ(code(remove_image), "exists");
  MustWrite([](CatalogRows& rows) { return rows.SetPin({"shop/local", {}}); });
  EXPECT_EQ(code(remove_image), "done");
  EXPECT_EQ(code(remove_layer), "done");
}

TEST_P(CatalogContract, ATagIsOnePointer) {
  const Layer a = MakeLayer("a");
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(a));
    TRY(rows.PutImage(MakeImage("one", {a})));
    TRY(rows.PutImage(MakeImage("two", {a})));
    TRY(rows.PutTag({"shop/web", "v1", D("one"), At(1)}));
    TRY(rows.PutTag({"shop/api", "v1", D("one"), At(2)}));
    return rows.PutTag({"shop/web", "v1", D("two"), At(3)});
  });
  const Tag web{"shop/web", "v1", D("two"), At(3)};
  const Tag api{"shop/api", "v1", D("one"), At(2)};
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindTag("shop/web", "v1"); }), web);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindTag("shop/web", "v2"); }), std::nullopt);
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListTags(); }), testing::ElementsAre(api, web));
}

TEST_P(CatalogContract, TagsOfOneRepository) {
  const Layer a = MakeLayer("a");
  const Tag v1{"shop/web", "v1", D("one"), At(1)};
  const Tag v2{"shop/web", "v2", D("one"), At(2)};
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(a));
    TRY(rows.PutImage(MakeImage("one", {a})));
    TRY(rows.PutTag(v2));
    TRY(rows.PutTag({"shop/web2", "v1", D("one"), At(3)}));
    return rows.PutTag(v1);
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListTags("shop/web"); }),
              testing::ElementsAre(v1, v2));
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListTags("shop"); }), testing::IsEmpty());
}

TEST_P(CatalogContract, RepositoriesKnowTheirOwnBlobs) {
  const RepositoryBlob web{"web", D("blob"), 7, At(1)};
  const RepositoryBlob api{"api", D("blob"), 7, At(2)};
  const int64_t before = Generation();
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutRepositoryBlob(web));
    TRY(rows.PutRepositoryBlob(api));
    RepositoryBlob later = web;
    later.created = At(9);
    return rows.PutRepositoryBlob(later);  // changes nothing
  });
  EXPECT_GT(Generation(), before);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryBlob("web", D("blob")); }), web);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryBlob("web", D("none")); }),
            std::nullopt);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryBlob(D("blob")); }), api);
  EXPECT_TRUE(Read([](const CatalogRows& rows) { return rows.HasRepository("web"); }));
  EXPECT_FALSE(Read([](const CatalogRows& rows) { return rows.HasRepository("we"); }));
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListRepositoryDigests(); }),
              testing::ElementsAre(D("blob")));
  MustWrite([](CatalogRows& rows) -> Result<void> {
    EXPECT_TRUE(*rows.RemoveRepositoryBlob("web", D("blob")));
    EXPECT_FALSE(*rows.RemoveRepositoryBlob("web", D("blob")));
    return {};
  });
  EXPECT_FALSE(Read([](const CatalogRows& rows) { return rows.HasRepository("web"); }));
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryBlob(D("blob")); }), api);
}

TEST_P(CatalogContract, AManifestGoesWithItsTags) {
  const RepositoryManifest image{"web", D("m"), "type/m", 9, std::nullopt, "", "", At(1)};
  RepositoryManifest signature{"web", D("s"), "type/m", 8, D("m"), "type/sig", R"({"size":8})", At(2)};
  const Tag latest{"web", "latest", D("m"), At(3)};
  const Tag old{"web", "Old", D("m"), At(3)};
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutRepositoryManifest(image));
    TRY(rows.PutRepositoryManifest(signature));
    TRY(rows.PutRepositoryTag(latest));
    TRY(rows.PutRepositoryTag({"web", "sig", D("s"), At(3)}));
    return rows.PutRepositoryTag(old);
  });
  auto dangling = Write([](CatalogRows& rows) {
    return rows.PutRepositoryTag({"api", "latest", D("m"), At(1)});
  });
  ASSERT_FALSE(dangling);
  EXPECT_EQ(dangling.error().code(), Code::kExists);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryManifest("web", D("m")); }), image);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryManifest("api", D("m")); }),
            std::nullopt);
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListReferrers("web", D("m")); }),
              testing::ElementsAre(signature));
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryTag("web", "latest"); }), latest);
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListRepositoryTags("web"); }),
              testing::ElementsAre(old, latest, testing::Field(&Tag::tag, "sig")));
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.ListRepositoryTags(); }),
            Read([](const CatalogRows& rows) { return rows.ListRepositoryTags("web"); }));
  signature.media_type = "type/other";
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    RepositoryManifest again = signature;
    again.created = At(99);
    TRY(rows.PutRepositoryManifest(again));
    EXPECT_TRUE(*rows.RemoveRepositoryTag("web", "Old"));
    EXPECT_FALSE(*rows.RemoveRepositoryTag("web", "Old"));
    EXPECT_TRUE(*rows.RemoveRepositoryManifest("web", D("m")));
    EXPECT_FALSE(*rows.RemoveRepositoryManifest("web", D("m")));
    return {};
  });
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryManifest("web", D("s")); }),
            signature);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindRepositoryTag("web", "latest"); }),
            std::nullopt);
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListRepositoryDigests(); }),
              testing::ElementsAre(D("s")));
}

TEST_P(CatalogContract, RepositoriesAreListedWithWhatTheyHave) {
  const RepositoryBlob blob{"web", D("b"), 7, At(1)};
  const RepositoryManifest manifest{"api", D("b"), "type", 9, std::nullopt, "", "", At(2)};
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutRepositoryBlob(blob));
    return rows.PutRepositoryManifest(manifest);
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListRepositories(); }),
              testing::ElementsAre("api", "web"));
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListRepositoryBlobs("web"); }),
              testing::ElementsAre(blob));
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListRepositoryManifests("api"); }),
              testing::ElementsAre(manifest));
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListRepositoryManifests("web"); }),
              testing::IsEmpty());
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListRepositoriesWith(D("b")); }),
              testing::ElementsAre("api", "web"));
}

TEST_P(CatalogContract, CacheEntriesAreReplaced) {
  CacheEntry entry{"step:1", R"({"a":"é"})", {{L("x"), L("y")}, {D("i")}}, At(4)};
  const CacheEntry bare{"file:/a b", "1", {}, At(1)};
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutCache({"step:1", "old", {}, At(1)}));
    TRY(rows.PutCache(bare));
    return rows.PutCache(entry);
  });
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindCache("step:1"); }), entry);
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindCache("step:2"); }), std::nullopt);
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListCache(); }),
              testing::ElementsAre(bare, entry));
  MustWrite([](CatalogRows& rows) -> Result<void> {
    EXPECT_TRUE(*rows.RemoveCache("step:1"));
    EXPECT_FALSE(*rows.RemoveCache("step:1"));
    return {};
  });
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindCache("step:1"); }), std::nullopt);
}

TEST_P(CatalogContract, LeasesDoNotCountAsChanges) {
  const LeaseRow lease{"1f", "build web", "boot", uint64_t{1} << 32, 4'194'304, 123'456'789, At(1), "c0ffee"};
  const int64_t before = Generation();
  MustWrite([&](CatalogRows& rows) { return rows.PutLease(lease); });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListLeases(); }), testing::ElementsAre(lease));
  MustWrite([](CatalogRows& rows) -> Result<void> {
    EXPECT_TRUE(*rows.RemoveLease("1f"));
    EXPECT_FALSE(*rows.RemoveLease("1f"));
    return {};
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListLeases(); }), testing::IsEmpty());
  EXPECT_EQ(Generation(), before);
}

TEST_P(CatalogContract, PinsAreReplacedPerOwner) {
  const Layer a = MakeLayer("a");
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(a));
    for (const char* name : {"one", "two", "three"}) TRY(rows.PutImage(MakeImage(name, {a})));
    TRY(rows.SetPin({"shop/local", {D("one"), D("two")}}));
    TRY(rows.SetPin({"blog/local", {D("two")}}));
    return rows.SetPin({"shop/local", {D("two"), D("three")}});
  });
  EXPECT_THAT(
      Read([](const CatalogRows& rows) { return rows.ListPins(); }),
      testing::ElementsAre(PinRow{"blog/local", {D("two")}}, PinRow{"shop/local", {D("two"), D("three")}}));
}

TEST_P(CatalogContract, WhatIsRecordedFirstStays) {
  MustWrite([](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutFixedTag({"web", "1.0", D("first"), At(1)}));
    TRY(rows.PutFixedTag({"web", "1.0", D("second"), At(2)}));
    TRY(rows.PutProof({"shop/staging", D("first"), At(3)}));
    TRY(rows.PutProof({"shop/staging", D("first"), At(4)}));
    return rows.PutProof({"shop/local", D("first"), At(5)});
  });
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindFixedTag("web", "1.0"); }),
            (FixedTag{"web", "1.0", D("first"), At(1)}));
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindFixedTag("api", "1.0"); }), std::nullopt);
  EXPECT_THAT(
      Read([](const CatalogRows& rows) { return rows.ListProofs(D("first")); }),
      testing::ElementsAre(Proof{"shop/local", D("first"), At(5)}, Proof{"shop/staging", D("first"), At(3)}));
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListProofs(D("second")); }), testing::IsEmpty());
}

TEST_P(CatalogContract, NamesOfImagesGoWithTheirImage) {
  const Layer a = MakeLayer("a");
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(a));
    TRY(rows.PutImage(MakeImage("one", {a})));
    TRY(rows.PutImage(MakeImage("two", {a})));
    TRY(rows.PutNamedImage({"web", D("one"), At(1)}));
    TRY(rows.PutNamedImage({"web", D("two"), At(2)}));
    return rows.PutNamedImage({"web", D("one"), At(3)});
  });
  EXPECT_THAT(
      Read([](const CatalogRows& rows) { return rows.ListNamedImages(); }),
      testing::UnorderedElementsAre(NamedImage{"web", D("one"), At(3)}, NamedImage{"web", D("two"), At(2)}));
  MustWrite([](CatalogRows& rows) -> Result<void> {
    EXPECT_TRUE(*rows.RemoveImage(D("one")));
    return {};
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListNamedImages(); }),
              testing::ElementsAre(NamedImage{"web", D("two"), At(2)}));
  EXPECT_EQ(Write([](CatalogRows& rows) {
              return rows.PutNamedImage({"web", D("none"), At(1)});
            })
                .error()
                .code(),
            Code::kExists);
}

TEST_P(CatalogContract, PullsKeepTheLatestTimeAndAreNoChange) {
  const int64_t before = Generation();
  MustWrite([](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutPull({"web", D("m"), At(5)}));
    TRY(rows.PutPull({"web", D("m"), At(3)}));
    TRY(rows.PutPull({"web", D("n"), At(1)}));
    TRY(rows.PutPull({"api", D("m"), At(9)}));
    return rows.RemovePull("web", D("n"));
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListPulls("web"); }),
              testing::ElementsAre(Pull{"web", D("m"), At(5)}));
  EXPECT_EQ(Generation(), before);
}

TEST_P(CatalogContract, PromotionsAreAppended) {
  Promotion first{0, "shop/web", "production", D("a"), std::nullopt, "staging", "uid:0", "release", At(1)};
  Promotion second{0, "shop/web", "production", D("b"), D("a"), "staging", "uid:7", "", At(2)};
  Promotion other{0, "shop/api", "staging", D("c"), std::nullopt, "", "uid:0", "", At(3)};
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    for (Promotion* promotion : {&first, &second, &other})
      promotion->id = TRY(rows.AppendPromotion(*promotion));
    return {};
  });
  EXPECT_EQ(first.id, 1U);
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListPromotions("shop/web"); }),
              testing::ElementsAre(first, second));
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.ListPromotions(""); }).size(), 3U);
  EXPECT_TRUE(Read([](const CatalogRows& rows) { return rows.IsChannel("shop/web", "production"); }));
  EXPECT_FALSE(Read([](const CatalogRows& rows) { return rows.IsChannel("shop/web", "staging"); }));
}

TEST_P(CatalogContract, RetentionOfProjectsIsReplaced) {
  MustWrite([](CatalogRows& rows) -> Result<void> {
    TRY(rows.SetProjectRetention({"shop", 3, std::nullopt}));
    TRY(rows.SetProjectRetention({"blog", 1, std::nullopt}));
    TRY(rows.SetProjectRetention({"shop", std::nullopt, Milliseconds(90)}));
    return rows.SetProjectRetention({"blog", std::nullopt, std::nullopt});
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListProjectRetention(); }),
              testing::ElementsAre(ProjectRetention{"shop", std::nullopt, Milliseconds(90)}));
}

TEST_P(CatalogContract, ReservationsAndUsageAreNoChange) {
  const int64_t before = Generation();
  const Reservation mine{"aa", "boot", 5, 6, 7, uint64_t{1} << 40};
  const DiskUsage usage{uint64_t{1} << 41, 12, "boot"};
  MustWrite([&](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutReservation({"bb", "boot", 1, 2, 3, 4}));
    TRY(rows.PutReservation(mine));
    TRY(rows.PutReservation({"bb", "boot", 1, 2, 3, 0}));
    TRY(rows.PutDiskUsage(DiskUsage{1, 1, "x"}));
    return rows.PutDiskUsage(usage);
  });
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListReservations(); }),
              testing::ElementsAre(mine));
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindDiskUsage(); }), usage);
  MustWrite([](CatalogRows& rows) { return rows.PutDiskUsage(std::nullopt); });
  EXPECT_EQ(Read([](const CatalogRows& rows) { return rows.FindDiskUsage(); }), std::nullopt);
  EXPECT_EQ(Generation(), before);
}

TEST_P(CatalogContract, AFailedWriteChangesNothing) {
  const int64_t before = Generation();
  auto failed = Write([](CatalogRows& rows) -> Result<void> {
    TRY(rows.PutLayer(MakeLayer("a")));
    EXPECT_EQ(rows.FindLayers(L("a"))->size(), 1U);  // a write sees itself
    return Error(Code::kFailed, "on purpose");
  });
  EXPECT_EQ(failed.error().code(), Code::kFailed);
  EXPECT_THAT(Read([](const CatalogRows& rows) { return rows.ListLayers(); }), testing::IsEmpty());
  EXPECT_EQ(Generation(), before);
  MustWrite([](CatalogRows& rows) { return rows.PutLayer(MakeLayer("a")); });
  EXPECT_GT(Generation(), before);
}

}  // namespace ingot::store
