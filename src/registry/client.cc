#include "registry/client.h"

#include <algorithm>
#include <charconv>

#include "oci/index.h"
#include "oci/manifest.h"
#include "registry/remote_error.h"

namespace ingot::registry {
namespace {

constexpr int kMaxRedirects = 5;
constexpr size_t kMaxErrorBody = 64 << 10;
constexpr uint64_t kProgress = 64 << 10;  // an attempt that got this far was none in vain
constexpr int kMaxConnections = 200;      // for one blob, however it trickles
constexpr int64_t kMaxRetryAfter = 60;
constexpr Milliseconds kCancelSlice{100};
constexpr Milliseconds kMaxWait{10'000};

constexpr std::string_view kDockerHubHost = "registry-1.docker.io";

std::string ManifestTypes() {
  return std::string(oci::kManifestType) + ", " + std::string(oci::kIndexType) + ", " +
         std::string(oci::kDockerManifestType) + ", " + std::string(oci::kDockerListType);
}

bool IsRetried(int status) {
  return status == 408 || status == 429 || status >= 500;
}
bool IsRetried(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kTimeout;
}

Error AtRegistry(const std::string& name, std::string_view what, Code code) {
  return Error(code, name + ": " + std::string(what));
}

std::string TypeOf(const ClientResponse& head, std::string_view bytes) {
  std::string_view type = head.Header("content-type");
  type = type.substr(0, type.find_first_of("; "));
  if (oci::IsManifestType(type) || oci::IsIndexType(type)) return std::string(type);
  return MediaTypeOf(bytes);
}
// Where the bytes of an answer 206 begin ("bytes 100-199/1000"); nullopt: it does not say.
std::optional<uint64_t> RangeStart(const ClientResponse& head) {
  std::string_view range = head.Header("content-range");
  if (!range.starts_with("bytes ")) return std::nullopt;
  range.remove_prefix(6);
  uint64_t start = 0;
  const auto [end, error] = std::from_chars(range.begin(), range.end(), start);
  if (error != std::errc() || end == range.end() || *end != '-') return std::nullopt;
  return start;
}

}  // namespace

Client::Client(ClientHttp& http, FindCredential find, Clock& clock, Options options)
    : http_(http), find_(std::move(find)), clock_(clock), options_(std::move(options)) {}

bool Client::WaitForRetry(int attempt, int attempts, const Error& error, const std::string& retry_after,
                          const std::atomic<bool>* cancelled) {
  if (attempt >= attempts || !IsRetried(error)) return false;
  if (cancelled != nullptr && cancelled->load()) return false;
  Milliseconds wait = std::min(options_.first_wait * (1 << std::min(attempt - 1, 10)), kMaxWait);
  int64_t seconds = 0;
  const auto [end, bad] =
      std::from_chars(retry_after.data(), retry_after.data() + retry_after.size(), seconds);
  if (bad == std::errc() && end != retry_after.data() && seconds > 0)
    wait = std::max<Milliseconds>(wait, std::chrono::seconds(std::min(seconds, kMaxRetryAfter)));
  if (options_.notice)
    options_.notice(error.message() + "; trying again (" + std::to_string(attempt + 1) + " of " +
                    std::to_string(attempts) + ")");
  while (wait.count() > 0) {
    const Milliseconds slice = std::min(wait, kCancelSlice);
    clock_.Sleep(slice);
    wait -= slice;
    if (cancelled != nullptr && cancelled->load()) return false;
  }
  return true;
}

// https, but for a registry on loopback which does not speak it.
Result<std::string> Client::SchemeOf(const std::string& registry, const std::atomic<bool>* cancelled) {
  const ClientUrl plain = TRY(ClientUrl::Parse("http://" + registry + "/v2/"));
  if (!plain.IsLoopback()) return std::string("https");
  if (auto schemes = schemes_.lock(); schemes->contains(registry)) return schemes->at(registry);
  ClientRequest request;
  request.url = plain;
  request.cancelled = cancelled;
  auto answer = http_.Send(request, [](const ClientResponse&, std::string_view) { return Result<void>(); });
  // What a TLS server makes of plain HTTP is 400 or nothing.
  std::string scheme = "http";
  if (answer ? answer->status == 400 : answer.error().code() == Code::kUnavailable) {
    request.url = TRY(ClientUrl::Parse("https://" + registry + "/v2/"));
    auto encrypted =
        http_.Send(request, [](const ClientResponse&, std::string_view) { return Result<void>(); });
    if (encrypted || encrypted.error().code() == Code::kRefused) scheme = "https";
  }
  if (answer || scheme == "https") schemes_.lock()->insert_or_assign(registry, scheme);
  return scheme;
}

Result<std::vector<Client::Endpoint>> Client::EndpointsOf(const oci::Reference& reference) {
  std::vector<Endpoint> endpoints;
  if (reference.registry == "docker.io") {
    for (const std::string& mirror : options_.mirrors) {
      auto url = ClientUrl::Parse(mirror);
      if (url) {
        if (auto secure = RequireSecure(*url, "The mirror"); !secure) return std::move(secure).error();
        while (url->target.ends_with('/')) url->target.pop_back();
        endpoints.push_back({url->Authority(), *url});
        continue;
      }
      return std::move(url).error().While("reading the mirrors of docker.io");
    }
    ClientUrl hub = TRY(ClientUrl::Parse("https://" + std::string(kDockerHubHost)));
    hub.target.clear();
    endpoints.push_back({"docker.io", std::move(hub)});
    return endpoints;
  }
  const std::string scheme = TRY(SchemeOf(reference.registry, nullptr));
  ClientUrl url = TRY(ClientUrl::Parse(scheme + "://" + reference.registry));
  url.target.clear();
  endpoints.push_back({reference.registry, std::move(url)});
  return endpoints;
}

Result<Client::Answer> Client::Follow(const Target& target, const std::string& authorization,
                                      const ClientHttp::Body& body, bool& elsewhere) {
  const ClientUrl& base = target.endpoint.base;
  ClientRequest request;
  request.url = base;
  request.url.target = base.target + "/v2/" + target.repository + target.path;
  const ClientUrl home = request.url;
  if (target.location) request.url = *target.location;
  request.method = target.method;
  request.cancelled = target.cancelled;
  const ClientUrl first = request.url;
  TRY(RequireSecure(first, target.endpoint.name + ":"));
  if (home.scheme == "https" && first.scheme != "https")
    return AtRegistry(target.endpoint.name, "it sends us to a place that is not encrypted; nothing was sent",
                      Code::kRefused);
  elsewhere = !first.SameOrigin(home);
  for (int redirects = 0;; ++redirects) {
    request.headers = target.headers;
    if (target.upload) request.upload = TRY(target.upload());
    if (!authorization.empty() && !elsewhere) request.headers.emplace_back("Authorization", authorization);
    Answer answer;
    bool enough = false;
    auto sent = http_.Send(request, [&](const ClientResponse& head, std::string_view piece) -> Result<void> {
      if (head.status == 200 || head.status == 206) return body(head, piece);
      answer.head = head;
      answer.error_body += piece;
      enough = answer.error_body.size() > kMaxErrorBody;
      return enough ? Result<void>(Error(Code::kCancelled, "enough of an error was read")) : Result<void>();
    });
    if (!sent && !enough) return std::move(sent).error();
    if (sent) answer.head = std::move(*sent);
    const int status = answer.head.status;
    answer.url = request.url;
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) return answer;
    if (redirects == kMaxRedirects)
      return AtRegistry(target.endpoint.name, "it redirects in circles; nothing was taken", Code::kRefused);
    auto next = request.url.Resolve(answer.head.Header("location"));
    if (!next) return std::move(next).error().While(target.endpoint.name + ": following a redirect");
    if (request.url.scheme == "https" && next->scheme != "https") {
      return AtRegistry(target.endpoint.name,
                        "it redirects from https to " + next->scheme + "://" + next->Authority() +
                            ", which is not encrypted; nothing was taken",
                        Code::kRefused);
    }
    if (next->IsLoopback() && !first.IsLoopback()) {
      return AtRegistry(target.endpoint.name,
                        "it redirects to this host itself (" + next->Authority() + "); nothing was taken",
                        Code::kRefused);
    }
    TRY(RequireSecure(*next, target.endpoint.name + ": the redirect to"));
    // Once away, for good: a host that is led back to would be asked in another's name.
    elsewhere = elsewhere || !next->SameOrigin(first);
    request.url = std::move(*next);
  }
}

std::string Client::Target::SessionKey() const {
  std::string key = endpoint.base.Render() + " " + repository;
  if (push) key += " push";
  if (!mount_from.empty()) key += " " + mount_from;
  return key;
}

Result<Client::Answer> Client::Ask(const Target& target, const ClientHttp::Body& body) {
  const std::string key = target.SessionKey();
  for (bool again = false;; again = true) {
    std::string authorization;
    {
      auto sessions = sessions_.lock();
      if (const auto found = sessions->find(key);
          found != sessions->end() && found->second.expires > clock_.Steady())
        authorization = found->second.authorization;
    }
    bool elsewhere = false;
    Answer answer = TRY(Follow(target, authorization, body, elsewhere));
    if (answer.head.status != 401 || again || elsewhere) return answer;
    TRY(Authorize(target, answer.head));
  }
}

Result<RemoteManifest> Client::ManifestFrom(const Endpoint& endpoint, const oci::Reference& reference,
                                            bool last, const std::atomic<bool>* cancelled) {
  const std::string wanted = reference.digest ? reference.digest->Render() : reference.tag;
  Target target{
      endpoint, reference.repository, "/manifests/" + wanted, {{"Accept", ManifestTypes()}}, cancelled};
  for (int attempt = 1;; ++attempt) {
    RemoteManifest manifest;
    auto answer = Ask(target, [&](const ClientResponse&, std::string_view piece) -> Result<void> {
      if (manifest.bytes.size() + piece.size() > oci::kMaxManifestBytes)
        return AtRegistry(endpoint.name, "a manifest of more than 4 MiB; nothing was taken", Code::kInvalid);
      manifest.bytes += piece;
      return {};
    });
    if (answer && answer->head.status == 200) {
      manifest.digest = oci::Digest::Of(manifest.bytes);
      if (reference.digest)
        manifest.digest = TRY(oci::Digest::Of(reference.digest->algorithm(), manifest.bytes));
      manifest.media_type = TypeOf(answer->head, manifest.bytes);
      const std::string said(answer->head.Header("docker-content-digest"));
      if (reference.digest && manifest.digest != *reference.digest) {
        return AtRegistry(endpoint.name,
                          "what it gave for " + reference.digest->Render() + " has the digest " +
                              manifest.digest.Render() + "; nothing was taken",
                          Code::kInvalid);
      }
      if (said.starts_with("sha256:") && manifest.digest.algorithm() == "sha256" &&
          said != manifest.digest.Render()) {
        return AtRegistry(endpoint.name,
                          "it says that " + reference.repository + ":" + wanted + " is " +
                              said.substr(0, 71) + ", and gave " + manifest.digest.Render() +
                              "; nothing was taken",
                          Code::kInvalid);
      }
      return manifest;
    }
    const Error error =
        answer ? Refusal(target, reference.repository + (reference.digest ? "@" : ":") + wanted, *answer)
               : answer.error();
    if (!WaitForRetry(attempt, last ? options_.attempts : 1, error,
                      answer ? std::string(answer->head.Header("retry-after")) : "", cancelled))
      return error;
  }
}

Result<RemoteManifest> Client::GetManifest(const oci::Reference& reference,
                                           const std::atomic<bool>* cancelled) {
  const std::vector<Endpoint> endpoints = TRY(EndpointsOf(reference));
  for (size_t i = 0;; ++i) {
    const bool last = i + 1 == endpoints.size();
    if (!Asks(endpoints[i], last)) continue;
    auto manifest = ManifestFrom(endpoints[i], reference, last, cancelled);
    if (manifest || last || manifest.error().code() == Code::kCancelled) return manifest;
    Failed(endpoints[i], endpoints[i + 1], manifest.error());
  }
}

bool Client::Asks(const Endpoint& endpoint, bool last) {
  if (last) return true;
  auto paused = paused_.lock();
  const auto found = paused->find(endpoint.name);
  return found == paused->end() || found->second <= clock_.Steady();
}

void Client::Failed(const Endpoint& endpoint, const Endpoint& next, const Error& error) {
  // That it lacks something says nothing about the rest.
  if (IsRetried(error))
    paused_.lock()->insert_or_assign(endpoint.name, clock_.Steady() + options_.mirror_pause);
  if (options_.notice) options_.notice(error.message() + "; asking " + next.name + " instead");
}

// The size of a whole blob by the head of an answer about it or its end.
Result<uint64_t> SizeOf(const std::string& registry, const ClientResponse& head) {
  std::string_view text = head.Header("content-length");
  if (head.status == 206) {
    text = head.Header("content-range");
    text.remove_prefix(std::min(text.find('/') + 1, text.size()));
  }
  uint64_t size = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), size);
  if (text.empty() || error != std::errc() || end != text.end() || size > uint64_t{1} << 62)
    return AtRegistry(registry, "it does not say how long a blob is", Code::kUnsupported);
  return size;
}

