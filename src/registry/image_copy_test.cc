#include "registry/image_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/index.h"
#include "oci/manifest.h"
#include "registry/archive_files.h"
#include "registry/docker_archive.h"
#include "registry/docker_archive_target.h"
#include "registry/fake_client_http.h"
#include "registry/layout_image.h"
#include "registry/layout_target.h"
#include "registry/remote_image.h"
#include "store/store_fixture.h"

namespace ingot::registry {
namespace {

using store::Must;
using testing::HasSubstr;

// A registry that is pushed to, and cuts connections off when told to.
class PushedRegistry {
 public:
  FakeRegistry content;
  std::map<std::string, std::string> uploads;  // by id
  std::optional<size_t> cut_after;             // bytes of the next PATCH
  bool forgets = false;                        // uploads that were cut off
  bool knows_referrers = false;
  bool mounts = false;
  std::vector<std::string> log;  // "PATCH 100"

  Result<FakeAnswer> Serve(const ClientRequest& request) {
    const std::string& target = request.url.target;
    const std::string method = request.method.empty() ? "GET" : request.method;
    const size_t uploads_at = target.find("/blobs/uploads/");
    if (uploads_at != std::string::npos) return Upload(method, request, target.substr(uploads_at + 15));
    if (target.find("/manifests/") != std::string::npos && method == "PUT") {
      const std::string bytes = Body(request, std::nullopt);
      const std::string type = HeaderOf(request, "Content-Type");
      const std::string name = target.substr(target.rfind('/') + 1);
      content.AddManifest(type, bytes, name.find(':') == std::string::npos ? name : "");
      log.push_back("PUT " + name.substr(0, 20));
      FakeAnswer answer = Status(201);
      if (knows_referrers) answer.headers.emplace("oci-subject", "sha256:x");
      return answer;
    }
    FakeAnswer answer = content.Serve(request);
    if (method == "HEAD") answer.body.clear();
    return answer;
  }

