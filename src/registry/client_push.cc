// Client's pushes: blobs by upload sessions, manifests, and the lists of referrers and tags
// (distribution-spec 1.1, "Push", "Listing Referrers", "Content Discovery").
#include <algorithm>
#include <charconv>

#include "oci/index.h"
#include "oci/manifest.h"
#include "registry/client.h"
#include "registry/pushed_manifest.h"
#include "store/pulled_stream.h"

namespace ingot::registry {
namespace {

constexpr uint64_t kOneRequestBytes = 1 << 20;  // a blob this small is sent with the request that ends it
constexpr uint64_t kSentProgress = 1 << 20;     // an attempt that sent so much was none in vain
constexpr int kMaxSends = 100;                  // of one blob, however it trickles
constexpr int kMaxPages = 100;
constexpr size_t kMaxListBytes = 8 << 20;
constexpr size_t kMaxListed = 1'000'000;

Error FromRegistry(const std::string& name, Code code, std::string_view what) {
  return Error(code, name + ": " + std::string(what));
}

bool IsPassing(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kTimeout;
}

// "0-1023" → 1024; what an upload has. "0-0" is nothing or one byte, so it is taken as nothing.
std::optional<uint64_t> UploadedBytes(std::string_view range) {
  if (range.starts_with("bytes=")) range.remove_prefix(6);
  if (!range.starts_with("0-")) return std::nullopt;
  range.remove_prefix(2);
  uint64_t last = 0;
  const auto [end, error] = std::from_chars(range.begin(), range.end(), last);
  if (error != std::errc() || end != range.end()) return std::nullopt;
  return last == 0 ? 0 : last + 1;
}

// The target of `Link: </v2/…>; rel="next"`; "" when there is none.
std::string NextPage(const ClientResponse& head) {
  const std::string_view link = head.Header("link");
  const size_t begin = link.find('<');
  const size_t end = link.find('>');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return "";
  if (link.find("next", end) == std::string_view::npos) return "";
  return std::string(link.substr(begin + 1, end - begin - 1));
}

// The tag under which the referrers of a digest are listed where there is no API for them.
std::string ReferrersTag(const oci::Digest& subject) {
  return (std::string(subject.algorithm()) + "-" + std::string(subject.hex())).substr(0, 128);
}

}  // namespace

struct Client::PushedBlob {
  const Endpoint& endpoint;
  const oci::Reference& repository;
  const oci::Descriptor& blob;
  const BlobReader& read;
  const std::string& mount_from;
  const std::atomic<bool>* cancelled;

  std::optional<ClientUrl> location{};  // of the upload, when it is begun
  uint64_t offset = 0;                  // what the registry has of it
  bool unsure = false;                  // whether that is so

