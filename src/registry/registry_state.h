// What the registry's requests work with. Internal to registry/.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "registry/blob_trust.h"
#include "registry/errors.h"
#include "registry/local_images.h"
#include "registry/manifest_cache.h"
#include "registry/memory_budget.h"
#include "registry/message.h"
#include "registry/pull_log.h"
#include "registry/registry.h"
#include "registry/uploads.h"
#include "registry/upstreams.h"
#include "store/store.h"

namespace ingot::registry {

struct RegistryState {
  store::Store& store;
  const Clock& clock;
  Registry::Options options;
  std::unique_ptr<Uploads> uploads;
  LocalImages local;
  ManifestCache manifests;
  MemoryBudget manifest_memory;  // of manifests being pushed
  BlobTrust trust{};
  PullLog pulls = {};
  std::unique_ptr<Upstreams> upstreams = nullptr;  // may be nullptr
};

// The answer, or what ErrorAnswer makes of the Error.
inline Response AnswerOf(Result<Response> answer) {
  return answer ? std::move(answer).value() : ErrorAnswer(answer.error());
}

// An Exchange whose answer depends on no body.
class Answer final : public Exchange {
 public:
  enum class Work { kQuick, kBlocks, kWaitsForOthers };
  Answer(Work work, std::function<Result<Response>()> answer) : work_(work), answer_(std::move(answer)) {}
  bool Blocks() const override { return work_ != Work::kQuick; }
  bool WaitsForOthers() const override { return work_ == Work::kWaitsForOthers; }
  bool WantsBody() const override { return false; }
  bool Write(std::string_view, std::shared_ptr<const void>) override { return false; }
  Response Finish() override { return AnswerOf(answer_()); }

 private:
  Work work_;
  std::function<Result<Response>()> answer_;
};

// An answer that is there already.
class ReadyAnswer final : public Exchange {
 public:
  explicit ReadyAnswer(Response response) : response_(std::move(response)) {}
  bool Blocks() const override { return false; }
  bool WantsBody() const override { return false; }
  bool Write(std::string_view, std::shared_ptr<const void>) override { return false; }
  Response Finish() override { return std::move(response_); }

 private:
  Response response_;
};

inline std::unique_ptr<Exchange> Ready(Response response) {
  return std::make_unique<ReadyAnswer>(std::move(response));
}

// "/v2/REPOSITORY/blobs/DIGEST"
inline std::string BlobLocation(const std::string& repository, const oci::Digest& digest) {
  return "/v2/" + repository + "/blobs/" + digest.Render();
}

inline constexpr const char* kDigestHeader = "Docker-Content-Digest";

}  // namespace ingot::registry