 private:
  static FakeAnswer Status(int status) {
    FakeAnswer answer;
    answer.status = status;
    return answer;
  }
  static std::string Body(const ClientRequest& request, std::optional<size_t> limit) {
    std::string bytes;
    char buffer[777];
    while (bytes.size() < request.upload->size_bytes && bytes.size() < limit.value_or(SIZE_MAX)) {
      const size_t want = std::min<size_t>(sizeof buffer, limit.value_or(SIZE_MAX) - bytes.size());
      auto n = request.upload->read(buffer, want);
      if (!n || *n == 0) break;
      bytes.append(buffer, *n);
    }
    return bytes;
  }
  Result<FakeAnswer> Upload(const std::string& method, const ClientRequest& request, std::string id) {
    const size_t query = id.find('?');
    const std::string digest = query == std::string::npos ? "" : id.substr(id.find("sha256%3A", query) + 9);
    if (method == "POST") {
      if (mounts && id.find("mount=") != std::string::npos) return Status(201);
      const std::string made = "u" + std::to_string(uploads.size() + log.size());
      uploads[made] = "";
      log.push_back("POST");
      FakeAnswer answer = Status(202);
      answer.headers.emplace("location", "/v2/app/blobs/uploads/" + made + "?state=1");
      return answer;
    }
    id = id.substr(0, query);
    if (!uploads.contains(id)) return Status(404);
    std::string& upload = uploads[id];
    if (method == "GET") {
      FakeAnswer answer = Status(204);
      answer.headers.emplace("range", "0-" + std::to_string(upload.empty() ? 0 : upload.size() - 1));
      return answer;
    }
    const auto cut = method == "PATCH" ? std::exchange(cut_after, std::nullopt) : std::nullopt;
    const std::string bytes = Body(request, cut);
    log.push_back(method + " " + std::to_string(bytes.size()));
    upload += bytes;
    if (cut) {
      if (forgets) uploads.erase(id);
      return Error(Code::kUnavailable, "registry.example: the connection broke");
    }
    if (bytes.size() < request.upload->size_bytes)  // the sender gave up
      return Error(Code::kUnavailable, "registry.example: the connection broke");
    if (method == "PATCH") {
      FakeAnswer answer = Status(202);
      answer.headers.emplace("location", "/v2/app/blobs/uploads/" + id + "?state=2");
      return answer;
    }
    if (oci::Digest::Of(upload).hex() != digest) return Status(400);
    content.AddBlob("", upload);
    uploads.erase(id);
    return Status(201);
  }
};

// An image in memory; may lie about a blob.
class MemorySource final : public ImageSource {
 public:
  FakeRegistry content;
  oci::Digest chosen;
  std::vector<oci::Descriptor> referrers;
  std::string name() const override { return "memory"; }
  Result<RemoteManifest> GetManifest(const std::optional<oci::Digest>& digest,
                                     const std::atomic<bool>*) override {
    const auto found = content.manifests.find(digest.value_or(chosen).Render());
    if (found == content.manifests.end()) return Error(Code::kNotFound, "no manifest");
    return RemoteManifest{oci::Digest::Of(found->second.second), found->second.first, found->second.second};
  }
  Result<void> GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                       const std::atomic<bool>*) override {
    const std::string& bytes = content.blobs.at(blob.digest.Render());
    for (size_t at = offset; at < bytes.size(); at += 1000)
      TRY(sink(std::string_view(bytes).substr(at, 1000)));
    return {};
  }
  Result<std::vector<oci::Descriptor>> ListReferrers(const oci::Digest& subject) override {
    return subject == chosen ? referrers : std::vector<oci::Descriptor>();
  }
};

std::string Noise(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 1;
  for (char& c : bytes) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

class ImageCopyTest : public testing::Test {
 protected:
  // A manifest whose only layer is `layer`.
  oci::Descriptor Image(const std::string& layer, const std::string& architecture = "amd64") {
    oci::Manifest manifest;
    const std::string config = R"({"architecture":")" + architecture +
                               R"(","os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
                               oci::Digest::Of(layer).Render() + "\"]}}";
    manifest.config = source_.content.AddBlob(oci::kConfigType, config);
    manifest.layers = {source_.content.AddBlob(oci::kLayerTarType, layer)};
    oci::Descriptor made = source_.content.AddManifest(oci::kManifestType, manifest.Render());
    made.platform = oci::Platform{architecture, "linux", "", {}, ""};
    source_.chosen = made.digest;
    return made;
  }
  Result<CopiedImage> Push(const std::optional<oci::Reference>& from = std::nullopt) {
    Client client(http_, nullptr, clock_);
    RemoteTarget target(client, oci::Reference::Parse("registry.example/app:1")->Normalized(), from);
    return CopyImage(source_, target, options_);
  }
  std::string Temp(const std::string& name) { return testing::TempDir() + "copy-" + name; }

  PushedRegistry registry_;
  FakeClientHttp http_{[this](const ClientRequest& request) {
    const std::lock_guard lock(mutex_);
    return registry_.Serve(request);
  }};
  std::mutex mutex_;
  MemorySource source_;
  FakeClock clock_;
  CopyOptions options_{.jobs = 1, .platform = {}, .referrers = false, .progress = {}};
};

TEST_F(ImageCopyTest, PushesWhatIsMissingAndNamesItLast) {
  const std::string layer = Noise(3 << 20);
  const auto made = Image(layer);
  CopyProgress last;
  options_.progress = [&](const CopyProgress& progress) { last = progress; };
  const auto first = Push();
  ASSERT_TRUE(first) << first.error().Render();
  EXPECT_EQ(first->digest, made.digest);
  EXPECT_EQ(first->blobs_copied, 2u);
  EXPECT_EQ(registry_.content.manifests.at("1").second, source_.content.manifests.begin()->second.second);
  EXPECT_EQ(registry_.content.blobs, source_.content.blobs);
  EXPECT_EQ(last.done_bytes, last.total_bytes);
  EXPECT_EQ(last.blobs_done, 2u);
  EXPECT_EQ(registry_.log.back(), "PUT 1");
  const auto again = Push();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->blobs_copied, 0u);
  EXPECT_EQ(again->copied_bytes, 0u);
}

TEST_F(ImageCopyTest, AnUploadThatIsCutOffGoesOnWhereItStands) {
  Image(Noise(3 << 20));
  registry_.cut_after = 2 << 20;
  ASSERT_TRUE(Push());
  EXPECT_THAT(registry_.log, testing::Contains("PATCH 2097152"));
  EXPECT_THAT(registry_.log, testing::Contains("PATCH 1048576"));
  EXPECT_EQ(registry_.content.blobs, source_.content.blobs);
}