  Target At(std::string method, std::string path) const {
    Target target{endpoint, repository.repository, std::move(path), {}, cancelled};
    target.method = std::move(method);
    target.push = true;
    return target;
  }
  Target Here(std::string method) const {
    Target target = At(std::move(method), "");
    target.location = location;
    return target;
  }
  // Where the upload goes on.
  Result<void> Follow(const Answer& answer) {
    const std::string_view place = answer.head.Header("location");
    if (place.empty())
      return location ? Result<void>()
                      : FromRegistry(endpoint.name, Code::kInvalid, "it began an upload and says not where");
    auto next = answer.url.Resolve(place);
    if (!next) return std::move(next).error().While(endpoint.name + ": following an upload");
    location = std::move(*next);
    return {};
  }
};

Result<Client::Endpoint> Client::PushEndpoint(const oci::Reference& reference) {
  std::vector<Endpoint> endpoints = TRY(EndpointsOf(reference));
  return std::move(endpoints.back());  // behind the mirrors
}

Result<Client::Answer> Client::AskSmall(const Target& target, size_t limit_bytes, std::string& body) {
  for (int attempt = 1;; ++attempt) {
    body.clear();
    auto answer = Ask(target, [&](const ClientResponse&, std::string_view piece) -> Result<void> {
      if (body.size() + piece.size() > limit_bytes)
        return FromRegistry(target.endpoint.name, Code::kInvalid, "its answer is larger than any honest one");
      body += piece;
      return {};
    });
    if (answer && answer->head.status < 500 && answer->head.status != 429 && answer->head.status != 408)
      return answer;
    const Error error = answer ? Refusal(target, target.repository, *answer) : answer.error();
    if (!WaitForRetry(attempt, options_.attempts, error,
                      answer ? std::string(answer->head.Header("retry-after")) : "", target.cancelled))
      return error;
  }
}

Result<bool> Client::HasManifest(const oci::Reference& repository, const oci::Digest& digest) {
  const Endpoint endpoint = TRY(PushEndpoint(repository));
  Target target{endpoint, repository.repository, "/manifests/" + digest.Render(), {}, nullptr};
  target.headers.emplace_back("Accept", std::string(oci::kManifestType) + ", " +
                                            std::string(oci::kIndexType) + ", " +
                                            std::string(oci::kDockerManifestType) + ", " +
                                            std::string(oci::kDockerListType) + ", */*");
  target.method = "HEAD";
  target.push = true;
  std::string none;
  const Answer answer = TRY(AskSmall(target, kMaxListBytes, none));
  if (answer.head.status == 200) return true;
  if (answer.head.status == 404) return false;
  return Refusal(target, repository.repository + "@" + digest.Render(), answer);
}

Result<std::optional<oci::Digest>> Client::StatManifest(const oci::Reference& reference,
                                                        const std::atomic<bool>* cancelled) {
  const Endpoint endpoint = TRY(PushEndpoint(reference));
  const std::string wanted = reference.digest ? reference.digest->Render() : reference.tag;
  Target target{endpoint, reference.repository, "/manifests/" + wanted, {}, cancelled};
  target.headers.emplace_back(
      "Accept", std::string(oci::kManifestType) + ", " + std::string(oci::kIndexType) + ", " +
                    std::string(oci::kDockerManifestType) + ", " + std::string(oci::kDockerListType));
  target.method = "HEAD";
  std::string none;
  const Answer answer = TRY(AskSmall(target, kMaxListBytes, none));
  if (answer.head.status != 200) return Refusal(target, reference.repository + ":" + wanted, answer);
  const auto digest = oci::Digest::Parse(answer.head.Header("docker-content-digest"));
  return digest ? std::optional<oci::Digest>(*digest) : std::nullopt;
}

Result<uint64_t> Client::StatBlob(const oci::Reference& repository, const oci::Digest& digest,
                                  const std::atomic<bool>* cancelled) {
  const Endpoint endpoint = TRY(PushEndpoint(repository));
  Target target{endpoint, repository.repository, "/blobs/" + digest.Render(), {}, cancelled};
  target.method = "HEAD";
  std::string none;
  const Answer answer = TRY(AskSmall(target, kMaxListBytes, none));
  if (answer.head.status != 200)
    return Refusal(target, repository.repository + "@" + digest.Render(), answer);
  const std::string_view text = answer.head.Header("content-length");
  uint64_t size = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), size);
  if (text.empty() || error != std::errc() || end != text.end())
    return FromRegistry(endpoint.name, Code::kUnsupported, "it does not say how long a blob is");
  return size;
}

Result<bool> Client::HasBlob(const oci::Reference& repository, const oci::Descriptor& blob) {
  const Endpoint endpoint = TRY(PushEndpoint(repository));
  Target target{endpoint, repository.repository, "/blobs/" + blob.digest.Render(), {}, nullptr};
  target.method = "HEAD";
  target.push = true;
  std::string none;
  const Answer answer = TRY(AskSmall(target, kMaxListBytes, none));
  if (answer.head.status == 200) return true;
  if (answer.head.status == 404) return false;
  return Refusal(target, repository.repository + "@" + blob.digest.Render(), answer);
}

Result<BlobOutcome> Client::BeginUpload(PushedBlob& push, bool mount) {
  std::string path = "/blobs/uploads/";
  if (mount) {
    path += "?mount=" + EncodeQueryValue(push.blob.digest.Render()) +
            "&from=" + EncodeQueryValue(push.mount_from);
  } else if (push.blob.digest.algorithm() != "sha256") {
    path += "?digest-algorithm=" + std::string(push.blob.digest.algorithm());
  }
  Target target = push.At("POST", path);
  if (mount) target.mount_from = push.mount_from;
  target.upload = [] { return Result<ClientUpload>(ClientUpload{0, SourceOf(std::string_view())}); };
  std::string none;
  const Answer answer = TRY(AskSmall(target, kMaxListBytes, none));
  push.offset = 0;
  push.unsure = false;
  if (answer.head.status == 201 && mount) return BlobOutcome::kMounted;
  if (answer.head.status != 202) return Refusal(target, "to " + push.repository.repository, answer);
  push.location.reset();
  TRY(push.Follow(answer));
  return BlobOutcome::kCopied;
}

// After a cut: where it stands; if nobody knows it any more, it begins again.
Result<void> Client::FindUpload(PushedBlob& push) {
  std::string none;
  auto answer = AskSmall(push.Here("GET"), kMaxListBytes, none);
  if (!answer && !IsPassing(answer.error())) return std::move(answer).error();
  push.unsure = false;
  if (answer && (answer->head.status == 204 || answer->head.status == 202)) {
    const auto has = UploadedBytes(answer->head.Header("range"));
    if (has && *has <= push.blob.size_bytes) {
      push.offset = *has;
      return push.Follow(*answer);
    }
  }
  push.location.reset();
  return {};
}

