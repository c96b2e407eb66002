#include "registry/upstreams.h"

#include <algorithm>

#include "base/units.h"
#include "oci/manifest.h"
#include "registry/pushed_manifest.h"

namespace ingot::registry {
namespace {

constexpr std::ptrdiff_t kMostFetches = 32;  // at once
constexpr size_t kMostWaitingFetches = 512;  // with those that wait for their turn
constexpr Milliseconds kDownFor{30'000};

bool Unreachable(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kTimeout;
}

}  // namespace

oci::Reference Upstream::ReferenceOf(std::string_view repository) const {
  oci::Reference reference;
  reference.registry = registry;
  const size_t slash = repository.find('/');
  const std::string_view first = repository.substr(0, slash);
  const bool named = slash != std::string_view::npos && first.find_first_of(".:") != std::string_view::npos;
  reference.repository = named ? repository.substr(slash + 1) : repository;
  // As Docker reads short names.
  if (registry == "docker.io" && reference.repository.find('/') == std::string::npos)
    reference.repository = "library/" + reference.repository;
  return reference;
}

Upstreams::Upstreams(store::Store& store, const Clock& clock, Client& client, std::vector<Upstream> upstreams,
                     std::function<void(const std::string&)> log)
    : store_(store),
      clock_(clock),
      client_(client),
      upstreams_(std::move(upstreams)),
      log_(std::move(log)),
      fetching_(kMostFetches) {}

void Upstreams::Stop() {
  std::vector<std::thread> threads;
  {
    auto state = state_.lock();
    stopping_ = true;
    threads.swap(state->threads);
  }
  for (std::thread& thread : threads) thread.join();
}

const Upstream* Upstreams::Find(std::string_view repository) const {
  for (const Upstream& upstream : upstreams_)
    if (upstream.matches(repository)) return &upstream;
  return nullptr;
}

void Upstreams::Log(const std::string& text) const {
  if (log_) log_(text);
}

Error Upstreams::Offline(const Upstream& upstream) const {
  return Error(Code::kNotFound,
               "it is not here, and " + upstream.registry + " is not asked: this upstream is offline");
}

Result<std::optional<store::Tag>> Upstreams::FindTag(const std::string& repository, const std::string& tag) {
  std::optional<store::Tag> found;
  TRY(store_.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    found = TRY(rows.FindRepositoryTag(repository, tag));
    return {};
  }));
  return found;
}

Result<std::optional<oci::Digest>> Upstreams::FindFresh(const Upstream& upstream,
                                                        const std::string& repository,
                                                        const std::string& tag) {
  const auto found = TRY(FindTag(repository, tag));
  if (!found) return std::optional<oci::Digest>();
  const bool fresh = upstream.offline || clock_.Now() - found->updated < upstream.ttl;
  return fresh ? std::optional<oci::Digest>(found->digest) : std::nullopt;
}

Result<std::optional<oci::Digest>> Upstreams::FindHere(const Upstream& upstream,
                                                       const std::string& repository,
                                                       const std::string& reference) {
  if (reference.find(':') == std::string::npos) return FindFresh(upstream, repository, reference);
  const oci::Digest digest = TRY(oci::Digest::Parse(reference));
  bool here = false;
  TRY(store_.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    here = TRY(rows.FindRepositoryManifest(repository, digest)).has_value();
    return {};
  }));
  return here ? std::optional<oci::Digest>(digest) : std::nullopt;
}

Result<Upstreams::Resolved> Upstreams::ResolveManifest(const Upstream& upstream,
                                                       const std::string& repository,
                                                       const std::string& reference) {
  const std::string key = repository + " " + reference;
  std::shared_ptr<ManifestFlight> flight;
  {
    auto state = state_.lock();
    auto& known = state->manifests[key];
    if (known) {
      flight = known;
      while (!flight->done) state.Wait(changed_);
      return *flight->outcome;
    }
    flight = known = std::make_shared<ManifestFlight>();
  }
  auto outcome = AskForManifest(upstream, repository, reference);
  auto state = state_.lock();
  flight->outcome = outcome;
  flight->done = true;
  state->manifests.erase(key);
  changed_.notify_all();
  return outcome;
}

Result<Upstreams::Resolved> Upstreams::AskForManifest(const Upstream& upstream, const std::string& repository,
                                                      const std::string& reference) {
  const bool by_digest = reference.find(':') != std::string::npos;
  oci::Reference there = upstream.ReferenceOf(repository);
  if (by_digest) {
    there.digest = TRY(oci::Digest::Parse(reference));
  } else {
    there.tag = reference;
  }
  const auto old = by_digest ? std::optional<store::Tag>() : TRY(FindTag(repository, reference));
  // Since it was looked for somebody else's question may have been answered.
  if (const auto here = TRY(FindHere(upstream, repository, reference))) return Resolved{*here, std::nullopt};
  if (upstream.offline) {
    if (old) return Resolved{old->digest, std::nullopt};
    return Offline(upstream);
  }
  std::optional<Error> failure;
  {
    auto state = state_.lock();
    const auto down = state->down.find(upstream.registry);
    if (old && down != state->down.end() && clock_.Steady() < down->second)
      failure = Error(Code::kUnavailable, upstream.registry + " did not answer a moment ago");
  }
  if (!failure && old) {
    auto digest = client_.StatManifest(there, &stopping_);
    // Not everybody knows HEAD; but who says nothing to it will not say more.
    if (!digest && (digest.error().code() == Code::kTimeout || digest.error().code() == Code::kNotFound))
      failure = digest.error();
    if (digest && *digest == old->digest) {
      TRY(KeepTag(repository, reference, old->digest));
      return Resolved{old->digest, std::nullopt};
    }
  }
  if (!failure) {
    auto manifest = client_.GetManifest(there, &stopping_);
    if (manifest) {
      TRY(KeepManifest(repository, by_digest ? "" : reference, *manifest));
      return Resolved{manifest->digest, std::nullopt};
    }
    failure = manifest.error();
  }
  if (!Unreachable(*failure)) return *failure;
  state_.lock()->down.insert_or_assign(upstream.registry, clock_.Steady() + kDownFor);
  if (!old) return *failure;
  const auto age = std::chrono::duration_cast<Milliseconds>(clock_.Now() - old->updated);
  Log("registry: " + repository + ":" + reference + " is served as it was " +
      RenderDuration(std::chrono::duration_cast<std::chrono::seconds>(age)) + " ago: " + failure->Render());
  return Resolved{old->digest, age};
}