Result<void> Client::BlobFrom(const Endpoint& endpoint, const oci::Reference& repository,
                              oci::Descriptor& blob, const SizeSink* begin, const ByteSink& sink,
                              uint64_t& offset, bool last, const std::atomic<bool>* cancelled) {
  bool size_known = begin == nullptr;
  const auto learn_size = [&](const ClientResponse& head) -> Result<void> {
    if (size_known) return {};
    blob.size_bytes = TRY(SizeOf(endpoint.name, head));
    size_known = true;
    return (*begin)(blob.size_bytes);
  };
  Target target{endpoint, repository.repository, "/blobs/" + blob.digest.Render(), {}, cancelled};
  const auto too_long = [&] {
    return AtRegistry(endpoint.name,
                      "the blob " + blob.digest.Render() + " is longer than the " +
                          std::to_string(blob.size_bytes) +
                          " bytes that its descriptor says; nothing was taken",
                      Code::kInvalid);
  };
  for (int attempt = 1, connections = 1;; ++attempt, ++connections) {
    target.headers.clear();
    if (offset > 0) target.headers.emplace_back("Range", "bytes=" + std::to_string(offset) + "-");
    const uint64_t before = offset;
    uint64_t skip = 0;  // of an answer that begins at the beginning again
    bool first = true;
    std::optional<Error> sinks;
    auto answer = Ask(target, [&](const ClientResponse& head, std::string_view piece) -> Result<void> {
      if (first) {
        first = false;
        if (head.status == 200) {
          skip = before;
        } else if (RangeStart(head) != before) {
          return AtRegistry(endpoint.name, "it gave another part of a blob than was asked for",
                            Code::kInvalid);
        }
        if (auto learnt = learn_size(head); !learnt) {
          sinks = learnt.error();
          return std::move(learnt).error();
        }
      }
      const uint64_t skipped = std::min<uint64_t>(skip, piece.size());
      skip -= skipped;
      piece.remove_prefix(skipped);
      if (piece.size() > blob.size_bytes - offset) return too_long();
      if (piece.empty()) return {};
      if (auto taken = sink(piece); !taken) {
        sinks = taken.error();
        return std::move(taken).error();
      }
      offset += piece.size();
      return {};
    });
    if (sinks) return *sinks;
    const int status = answer ? answer->head.status : 0;
    const bool ended = status == 200 || status == 206;
    if (ended && first) TRY(learn_size(answer->head));  // an empty one
    // That a connection broke after the last byte is nobody's loss.
    if (size_known && offset == blob.size_bytes &&
        (ended || (!answer && IsRetried(answer.error()) && offset > 0)))
      return {};
    // Some servers only close the connection when they stop in the middle.
    const Error error =
        ended    ? AtRegistry(endpoint.name,
                              "the blob " + blob.digest.Render() + " ends after " + std::to_string(offset) +
                                  " of the " + std::to_string(blob.size_bytes) +
                                  " bytes that its descriptor says; nothing was taken",
                              Code::kUnavailable)
        : answer ? Refusal(target, repository.repository + "@" + blob.digest.Render(), *answer)
                 : answer.error();
    if (offset - before >= kProgress) attempt = 0;
    if (connections < kMaxConnections &&
        WaitForRetry(std::max(attempt, 1), last || offset > 0 ? options_.attempts : 1, error,
                     answer ? std::string(answer->head.Header("retry-after")) : "", cancelled)) {
      continue;
    }
    return ended ? Error(Code::kInvalid, error.message()) : error;
  }
}