// One request: what is still missing, and with a small one also its end.
Result<void> Client::SendUpload(PushedBlob& push) {
  const uint64_t size = push.blob.size_bytes;
  const bool ends = push.offset == size || (push.offset == 0 && size <= kOneRequestBytes);
  Target target = push.Here(ends ? "PUT" : "PATCH");
  if (ends) {
    std::string& path = target.location->target;
    path += (path.find('?') == std::string::npos ? "?digest=" : "&digest=") +
            EncodeQueryValue(push.blob.digest.Render());
  }
  const uint64_t count = size - push.offset;
  target.headers.emplace_back("Content-Type", "application/octet-stream");
  if (!ends)
    target.headers.emplace_back("Content-Range",
                                std::to_string(push.offset) + "-" + std::to_string(size - 1));
  std::unique_ptr<store::PulledStream> stream;
  std::optional<Error> of_source;
  target.upload = [&]() -> Result<ClientUpload> {
    if (count == 0) return ClientUpload{0, SourceOf(std::string_view())};
    stream = std::make_unique<store::PulledStream>(
        [&push, offset = push.offset](const ByteSink& sink) { return push.read(offset, sink); });
    return ClientUpload{count, [&](char* buffer, size_t wanted) -> Result<size_t> {
                          auto n = stream->Read(buffer, wanted);
                          if (!n) of_source = n.error();
                          return n;
                        }};
  };
  auto answer = Ask(target, [](const ClientResponse&, std::string_view) { return Result<void>(); });
  if (of_source) return *of_source;
  if (!answer) {
    push.unsure = true;
    return std::move(answer).error();
  }
  const int status = answer->head.status;
  if (!ends && status == 416) {
    push.unsure = true;
    return FromRegistry(push.endpoint.name, Code::kUnavailable,
                        "416: an upload stands elsewhere than was said");
  }
  if (status != (ends ? 201 : 202)) {
    push.unsure = status >= 500 || status == 429;
    if (status == 404) {  // forgotten: from the beginning
      push.location.reset();
      push.offset = 0;
      return FromRegistry(push.endpoint.name, Code::kUnavailable, "404: it has dropped an upload");
    }
    return Refusal(target, push.repository.repository + "@" + push.blob.digest.Render(), *answer);
  }
  // Only now it is known that what was sent was right: a wrong blob gets no end.
  if (stream) TRY(stream->End());
  if (!ends) TRY(push.Follow(*answer));
  push.offset = ends ? size + 1 : size;
  return {};
}

Result<BlobOutcome> Client::PutBlob(const oci::Reference& repository, const oci::Descriptor& blob,
                                    const BlobReader& read, const std::string& mount_from,
                                    const std::atomic<bool>* cancelled) {
  const Endpoint endpoint = TRY(PushEndpoint(repository));
  PushedBlob push{endpoint, repository, blob, read, mount_from, cancelled};
  bool mount = !mount_from.empty() && mount_from != repository.repository;
  int attempt = 1;
  for (int sends = 0; sends < kMaxSends; ++sends) {
    if (push.unsure && push.location) TRY(FindUpload(push));
    if (!push.location) {
      if (TRY(BeginUpload(push, std::exchange(mount, false))) == BlobOutcome::kMounted)
        return BlobOutcome::kMounted;
    }
    const uint64_t before = push.offset;
    auto sent = SendUpload(push);
    if (sent && push.offset > blob.size_bytes) return BlobOutcome::kCopied;
    if (sent) continue;
    // How far it got is known when it is asked for.
    const bool far = push.unsure && push.location && FindUpload(push) && push.location &&
                     push.offset >= before + kSentProgress;
    if (far) attempt = 1;
    if (!WaitForRetry(attempt++, options_.attempts, sent.error(), "", cancelled))
      return std::move(sent).error();
  }
  return FromRegistry(endpoint.name, Code::kUnavailable,
                      "the upload of " + blob.digest.Render() + " breaks again and again");
}

