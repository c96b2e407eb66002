// Upstreams: repositories that are a cache of another registry's (docs/formats/registry.md, "Upstreams").
//
// What is asked for and not here is fetched once, however many ask for it at the same time, and passed on
// while it arrives. Tags are believed for a time, digests for ever. When the other registry cannot be
// reached, an old tag is better than none.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/sync.h"
#include "oci/digest.h"
#include "oci/reference.h"
#include "registry/client.h"
#include "registry/upstream_fetch.h"
#include "store/store.h"

namespace ingot::registry {

struct Upstream {
  // Which repositories of this registry are its.
  std::function<bool(std::string_view repository)> matches;
  std::string registry;         // "docker.io", "registry.example:5000"
  Milliseconds ttl{3'600'000};  // how long a tag is believed
  bool offline = false;         // never asked

  // What a repository of this registry is called there: "docker.io/library/redis" → "library/redis". A first
  // part with a dot or a colon is the name of a registry and not part of the name there.
  oci::Reference ReferenceOf(std::string_view repository) const;
};

// Any thread. What blocks says so.
class Upstreams {
 public:
  // All of them must outlive it.
  Upstreams(store::Store& store, const Clock& clock, Client& client, std::vector<Upstream> upstreams,
            std::function<void(const std::string&)> log);
  // Ends what is being fetched.
  ~Upstreams() { Stop(); }
  // Nothing is asked any more; what is being fetched has ended when this returns.
  void Stop();

  // nullptr: the repository is nobody's cache.
  const Upstream* Find(std::string_view repository) const;

  // The manifest that a tag or digest leads to; it is in the store, with its rows, when this returns. Blocks.
  struct Resolved {
    oci::Digest digest;
    std::optional<Milliseconds> stale;  // how old what is said of the tag is, when nobody could be asked
  };
  Result<Resolved> ResolveManifest(const Upstream& upstream, const std::string& repository,
                                   const std::string& reference);
  // What is here of a tag and may be served without asking. Does not block.
  Result<std::optional<oci::Digest>> FindFresh(const Upstream& upstream, const std::string& repository,
                                               const std::string& tag);

  // A blob on its way here, begun if it was not; nullptr: it has come by now. Does not wait for the other
  // registry.
  Result<std::shared_ptr<UpstreamFetch>> FetchBlob(const Upstream& upstream, const std::string& repository,
                                                   const oci::Digest& digest);
  Client& client() { return client_; }
  const std::atomic<bool>* stopping() const { return &stopping_; }
  Error Offline(const Upstream& upstream) const;

 private:
  struct ManifestFlight {
    bool done = false;
    std::optional<Result<Resolved>> outcome;
  };
  struct State {
    std::map<std::string, std::shared_ptr<ManifestFlight>> manifests;  // shared by those who wait for it
    std::map<std::string, std::shared_ptr<UpstreamFetch>> blobs;       // shared with those who read it
    std::map<std::string, SteadyTime> down;  // registries that did not answer, until when not to ask
    std::vector<std::thread> threads;
    std::vector<std::thread::id> ended;
  };
  Result<Resolved> AskForManifest(const Upstream& upstream, const std::string& repository,
                                  const std::string& reference);
  Result<void> KeepManifest(const std::string& repository, const std::string& tag,
                            const RemoteManifest& manifest);
  Result<void> KeepTag(const std::string& repository, const std::string& tag, const oci::Digest& digest);
  Result<std::optional<store::Tag>> FindTag(const std::string& repository, const std::string& tag);
  void RunFetch(const Upstream& upstream, const std::string& repository, const oci::Digest& digest,
                const std::shared_ptr<UpstreamFetch>& fetch);
  Result<void> Fetch(const Upstream& upstream, const std::string& repository, const oci::Digest& digest,
                     UpstreamFetch& fetch);
  Result<std::optional<oci::Digest>> FindHere(const Upstream& upstream, const std::string& repository,
                                              const std::string& reference);
  void Log(const std::string& text) const;

  store::Store& store_;
  const Clock& clock_;
  Client& client_;
  const std::vector<Upstream> upstreams_;
  const std::function<void(const std::string&)> log_;
  std::atomic<bool> stopping_{false};
  std::counting_semaphore<> fetching_;  // how many at once
  Sync<State> state_;
  std::condition_variable changed_;
};

}  // namespace ingot::registry
