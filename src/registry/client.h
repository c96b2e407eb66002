// Client: reads images from a registry (OCI distribution-spec 1.1, "Pulling manifests", "Pulling blobs";
// Docker's token authentication).
//
// Start here: image_pull.h takes an image into the store with it. The parts that need no network are pure and
// beside it: client_url, auth_challenge, docker_config, remote_error. What it sends goes through ClientHttp.
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

namespace ingot::registry {

struct RemoteManifest {
  oci::Digest digest;      // of the bytes
  std::string media_type;  // by header, else by what the document says
  std::string bytes;
};

class Client {
 public:
  struct Options {
    std::vector<std::string> mirrors;  // "https://mirror.example": asked before docker.io, for it alone
    int attempts = 5;                  // without progress, of one manifest or blob
    Milliseconds first_wait{250};      // doubled from one attempt to the next
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
  // The same for a small one, with its digest checked.
  Result<std::string> GetSmallBlob(const oci::Reference& repository, const oci::Descriptor& blob,
                                   size_t limit_bytes, const std::atomic<bool>* cancelled = nullptr);

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
  };
  struct Answer {
    ClientResponse head;
    std::string error_body;  // unless the status is 200 or 206
  };
  struct Session {  // with one endpoint, about one repository
    std::string authorization;
    SteadyTime expires{};
    bool known = false;  // credentials were sent
  };

  Result<std::vector<Endpoint>> EndpointsOf(const oci::Reference& reference);
  Result<std::string> SchemeOf(const std::string& registry, const std::atomic<bool>* cancelled);
  Result<RemoteManifest> ManifestFrom(const Endpoint& endpoint, const oci::Reference& reference,
                                      const std::atomic<bool>* cancelled);
  Result<void> BlobFrom(const Endpoint& endpoint, const oci::Reference& repository,
                        const oci::Descriptor& blob, const ByteSink& sink, uint64_t& offset,
                        const std::atomic<bool>* cancelled);
  Result<Answer> Get(const Target& target, const ClientHttp::Body& body);
  Result<Answer> Follow(const Target& target, const std::string& authorization, const ClientHttp::Body& body,
                        bool& elsewhere);
  Result<void> Authorize(const Target& target, const ClientResponse& head);
  Result<std::string> FetchToken(const Target& target, const AuthChallenge& challenge,
                                 const std::optional<Credential>& credential, Session& session);
  Error Refusal(const Target& target, const std::string& what, const Answer& answer);
  // Waits before attempt `attempt` (from 1) is repeated; false when there are no more.
  bool WaitForRetry(int attempt, const Error& error, const std::string& retry_after,
                    const std::atomic<bool>* cancelled);

  ClientHttp& http_;
  const FindCredential find_;
  Clock& clock_;
  const Options options_;
  Sync<std::map<std::string, std::string>> schemes_;  // of registries on loopback
  Sync<std::map<std::string, Session>> sessions_;     // by authority and repository
};

}  // namespace ingot::registry