TEST_F(ImageCopyTest, AnUploadThatIsForgottenBeginsAgain) {
  Image(Noise(3 << 20));
  registry_.cut_after = 2 << 20;
  registry_.forgets = true;
  ASSERT_TRUE(Push());
  EXPECT_THAT(registry_.log, testing::Contains("PATCH 3145728"));
  EXPECT_EQ(registry_.content.blobs, source_.content.blobs);
}

TEST_F(ImageCopyTest, AWrongBlobIsNeverEndedAndTheTagStays) {
  const auto made = Image(Noise(3 << 20));
  for (auto& [digest, bytes] : source_.content.blobs)
    if (bytes.size() > 1000) bytes[5] ^= 1;
  const auto pushed = Push();
  ASSERT_FALSE(pushed);
  EXPECT_EQ(pushed.error().code(), Code::kInvalid);
  EXPECT_THAT(pushed.error().Render(), HasSubstr("has other contents"));
  EXPECT_FALSE(registry_.content.manifests.contains("1"));
  EXPECT_THAT(registry_.log, testing::Not(testing::Contains(testing::StartsWith("PUT 0"))));
}

TEST_F(ImageCopyTest, BlobsOfTheSameRegistryAreMounted) {
  Image(Noise(3 << 20));
  registry_.mounts = true;
  auto from = oci::Reference::Parse("registry.example/other:1")->Normalized();
  auto mounted = Push(from);
  ASSERT_TRUE(mounted) << mounted.error().Render();
  EXPECT_EQ(mounted->blobs_mounted, 2u);
  EXPECT_EQ(mounted->copied_bytes, 0u);
  const auto requests = http_.requests();
  EXPECT_TRUE(std::any_of(requests.begin(), requests.end(), [](const ClientRequest& request) {
    return request.method == "POST" && request.url.target.ends_with("&from=other");
  }));
  from.registry = "elsewhere.example";
  registry_.content = {};
  mounted = Push(from);
  ASSERT_TRUE(mounted);
  EXPECT_EQ(mounted->blobs_mounted, 0u);
}

TEST_F(ImageCopyTest, AnIndexGoesWholeOrForOnePlatform) {
  oci::Index index;
  index.manifests = {Image(Noise(10), "amd64"), Image(Noise(20), "arm64")};
  const auto arm = index.manifests[1].digest;
  source_.chosen = source_.content.AddManifest(oci::kIndexType, index.Render()).digest;
  options_.platform = Must(ParsePlatform("linux/arm64"));
  auto pushed = Push();
  ASSERT_TRUE(pushed) << pushed.error().Render();
  EXPECT_EQ(pushed->digest, arm);
  EXPECT_EQ(registry_.content.manifests.size(), 2u);  // by tag and digest
  options_.platform.reset();
  pushed = Push();
  ASSERT_TRUE(pushed);
  EXPECT_EQ(pushed->digest, source_.chosen);
  EXPECT_EQ(pushed->manifests, 3u);
  options_.platform = Must(ParsePlatform("linux/s390x"));
  EXPECT_EQ(Push().error().code(), Code::kNotFound);
  EXPECT_FALSE(ParsePlatform("linux"));
  EXPECT_FALSE(ParsePlatform("a/b/c/d"));
}

TEST_F(ImageCopyTest, ReferrersGoAlongAndAreListedUnderATagWhereThereIsNoApi) {
  const auto made = Image(Noise(10));
  oci::Manifest signature;
  signature.artifact_type = "application/x-signature";
  signature.config = source_.content.AddBlob(oci::kEmptyType, "{}");
  signature.subject = made;
  signature.subject->platform.reset();
  source_.referrers = {source_.content.AddManifest(oci::kManifestType, signature.Render())};
  ASSERT_TRUE(Push());
  EXPECT_FALSE(registry_.content.manifests.contains(source_.referrers[0].digest.Render()));
  options_.referrers = true;
  const auto pushed = Push();
  ASSERT_TRUE(pushed) << pushed.error().Render();
  EXPECT_EQ(pushed->referrers, 1u);
  const std::string tag = "sha256-" + std::string(made.digest.hex());
  const auto list = Must(oci::Index::Parse(registry_.content.manifests.at(tag).second));
  ASSERT_EQ(list.manifests.size(), 1u);
  EXPECT_EQ(list.manifests[0].digest, source_.referrers[0].digest);
  EXPECT_EQ(list.manifests[0].artifact_type, "application/x-signature");
  Client client(http_, nullptr, clock_);
  const auto listed =
      client.ListReferrers(oci::Reference::Parse("registry.example/app:1")->Normalized(), made.digest);
  ASSERT_TRUE(listed) << listed.error().Render();
  EXPECT_EQ(listed->size(), 1u);
  registry_.content = {};
  registry_.knows_referrers = true;
  ASSERT_TRUE(Push());
  EXPECT_FALSE(registry_.content.manifests.contains(tag));
}

