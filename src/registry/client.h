// Client: reads images from a registry and pushes to it (OCI distribution-spec 1.1; Docker's token
// authentication).
//
// Start here: image_pull.h takes an image into the store with it, image_copy.h copies to and from it. The
// parts that need no network are pure and beside it: client_url, auth_challenge, docker_config, remote_error.
// What it sends goes through ClientHttp.
//
// Encrypted but for registries on loopback. A redirect is followed at most five times, never from https to
// http nor from elsewhere to this host, and no password or token goes along to another host. What a registry
// sends is bounded by what is asked for: 4 MiB for a manifest, its descriptor's size for a blob.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_stream.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/sync.h"
#include "oci/descriptor.h"
#include "oci/reference.h"
#include "registry/auth_challenge.h"
#include "registry/client_http.h"
#include "registry/credentials.h"
#include "registry/image_target.h"
#include "registry/remote_manifest.h"

namespace ingot::registry {

class Client {
 public:
  struct Options {
    std::vector<std::string> mirrors;  // "https://mirror.example": asked before docker.io, for it alone
    int attempts = 5;                  // without progress, of one manifest or blob
    Milliseconds first_wait{250};      // doubled from one attempt to the next
    // Of a mirror that failed: not asked again for so long.
    Milliseconds mirror_pause{60'000};
    // For people, while it takes its time: what failed and what is tried next. Any thread.
    std::function<void(const std::string&)> notice;
  };
  // All of it must outlive the client. Time passes only in Clock::Sleep.
  Client(ClientHttp& http, FindCredential find, Clock& clock, Options options);
  Client(ClientHttp& http, FindCredential find, Clock& clock) : Client(http, std::move(find), clock, {}) {}

  // The manifest or index behind `reference` (Normalized): by its digest, where it has one. Its digest is
  // checked. kNotFound: no such repository or tag. kPermission: a log-in is missing or refused. kUnavailable,
  // kTimeout after retries. kRefused: TLS, an unencrypted host, a redirect that must not be followed.
  // kInvalid: what came is not what was asked for. Messages begin with the registry's name and say what to
  // do. Any thread.
  Result<RemoteManifest> GetManifest(const oci::Reference& reference,
                                     const std::atomic<bool>* cancelled = nullptr);

  // Gives `sink` exactly the blob's bytes, in order; a connection that breaks is resumed where it was.
  // kInvalid when there are more or fewer than the descriptor says. The digest is the sink's to check. Errors
  // as above, and the sink's own. Any thread.
  Result<void> GetBlob(const oci::Reference& repository, const oci::Descriptor& blob, const ByteSink& sink,
                       const std::atomic<bool>* cancelled = nullptr);
  // The same from `offset` on.
  Result<void> GetBlob(const oci::Reference& repository, const oci::Descriptor& blob, uint64_t offset,
                       const ByteSink& sink, const std::atomic<bool>* cancelled);
  // The same of a blob whose size nobody has said; `begin` is told it before the first byte.
  Result<void> GetUnknownBlob(const oci::Reference& repository, const oci::Digest& digest,
                              const std::function<Result<void>(uint64_t size_bytes)>& begin,
                              const ByteSink& sink, const std::atomic<bool>* cancelled);
  // The same for a small one, with its digest checked.
  Result<std::string> GetSmallBlob(const oci::Reference& repository, const oci::Descriptor& blob,
                                   size_t limit_bytes, const std::atomic<bool>* cancelled = nullptr);

  // What refers to `subject` there: by the referrers API, else by the tag that stands for it. Errors as
  // above.
  Result<std::vector<oci::Descriptor>> ListReferrers(const oci::Reference& repository,
                                                     const oci::Digest& subject,
                                                     const std::atomic<bool>* cancelled = nullptr);
  // kNotFound: no such repository.
  Result<std::vector<std::string>> ListTags(const oci::Reference& repository,
                                            const std::atomic<bool>* cancelled = nullptr);

  // What a tag leads to there, by a HEAD, which costs a limited account nothing. nullopt: it does not say.
  Result<std::optional<oci::Digest>> StatManifest(const oci::Reference& reference,
                                                  const std::atomic<bool>* cancelled = nullptr);
  // A blob's size.
  Result<uint64_t> StatBlob(const oci::Reference& repository, const oci::Digest& digest,
                            const std::atomic<bool>* cancelled = nullptr);