Result<void> Client::PutManifest(const oci::Reference& reference, const RemoteManifest& manifest) {
  const Endpoint endpoint = TRY(PushEndpoint(reference));
  const std::string wanted = reference.digest ? reference.digest->Render() : reference.tag;
  Target target{endpoint, reference.repository, "/manifests/" + wanted, {}, nullptr};
  target.method = "PUT";
  target.push = true;
  target.headers.emplace_back("Content-Type", manifest.media_type);
  target.upload = [&] {
    auto rest = std::make_shared<std::string_view>(manifest.bytes);
    return Result<ClientUpload>(
        ClientUpload{manifest.bytes.size(), [rest](char* buffer, size_t size) -> Result<size_t> {
                       const size_t n = rest->copy(buffer, size);
                       rest->remove_prefix(n);
                       return n;
                     }});
  };
  std::string body;
  const Answer answer = TRY(AskSmall(target, kMaxListBytes, body));
  const int status = answer.head.status;
  const std::string what = reference.repository + (reference.digest ? "@" : ":") + wanted;
  if (status != 201 && status != 200 && status != 202) return Refusal(target, what, answer);
  const std::string said(answer.head.Header("docker-content-digest"));
  if (said.starts_with("sha256:") && manifest.digest.algorithm() == "sha256" &&
      said != manifest.digest.Render())
    return FromRegistry(endpoint.name, Code::kInvalid,
                        "it says that it took " + said.substr(0, 71) + " for " + manifest.digest.Render());
  if (answer.head.Header("oci-subject").empty()) return ListReferrer(reference, manifest);
  return {};
}

// A registry without the referrers API: the client keeps the list, under a tag.
Result<void> Client::ListReferrer(const oci::Reference& repository, const RemoteManifest& manifest) {
  const auto parsed = PushedManifest::Parse(manifest.bytes, manifest.digest, manifest.media_type);
  if (!parsed || !parsed->subject) return {};
  oci::Reference tag = repository;
  tag.digest.reset();
  tag.tag = ReferrersTag(*parsed->subject);
  oci::Index index;
  auto listed = GetManifest(tag);
  if (listed) {
    index = TRY(oci::Index::Parse(listed->bytes));
  } else if (listed.error().code() != Code::kNotFound) {
    return std::move(listed).error();
  }
  for (const oci::Descriptor& entry : index.manifests)
    if (entry.digest == manifest.digest) return {};
  const Json descriptor = TRY(ParseJson(parsed->descriptor));
  index.manifests.push_back(TRY(oci::ParseDescriptor(descriptor, "the referrer")));
  RemoteManifest list;
  list.bytes = index.Render();
  list.digest = oci::Digest::Of(list.bytes);
  list.media_type = oci::kIndexType;
  return PutManifest(tag, list);
}

Result<std::vector<oci::Descriptor>> Client::ListReferrers(const oci::Reference& repository,
                                                           const oci::Digest& subject,
                                                           const std::atomic<bool>* cancelled) {
  const Endpoint endpoint = TRY(PushEndpoint(repository));
  Target target{endpoint, repository.repository, "/referrers/" + subject.Render(), {}, cancelled};
  target.headers.emplace_back("Accept", std::string(oci::kIndexType));
  std::vector<oci::Descriptor> referrers;
  for (int page = 0; page < kMaxPages; ++page) {
    std::string body;
    const Answer answer = TRY(AskSmall(target, kMaxListBytes, body));
    if (answer.head.status == 404 && page == 0) {
      oci::Reference tag = repository;
      tag.digest.reset();
      tag.tag = ReferrersTag(subject);
      auto listed = GetManifest(tag, cancelled);
      if (!listed && listed.error().code() == Code::kNotFound) return referrers;
      if (!listed) return std::move(listed).error();
      return TRY(oci::Index::Parse(listed->bytes)).manifests;
    }
    if (answer.head.status != 200) return Refusal(target, "the referrers of " + subject.Render(), answer);
    oci::Index index = TRY(oci::Index::Parse(body));
    std::move(index.manifests.begin(), index.manifests.end(), std::back_inserter(referrers));
    const std::string next = NextPage(answer.head);
    if (next.empty()) return referrers;
    target.location = TRY(answer.url.Resolve(next));
  }
  return FromRegistry(endpoint.name, Code::kRefused, "its list of referrers does not end");
}

Result<std::vector<std::string>> Client::ListTags(const oci::Reference& repository,
                                                  const std::atomic<bool>* cancelled) {
  const Endpoint endpoint = TRY(PushEndpoint(repository));
  Target target{endpoint, repository.repository, "/tags/list", {}, cancelled};
  std::vector<std::string> tags;
  for (int page = 0; page < kMaxPages; ++page) {
    std::string body;
    const Answer answer = TRY(AskSmall(target, kMaxListBytes, body));
    if (answer.head.status != 200) return Refusal(target, repository.repository, answer);
    const Json json = TRY(ParseJson(body));
    const JsonObject* object = json.if_object();
    const Json* list = object == nullptr ? nullptr : object->if_contains("tags");
    if (list != nullptr && list->is_array())
      for (const Json& tag : list->get_array())
        if (tag.is_string()) tags.emplace_back(tag.get_string());
    if (tags.size() > kMaxListed) break;
    const std::string next = NextPage(answer.head);
    if (next.empty()) return tags;
    target.location = TRY(answer.url.Resolve(next));
  }
  return FromRegistry(endpoint.name, Code::kRefused, "its list of tags does not end");
}

}  // namespace ingot::registry