Result<void> Upstreams::KeepTag(const std::string& repository, const std::string& tag,
                                const oci::Digest& digest) {
  return store_.catalog().Write(
      [&](store::CatalogRows& rows) -> Result<void> {
        return rows.PutRepositoryTag({repository, tag, digest, clock_.Now()});
      },
      Durability::kNone);
}

Result<void> Upstreams::KeepManifest(const std::string& repository, const std::string& tag,
                                     const RemoteManifest& manifest) {
  const auto parsed = PushedManifest::Parse(manifest.bytes, manifest.digest, manifest.media_type);
  if (!parsed) return parsed.error();
  store::Lease lease = TRY(store_.TakeLease("registry: a manifest is fetched"));
  TRY(store_.PutBlobAs(manifest.digest, manifest.bytes, lease));
  store::RepositoryManifest row;
  row.repository = repository;
  row.digest = manifest.digest;
  row.media_type = manifest.media_type;
  row.size_bytes = manifest.bytes.size();
  row.subject = parsed->subject;
  row.artifact_type = parsed->artifact_type;
  row.descriptor = parsed->descriptor;
  row.created = clock_.Now();
  return store_.catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
    TRY(rows.PutRepositoryManifest(row));
    if (tag.empty()) return {};
    return rows.PutRepositoryTag({repository, tag, manifest.digest, row.created});
  });
}

Result<std::shared_ptr<UpstreamFetch>> Upstreams::FetchBlob(const Upstream& upstream,
                                                            const std::string& repository,
                                                            const oci::Digest& digest) {
  if (upstream.offline) return Offline(upstream);
  const std::string key = repository + " " + digest.Render();
  std::vector<std::thread> over;
  std::shared_ptr<UpstreamFetch> fetch;
  {
    auto state = state_.lock();
    if (const auto known = state->blobs.find(key); known != state->blobs.end()) return known->second;
    if (stopping_) return Error(Code::kCancelled, "the registry is stopping");
    // Since it was looked for it may have come.
    std::optional<store::RepositoryBlob> row;
    TRY(store_.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
      row = TRY(rows.FindRepositoryBlob(repository, digest));
      return {};
    }));
    if (row) return std::shared_ptr<UpstreamFetch>();
    if (state->blobs.size() >= kMostWaitingFetches)
      return Error(Code::kUnavailable, "too many blobs are being fetched at once");
    fetch = std::make_shared<UpstreamFetch>();
    state->blobs.emplace(key, fetch);
    for (const std::thread::id id : std::exchange(state->ended, {})) {
      const auto thread = std::find_if(state->threads.begin(), state->threads.end(),
                                       [&](const std::thread& each) { return each.get_id() == id; });
      if (thread == state->threads.end()) continue;
      over.push_back(std::move(*thread));
      state->threads.erase(thread);
    }
    state->threads.emplace_back([this, &upstream, repository, digest, fetch, key] {
      fetching_.acquire();
      RunFetch(upstream, repository, digest, fetch);
      fetching_.release();
      auto ending = state_.lock();
      ending->blobs.erase(key);
      ending->ended.push_back(std::this_thread::get_id());
    });
  }
  for (std::thread& thread : over) thread.join();
  return fetch;
}

void Upstreams::RunFetch(const Upstream& upstream, const std::string& repository, const oci::Digest& digest,
                         const std::shared_ptr<UpstreamFetch>& fetch) {
  auto fetched = stopping_ ? Error(Code::kCancelled, "the registry is stopping")
                           : Fetch(upstream, repository, digest, *fetch);
  if (!fetched && fetched.error().code() != Code::kNotFound && fetched.error().code() != Code::kCancelled)
    Log("registry: fetching " + repository + "@" + digest.Render() + ": " + fetched.error().Render());
  fetch->End(std::move(fetched));
}

Result<void> Upstreams::Fetch(const Upstream& upstream, const std::string& repository,
                              const oci::Digest& digest, UpstreamFetch& fetch) {
  store::Lease lease = TRY(store_.TakeLease("registry: a blob is fetched"));
  std::optional<store::IncomingBlob> blob;
  TRY(client_.GetUnknownBlob(
      upstream.ReferenceOf(repository), digest,
      [&](uint64_t size_bytes) -> Result<void> {
        auto incoming = store_.ReceiveBlob(digest, size_bytes, lease);
        if (!incoming) return std::move(incoming).error();
        blob.emplace(std::move(*incoming));
        fetch.Begin(TRY(blob->OpenUnchecked()), size_bytes);
        return {};
      },
      [&](std::string_view piece) -> Result<void> {
        TRY(blob->Write(piece));
        fetch.Grow(piece.size());
        return {};
      },
      &stopping_));
  TRY(blob->Check());
  TRY(blob->Publish());
  return store_.catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
    return rows.PutRepositoryBlob({repository, digest, blob->size_bytes(), clock_.Now()});
  });
}

}  // namespace ingot::registry
