#include "registry/image_pull.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/subprocess.h"
#include "oci/image_config.h"
#include "oci/index.h"
#include "oci/manifest.h"
#include "registry/fake_client_http.h"
#include "store/store_fixture.h"
#include "store/tar_writer.h"
#include "store/verify.h"

namespace ingot::registry {
namespace {

using store::Must;
using testing::HasSubstr;

constexpr std::string_view kReference = "registry.example/app:1";

std::string Compressed(const std::string& program, const std::string& bytes) {
  Command command;
  command.argv = {program, "-c"};
  return Must(RunChecked(std::move(command), Milliseconds(60'000), bytes));
}

class ImagePullTest : public store::StoreTest {
 protected:
  ImagePullTest() : lease_(Must(store_->TakeLease("test"))) {}

  std::string Tar(const std::map<std::string, std::string>& files) {
    std::string tar;
    Must(store::WriteTar(store::TreeOf(store_->objects(), files), store_->objects(),
                         [&](std::string_view piece) -> Result<void> {
                           tar += piece;
                           return {};
                         }));
    return tar;
  }
  // Adds a manifest with these layers (blob and tar).
  struct Made {
    std::string_view type;
    std::string blob;
    std::string tar;
  };
  oci::Descriptor Add(const std::vector<Made>& layers, const std::string& tag,
                      std::string_view manifest_type = oci::kManifestType,
                      std::string_view config_type = oci::kConfigType, const std::string& architecture = "") {
    oci::ImageConfig config;
    config.architecture = architecture.empty() ? oci::HostPlatform().architecture : architecture;
    config.os = "linux";
    config.config.cmd = {{"/app"}};
    oci::Manifest manifest;
    manifest.media_type = manifest_type;
    for (const Made& layer : layers) {
      config.diff_ids.push_back(oci::Digest::Of(layer.tar));
      manifest.layers.push_back(registry_.AddBlob(layer.type, layer.blob));
    }
    manifest.config = registry_.AddBlob(config_type, config.Render());
    return registry_.AddManifest(manifest_type, manifest.Render(), tag);
  }
  Result<PulledImage> Pull(std::string_view reference = kReference) {
    Client client(http_, nullptr, clock_fake_);
    return PullImage(client, *store_, Must(oci::Reference::Parse(reference)).Normalized(), lease_, options_);
  }
  // Nothing that anybody could find: no row, no blob, no layer, no object.
  void ExpectNothingLeft() {
    EXPECT_TRUE(Must(store_->ListImages()).empty());
    for (const std::string& file : store::FilesBelow(root_))
      EXPECT_TRUE(file.starts_with("claims/") || file.starts_with("objects.staging/")) << file;
  }
  size_t Asked(const std::string& what) {
    const auto requests = http_.requests();
    return static_cast<size_t>(std::count_if(
        requests.begin(), requests.end(),
        [&](const ClientRequest& request) { return request.url.target.find(what) != std::string::npos; }));
  }

  store::Lease lease_;
  FakeRegistry registry_;
  std::function<void(FakeAnswer&)> spoil_;
  FakeClientHttp http_{[this](const ClientRequest& request) -> Result<FakeAnswer> {
    FakeAnswer answer = registry_.Serve(request);
    if (spoil_) spoil_(answer);
    return answer;
  }};
  SystemClock clock_fake_;
  PullOptions options_;
};

TEST_F(ImagePullTest, EveryFormatOfLayerIsSealedAndKeptVerbatim) {
  if (!FindProgram("gzip") || !FindProgram("zstd")) GTEST_SKIP() << "SKIP: no gzip or zstd";
  const std::string plain = Tar({{"etc/plain", "p"}});
  const std::string gzip = Tar({{"etc/gzip", "g"}});
  const std::string zstd = Tar({{"etc/zstd", "z"}});
  const oci::Descriptor manifest = Add({{oci::kLayerTarType, plain, plain},
                                        {oci::kLayerGzipType, Compressed("gzip", gzip), gzip},
                                        {oci::kLayerZstdType, Compressed("zstd", zstd), zstd}},
                                       "1");
  const auto pulled = Pull();
  ASSERT_TRUE(pulled) << pulled.error().Render();
  EXPECT_EQ(pulled->digest, manifest.digest);
  EXPECT_EQ(pulled->manifest, manifest.digest);
  EXPECT_EQ(pulled->layers, 3u);
  EXPECT_FALSE(pulled->known);
  const store::Image image = Must(store_->GetImage(pulled->manifest));
  EXPECT_FALSE(image.golden);
  EXPECT_EQ(image.config.config.cmd, std::vector<std::string>{"/app"});
  const store::Tree tree = Must(store_->MergeLayers(image.layers));
  for (const char* name : {"etc/plain", "etc/gzip", "etc/zstd"}) EXPECT_NE(tree.Find(name), nullptr) << name;
  EXPECT_FALSE(Must(store_->HasBlob(image.manifest.layers[0].digest)))
      << "our own tar is made when it is read";
  EXPECT_EQ(Must(store_->GetBlob(image.manifest.layers[1].digest)), Compressed("gzip", gzip));
  EXPECT_TRUE(Must(store_->HasBlob(image.manifest.layers[2].digest)));
  EXPECT_THAT(image.provenance, HasSubstr("registry.example/app:1"));
  EXPECT_TRUE(Must(store::Verify(*store_, {})).ok());
}

TEST_F(ImagePullTest, WhatTheStoreHasIsNotTransferredAgain) {
  const std::string base = Tar({{"base", "b"}});
  const std::string one = Tar({{"one", "1"}});
  const std::string two = Tar({{"two", "2"}});
  Add({{oci::kLayerTarType, base, base}, {oci::kLayerTarType, one, one}}, "1");
  const oci::Descriptor second = Add({{oci::kLayerTarType, base, base}, {oci::kLayerTarType, two, two}}, "2");
  ASSERT_TRUE(Pull());
  EXPECT_EQ(Asked("/blobs/"), 3u) << "a configuration, two layers";
  const auto again = Pull();
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->known);
  EXPECT_EQ(Asked("/blobs/"), 3u);
  const auto other = Pull("registry.example/app:2");
  ASSERT_TRUE(other) << other.error().Render();
  EXPECT_EQ(Asked("/blobs/"), 5u) << "its configuration and the layer that is new";
  const store::Tree tree = Must(store_->MergeLayers(Must(store_->GetImage(other->manifest)).layers));
  EXPECT_NE(tree.Find("base"), nullptr);
  EXPECT_NE(tree.Find("two"), nullptr);
  // By digest nothing at all is asked.
  const size_t asked = http_.requests().size();
  ASSERT_TRUE(Pull("registry.example/app@" + second.digest.Render()));
  EXPECT_EQ(http_.requests().size(), asked);
  EXPECT_EQ(Must(FindPulled(*store_, second.digest, nullptr)), second.digest);
  EXPECT_EQ(Must(FindPulled(*store_, oci::Digest::Of("x"), nullptr)), std::nullopt);
}

TEST_F(ImagePullTest, AnIndexLeadsToThisMachine) {
  const std::string tar = Tar({{"app", "a"}});
  oci::Descriptor mine =
      Add({{oci::kDockerLayerTarType, tar, tar}}, "", oci::kDockerManifestType, oci::kDockerConfigType);
  mine.platform = oci::HostPlatform();
  oci::Descriptor other =
      Add({{oci::kLayerTarType, tar, tar}}, "", oci::kManifestType, oci::kConfigType, "s390x");
  other.platform = oci::Platform{"s390x", "linux", "", {}, ""};
  oci::Index index;
  index.media_type = oci::kDockerListType;
  index.manifests = {other, mine};
  const oci::Descriptor top = registry_.AddManifest(oci::kDockerListType, index.Render(), "1");
  const auto pulled = Pull();
  ASSERT_TRUE(pulled) << pulled.error().Render();
  EXPECT_EQ(pulled->digest, top.digest);
  EXPECT_EQ(pulled->manifest, mine.digest);
  EXPECT_EQ(Must(FindPulled(*store_, top.digest, nullptr)), mine.digest);
  index.manifests = {other};
  registry_.AddManifest(oci::kDockerListType, index.Render(), "2");
  const auto none = Pull("registry.example/app:2");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kNotFound);
  EXPECT_THAT(none.error().message(), HasSubstr("; it has linux/s390x"));
  mine.size_bytes += 1;
  index.manifests = {mine};
  index.annotations["x"] = "y";
  registry_.AddManifest(oci::kDockerListType, index.Render(), "3");
  EXPECT_EQ(Pull("registry.example/app:3").error().code(), Code::kInvalid);
}

TEST_F(ImagePullTest, ForeignImagesAreRefusedByName) {
  const std::string tar = Tar({{"app", "a"}});
  Add({{oci::kLayerTarType, tar, tar}}, "1", oci::kManifestType, oci::kConfigType, "s390x");
  const auto machine = Pull();
  EXPECT_EQ(machine.error().code(), Code::kUnsupported);
  EXPECT_THAT(machine.error().message(), HasSubstr("it is for linux/s390x"));
  Add({{oci::kLayerTarType, tar, tar}}, "2", oci::kManifestType, "application/vnd.cncf.helm.config.v1+json");
  EXPECT_THAT(Pull("registry.example/app:2").error().message(), HasSubstr("no image but an artifact"));
  Add({{"application/vnd.oci.image.layer.v1.tar+gzip+encrypted", tar, tar}}, "3");
  EXPECT_EQ(Pull("registry.example/app:3").error().code(), Code::kUnsupported);
  Add({}, "4");
  EXPECT_EQ(Pull("registry.example/app:4").error().code(), Code::kUnsupported);
  EXPECT_EQ(Pull("registry.example/app:5").error().code(), Code::kNotFound);
  ExpectNothingLeft();
}

TEST_F(ImagePullTest, AHostileLayerLeavesNothing) {
  const std::string good = Tar({{"app", std::string(3'000'000, 'a')}});
  const auto with = [&](const std::string& blob, const std::string& tar,
                        std::string_view type = oci::kLayerTarType) {
    registry_ = {};
    Add({{oci::kLayerTarType, good, good}, {type, blob, tar}}, "1");
    return Pull();
  };
  // Another tar than the configuration says.
  auto pulled = with(good, good + "x");
  EXPECT_EQ(pulled.error().code(), Code::kInvalid);
  EXPECT_THAT(pulled.error().message(), HasSubstr("unpacks to"));
  pulled = with("not a tar", "not a tar");
  EXPECT_EQ(pulled.error().code(), Code::kInvalid);
  pulled = with("\x1f\x8b\x08 damaged", "x", oci::kLayerGzipType);
  EXPECT_EQ(pulled.error().code(), Code::kInvalid);
  // Names that lead out: "aaa/x" becomes "../" and "/x", with the checksum put right.
  std::string out = Tar({{"aa/x", "x"}});
  ASSERT_EQ(out.substr(512 * 0, 3), "aa/");
  out.replace(0, 2, "..");
  std::string sum = out.substr(148, 6);
  char text[8];
  std::snprintf(text, sizeof text, "%06lo", std::stoul(sum, nullptr, 8) - 2 * 'a' + 2 * '.');
  out.replace(148, 6, text);
  pulled = with(out, out);
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code(), Code::kInvalid);
  EXPECT_THAT(pulled.error().Render(), HasSubstr("lead out"));
  // Bytes that are not the digest's.
  spoil_ = [](FakeAnswer& answer) {
    if (answer.body.size() > 1'000'000) answer.body[500'000] ^= 1;
  };
  pulled = with(good, good);
  EXPECT_EQ(pulled.error().code(), Code::kInvalid);
  EXPECT_THAT(pulled.error().message(), HasSubstr("has other contents"));
  spoil_ = [](FakeAnswer& answer) {
    if (answer.body.size() > 1'000'000) answer.body += "more";
  };
  EXPECT_EQ(with(good, good).error().code(), Code::kInvalid);
  spoil_ = nullptr;
  ExpectNothingLeft();
  EXPECT_TRUE(with(good, good)) << "and the same store takes a good one afterwards";
}

TEST_F(ImagePullTest, TellsOfItsProgress) {
  const std::string tar = Tar({{"app", std::string(100'000, 'a')}});
  Add({{oci::kLayerTarType, tar, tar}}, "1");
  std::vector<PullProgress> told;
  options_.progress = [&](const PullProgress& progress) { told.push_back(progress); };
  ASSERT_TRUE(Pull());
  ASSERT_GT(told.size(), 2u);
  EXPECT_EQ(told.front().done_bytes, 0u);
  EXPECT_EQ(told.front().total_bytes, tar.size());
  EXPECT_EQ(told.back().done_bytes, tar.size());
  EXPECT_EQ(told.back().layers_done, 1u);
}

}  // namespace
}  // namespace ingot::registry
