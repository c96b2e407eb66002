#include "registry/upstreams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "oci/manifest.h"
#include "registry/fake_client_http.h"
#include "registry/registry.h"
#include "store/store_fixture.h"

namespace ingot::registry {
namespace {

using store::Must;
using testing::HasSubstr;

class UpstreamsTest : public store::StoreTest {
 protected:
  void SetUp() override {
    oci::Manifest manifest;
    manifest.config = there_.AddBlob(oci::kConfigType, "{}");
    layer_ = there_.AddBlob(oci::kLayerTarType, std::string(5000, 'x'));
    manifest.layers = {layer_};
    manifest_ = there_.AddManifest(oci::kManifestType, manifest.Render(), "1");
    Open(false);
  }
  void Open(bool offline) {
    registry_.reset();
    Registry::Options options;
    options.uploads = root_ / "uploads";
    Upstream upstream;
    upstream.matches = [](std::string_view repository) { return repository.starts_with("up.example/"); };
    upstream.registry = "up.example";
    upstream.ttl = Milliseconds(60'000);
    upstream.offline = offline;
    options.upstreams = {upstream};
    options.upstream_client = &client_;
    options.log = [this](const std::string& text) { log_.lock()->push_back(text); };
    registry_ = Must(Registry::Open(*store_, clock_fake_, options));
  }
  Response Ask(const std::string& path, const std::string& method = "GET", const std::string& range = "") {
    Request request;
    request.method = method;
    request.path = "/v2/up.example/team/app" + path;
    request.range = range;
    return registry_->Begin(request)->Finish();
  }
  // A body that grows, to its end; nullopt when it fails.
  static std::optional<std::string> Whole(const Response& response) {
    if (!response.growing) return response.text;
    std::string bytes;
    uint64_t at = response.growing->offset;
    const uint64_t end = at + response.growing->size_bytes;
    while (at < end) {
      const auto grown = response.growing->file->Look(at, [] {});
      if (grown.size_bytes <= at) {
        if (grown.failed) return std::nullopt;
        std::this_thread::sleep_for(Milliseconds(1));
        continue;
      }
      std::string piece(std::min(grown.size_bytes, end) - at, '\0');
      if (::pread(response.growing->file->fd(), piece.data(), piece.size(), static_cast<off_t>(at)) !=
          static_cast<ssize_t>(piece.size()))
        return std::nullopt;
      at += piece.size();
      bytes += piece;
    }
    return bytes;
  }
  size_t Asked(const std::string& what) {
    const auto requests = http_.requests();
    return static_cast<size_t>(std::count_if(
        requests.begin(), requests.end(),
        [&](const ClientRequest& request) { return request.url.target.find(what) != std::string::npos; }));
  }

  FakeClock clock_fake_;
  FakeRegistry there_;
  oci::Descriptor manifest_;
  oci::Descriptor layer_;
  std::atomic<bool> gone_{false};
  FakeClientHttp http_{[this](const ClientRequest& request) -> Result<FakeAnswer> {
    if (gone_) return Error(Code::kUnavailable, "up.example: nobody accepts a connection");
    FakeAnswer answer = there_.Serve(request);
    answer.headers.emplace("content-length", std::to_string(answer.body.size()));
    if (request.method == "HEAD") answer.body.clear();
    return answer;
  }};
  Client client_{http_,
                 nullptr,
                 clock_fake_,
                 {.mirrors = {},
                  .attempts = 1,
                  .first_wait = Milliseconds(1),
                  .mirror_pause = Milliseconds(1),
                  .notice = {}}};
  Sync<std::vector<std::string>> log_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(UpstreamsTest, NamesOfRegistriesAreNotSaidThere) {
  Upstream upstream;
  upstream.registry = "up.example";
  EXPECT_EQ(upstream.ReferenceOf("up.example/team/app").repository, "team/app");
  EXPECT_EQ(upstream.ReferenceOf("team/app").repository, "team/app");
  EXPECT_EQ(upstream.ReferenceOf("app").repository, "app");
  upstream.registry = "docker.io";
  EXPECT_EQ(upstream.ReferenceOf("docker.io/redis").repository, "library/redis");
}

TEST_F(UpstreamsTest, ATagIsAskedForAgainWhenItsTimeIsUp) {
  EXPECT_EQ(Ask("/manifests/1").text, there_.manifests.at("1").second);
  EXPECT_EQ(Asked("/manifests/"), 1u);
  EXPECT_EQ(Ask("/manifests/1").status, 200);
  EXPECT_EQ(Ask("/manifests/" + manifest_.digest.Render()).status, 200);
  EXPECT_EQ(Asked("/manifests/"), 1u);
  clock_fake_.Sleep(Milliseconds(60'001));
  EXPECT_EQ(Ask("/manifests/1").status, 200);
  EXPECT_EQ(Asked("/manifests/"), 2u);
  EXPECT_EQ(http_.requests().back().method, "HEAD");
  EXPECT_EQ(Ask("/manifests/2").status, 404);
}

TEST_F(UpstreamsTest, AnOldTagIsServedWhenNobodyAnswers) {
  EXPECT_EQ(Ask("/manifests/1").status, 200);
  gone_ = true;
  EXPECT_EQ(Ask("/manifests/2").status, 502);
  clock_fake_.Sleep(Milliseconds(120'000));
  const Response old = Ask("/manifests/1");
  EXPECT_EQ(old.status, 200);
  EXPECT_EQ(old.Header("Warning"), "110 - \"Response is Stale\"");
  EXPECT_EQ(old.Header("Age"), "120");
  EXPECT_THAT(log_.lock()->back(), HasSubstr("served as it was"));
  Open(true);
  const size_t asked = http_.requests().size();
  EXPECT_EQ(Ask("/manifests/1").status, 200);
  EXPECT_EQ(Ask("/manifests/2").status, 404);
  EXPECT_EQ(Ask("/blobs/" + layer_.digest.Render()).status, 404);
  EXPECT_EQ(http_.requests().size(), asked);
}

TEST_F(UpstreamsTest, ABlobIsFetchedOnceForAllWhoAskForIt) {
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back([&] {
      const Response response = Ask("/blobs/" + layer_.digest.Render());
      const std::string file(layer_.size_bytes, 'x');
      if (response.status == 200 && (response.file || Whole(response) == file)) ++good;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 20);
  EXPECT_EQ(Asked("/blobs/"), 1u);
  registry_->Interrupt();
  EXPECT_TRUE(Must(store_->HasBlob(layer_.digest)));
}

TEST_F(UpstreamsTest, AWrongBlobIsNeverWhole) {
  there_.blobs[layer_.digest.Render()][7] = 'y';
  const Response response = Ask("/blobs/" + layer_.digest.Render());
  EXPECT_EQ(Whole(response), std::nullopt);
  registry_->Interrupt();
  EXPECT_FALSE(Must(store_->HasBlob(layer_.digest)));
  EXPECT_THAT(log_.lock()->back(), HasSubstr("other contents"));
}

TEST_F(UpstreamsTest, NobodyPushesToACopy) {
  EXPECT_EQ(Ask("/blobs/uploads/", "POST").status, 403);
  EXPECT_EQ(Ask("/manifests/1", "PUT").status, 403);
  EXPECT_EQ(Ask("/manifests/1", "GET").status, 200);
  EXPECT_EQ(Ask("/manifests/1", "DELETE").status, 202);
}

}  // namespace
}  // namespace ingot::registry