Result<void> Client::BlobFromAny(const oci::Reference& repository, oci::Descriptor& blob,
                                 const SizeSink* begin, const ByteSink& sink, uint64_t offset,
                                 const std::atomic<bool>* cancelled) {
  const std::vector<Endpoint> endpoints = TRY(EndpointsOf(repository));
  // What one endpoint began another may end: the digest tells.
  bool begun = false;
  const SizeSink begin_once = [&](uint64_t size_bytes) -> Result<void> {
    begun = true;
    return (*begin)(size_bytes);
  };
  for (size_t i = 0;; ++i) {
    const bool last = i + 1 == endpoints.size();
    if (!Asks(endpoints[i], last)) continue;
    auto done = BlobFrom(endpoints[i], repository, blob, begin == nullptr || begun ? nullptr : &begin_once,
                         sink, offset, last, cancelled);
    if (done || last) return done;
    if (done.error().code() == Code::kInvalid || done.error().code() == Code::kCancelled) return done;
    Failed(endpoints[i], endpoints[i + 1], done.error());
  }
}

Result<void> Client::GetBlob(const oci::Reference& repository, const oci::Descriptor& blob, uint64_t offset,
                             const ByteSink& sink, const std::atomic<bool>* cancelled) {
  oci::Descriptor wanted = blob;
  return BlobFromAny(repository, wanted, nullptr, sink, offset, cancelled);
}