  // Pushing (client_push.cc); mirrors are not pushed to. Errors as above; kPermission also when it may only
  // be read.
  Result<bool> HasManifest(const oci::Reference& repository, const oci::Digest& digest);
  Result<bool> HasBlob(const oci::Reference& repository, const oci::Descriptor& blob);
  // Mounted from the repository `mount_from` of the same registry ("": from none) where that is possible,
  // else sent; one that was cut off goes on where the registry says that it stands. `read`'s errors as they
  // are.
  Result<BlobOutcome> PutBlob(const oci::Reference& repository, const oci::Descriptor& blob,
                              const BlobReader& read, const std::string& mount_from,
                              const std::atomic<bool>* cancelled);
  // Under the reference's digest if it has one, else its tag. One with a subject is listed as its referrer
  // afterwards, also by a registry that does not do so by itself.
  Result<void> PutManifest(const oci::Reference& reference, const RemoteManifest& manifest);

 private:
  struct Endpoint {
    std::string name;  // the registry as people and config.json call it
    ClientUrl base;
  };
  struct Target {
    const Endpoint& endpoint;
    const std::string& repository;
    std::string path;  // "/manifests/latest"
    std::vector<std::pair<std::string, std::string>> headers;
    const std::atomic<bool>* cancelled;
    std::string method{};                            // empty: GET
    bool push = false;                               // needs the right to
    std::string mount_from{};                        // a repository that is read on the way
    std::optional<ClientUrl> location{};             // instead of endpoint, repository and path
    std::function<Result<ClientUpload>()> upload{};  // once for each time it is sent
    std::string SessionKey() const;
  };
  struct Answer {
    ClientResponse head;
    std::string error_body;  // unless the status is 200 or 206
    ClientUrl url{};         // that was asked
  };
  struct Session {  // with one endpoint, about one repository
    std::string authorization;
    SteadyTime expires{};
    bool known = false;  // credentials were sent
  };

  Result<std::vector<Endpoint>> EndpointsOf(const oci::Reference& reference);
  Result<std::string> SchemeOf(const std::string& registry, const std::atomic<bool>* cancelled);
  using SizeSink = std::function<Result<void>(uint64_t size_bytes)>;
  Result<RemoteManifest> ManifestFrom(const Endpoint& endpoint, const oci::Reference& reference, bool last,
                                      const std::atomic<bool>* cancelled);
  Result<void> BlobFrom(const Endpoint& endpoint, const oci::Reference& repository, oci::Descriptor& blob,
                        const SizeSink* begin, const ByteSink& sink, uint64_t& offset, bool last,
                        const std::atomic<bool>* cancelled);
  Result<void> BlobFromAny(const oci::Reference& repository, oci::Descriptor& blob, const SizeSink* begin,
                           const ByteSink& sink, uint64_t offset, const std::atomic<bool>* cancelled);
  // Whether to ask a mirror, which may have failed lately; and what happened.
  bool Asks(const Endpoint& endpoint, bool last);
  void Failed(const Endpoint& endpoint, const Endpoint& next, const Error& error);
  Result<Endpoint> PushEndpoint(const oci::Reference& reference);
  struct PushedBlob;
  Result<BlobOutcome> BeginUpload(PushedBlob& push, bool mount);
  Result<void> FindUpload(PushedBlob& push);
  Result<void> SendUpload(PushedBlob& push);
  Result<void> ListReferrer(const oci::Reference& repository, const RemoteManifest& manifest);
  Result<Answer> Ask(const Target& target, const ClientHttp::Body& body);
  // The whole body, of at most `limit_bytes`; again after what can be tried again.
  Result<Answer> AskSmall(const Target& target, size_t limit_bytes, std::string& body);
  Result<Answer> Follow(const Target& target, const std::string& authorization, const ClientHttp::Body& body,
                        bool& elsewhere);
  Result<void> Authorize(const Target& target, const ClientResponse& head);
  Result<std::string> FetchToken(const Target& target, const AuthChallenge& challenge,
                                 const std::optional<Credential>& credential, Session& session);
  Error Refusal(const Target& target, const std::string& what, const Answer& answer);
  // Waits before attempt `attempt` (from 1) is repeated; false when there are no more.
  bool WaitForRetry(int attempt, int attempts, const Error& error, const std::string& retry_after,
                    const std::atomic<bool>* cancelled);

  ClientHttp& http_;
  const FindCredential find_;
  Clock& clock_;
  const Options options_;
  Sync<std::map<std::string, std::string>> schemes_;  // of registries on loopback
  Sync<std::map<std::string, Session>> sessions_;     // by Target::SessionKey
  Sync<std::map<std::string, SteadyTime>> paused_;    // mirrors that failed, until when
};

}  // namespace ingot::registry