TEST_F(ImageCopyTest, ALayoutAndItsTarGiveTheSameBytesBack) {
  const auto made = Image(Noise(100'000));
  const fs::path folder = Temp("layout");
  Must(RemoveTree(folder));
  auto target = Must(LayoutTarget::Open(folder, "1.0"));
  ASSERT_TRUE(CopyImage(source_, *target, options_));
  auto layout = LayoutSource::Open(OpenFolder(folder), "1.0");
  ASSERT_TRUE(layout) << layout.error().Render();
  std::string tar;
  LayoutArchiveTarget archive(
      [&](std::string_view bytes) -> Result<void> {
        tar += bytes;
        return {};
      },
      "app:1");
  ASSERT_TRUE(CopyImage(**layout, archive, options_));
  Must(WriteFileAtomic(Temp("tar"), tar));
  auto again = LayoutSource::Open(Must(OpenTar(Temp("tar"), testing::TempDir())), "");
  ASSERT_TRUE(again) << again.error().Render();
  EXPECT_EQ((*again)->ref_name(), "app:1");
  MemorySource before = source_;
  Client client(http_, nullptr, clock_);
  RemoteTarget remote(client, oci::Reference::Parse("registry.example/app:1")->Normalized(), std::nullopt);
  const auto copied = CopyImage(**again, remote, options_);
  ASSERT_TRUE(copied) << copied.error().Render();
  EXPECT_EQ(copied->digest, made.digest);
  EXPECT_EQ(registry_.content.blobs, before.content.blobs);
  EXPECT_EQ(LayoutSource::Open(OpenFolder(folder), "2.0").error().code(), Code::kNotFound);
}

TEST_F(ImageCopyTest, ADockerArchiveHasTheLayersUnpacked) {
  Image(Noise(100'000));
  std::string tar;
  DockerArchiveTarget target(
      [&](std::string_view bytes) -> Result<void> {
        tar += bytes;
        return {};
      },
      "shop/app:1", testing::TempDir());
  ASSERT_TRUE(CopyImage(source_, target, options_));
  Must(WriteFileAtomic(Temp("docker"), tar));
  auto source = DockerArchiveSource::Open(Must(OpenTar(Temp("docker"), testing::TempDir())), "");
  ASSERT_TRUE(source) << source.error().Render();
  EXPECT_THAT((*source)->tags(), testing::ElementsAre("shop/app:1"));
  ASSERT_TRUE(Push());
  const auto pushed_blobs = registry_.content.blobs;
  EXPECT_EQ(pushed_blobs, source_.content.blobs);
  EXPECT_EQ(
      DockerArchiveSource::Open(Must(OpenTar(Temp("docker"), testing::TempDir())), "other").error().code(),
      Code::kNotFound);
}

TEST(ArchiveFilesTest, RefusesWhatLeadsOutAndWhatIsCut) {
  std::string tar;
  ArchiveWriter writer([&](std::string_view bytes) -> Result<void> {
    tar += bytes;
    return {};
  });
  Must(writer.Add("a/b", "hello"));
  Must(writer.Finish());
  const std::string path = testing::TempDir() + "files.tar";
  Must(WriteFileAtomic(path, tar));
  auto files = Must(OpenTar(path, testing::TempDir()));
  EXPECT_EQ(Must(files->Read("a/b", 100)), "hello");
  EXPECT_EQ(files->Read("a/b", 4).error().code(), Code::kInvalid);
  EXPECT_EQ(files->Read("../a/b", 100).error().code(), Code::kNotFound);
  Must(WriteFileAtomic(path, tar.substr(0, 514)));
  EXPECT_EQ(OpenTar(path, testing::TempDir()).error().code(), Code::kInvalid);
  tar.clear();
  Must(writer.Add("a/../../b", "hello"));
  Must(WriteFileAtomic(path, tar));
  const auto escaped = OpenTar(path, testing::TempDir());
  ASSERT_FALSE(escaped);
  EXPECT_THAT(escaped.error().Render(), HasSubstr("leads out"));
}

}  // namespace
}  // namespace ingot::registry