Result<void> Client::GetBlob(const oci::Reference& repository, const oci::Descriptor& blob,
                             const ByteSink& sink, const std::atomic<bool>* cancelled) {
  return GetBlob(repository, blob, 0, sink, cancelled);
}

Result<void> Client::GetUnknownBlob(const oci::Reference& repository, const oci::Digest& digest,
                                    const std::function<Result<void>(uint64_t)>& begin, const ByteSink& sink,
                                    const std::atomic<bool>* cancelled) {
  oci::Descriptor wanted;
  wanted.media_type = "blob";
  wanted.digest = digest;
  wanted.size_bytes = uint64_t{1} << 62;
  return BlobFromAny(repository, wanted, &begin, sink, 0, cancelled);
}

Result<std::string> Client::GetSmallBlob(const oci::Reference& repository, const oci::Descriptor& blob,
                                         size_t limit_bytes, const std::atomic<bool>* cancelled) {
  if (blob.size_bytes > limit_bytes) {
    return Error(Code::kInvalid, "The blob " + blob.digest.Render() + " has " +
                                     std::to_string(blob.size_bytes) + " bytes; at most " +
                                     std::to_string(limit_bytes) + " are accepted for a " + blob.media_type +
                                     ".");
  }
  std::string bytes;
  TRY(GetBlob(
      repository, blob,
      [&](std::string_view piece) -> Result<void> {
        bytes += piece;
        return {};
      },
      cancelled));
  if (const auto found = oci::Digest::Of(bytes); found != blob.digest) {
    return Error(Code::kInvalid, "The blob " + blob.digest.Render() +
                                     " has other contents: their digest is " + found.Render() + ".");
  }
  return bytes;
}

Error Client::Refusal(const Target& target, const std::string& what, const Answer& answer) {
  const std::string& name = target.endpoint.name;
  const int status = answer.head.status;
  std::string said = DescribeRemoteError(answer.error_body);
  if (!said.empty()) said = " (" + said + ")";
  const std::string begin = std::to_string(status) + ": ";
  if (status == 401) {
    bool known = false;
    {
      auto sessions = sessions_.lock();
      const auto found = sessions->find(target.SessionKey());
      known = found != sessions->end() && found->second.known;
    }
    const std::string remedy = "log in with `docker login " + name +
                               "` or `skopeo login --authfile ~/.docker/config.json " + name + "`";
    return AtRegistry(
        name,
        begin + (known ? "it does not accept the log-in of config.json for " + what + said + "; " + remedy +
                             " again"
                       : what + " does not exist or is not for everybody" + said + "; " + remedy),
        Code::kPermission);
  }
  if (status == 403)
    return AtRegistry(name,
                      begin + "it does not let us " + (target.push ? "push " : "read ") + what + said +
                          "; ask its owner" + (target.push ? ", or log in as somebody who may" : ""),
                      Code::kPermission);
  if (status == 404 && target.push)
    return AtRegistry(name, begin + "it does not know " + what + said, Code::kNotFound);
  if (status == 405 && target.push)
    return AtRegistry(name, begin + "it takes no pushes" + said, Code::kUnsupported);
  if (status == 404) {
    const bool blob = target.path.starts_with("/blobs/");
    return AtRegistry(name,
                      begin + "there is no " + what + said +
                          (blob ? "; the image was pushed without this layer, push it again"
                                : "; see that the name and the tag are right"),
                      Code::kNotFound);
  }
  if (status == 429)
    return AtRegistry(name, begin + "too many requests" + said + "; wait, or log in for a higher limit",
                      Code::kUnavailable);
  if (IsRetried(status))
    return AtRegistry(name, begin + "it has a trouble of its own" + said + "; try again later",
                      Code::kUnavailable);
  return AtRegistry(name, begin + "an answer that no registry gives for " + what + said, Code::kFailed);
}

}  // namespace ingot::registry
