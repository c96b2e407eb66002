// A registry in memory that obeys or not, for tests.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/sync.h"
#include "oci/descriptor.h"
#include "registry/client_http.h"

namespace ingot::registry {

struct FakeAnswer {
  int status = 200;
  std::multimap<std::string, std::string> headers;
  std::string body;
  std::optional<Error> broken;  // after the body
};

class FakeClientHttp final : public ClientHttp {
 public:
  using Handler = std::function<Result<FakeAnswer>(const ClientRequest&)>;
  explicit FakeClientHttp(Handler handler) : handler_(std::move(handler)) {}

  Result<ClientResponse> Send(const ClientRequest& request, const Body& body) override {
    requests_.lock()->push_back(request);
    FakeAnswer answer = TRY(handler_(request));
    ClientResponse head{answer.status, answer.headers};
    constexpr size_t kPiece = 1000;
    for (size_t at = 0; at < answer.body.size(); at += kPiece)
      TRY(body(head, std::string_view(answer.body).substr(at, kPiece)));
    if (answer.broken) return *answer.broken;
    return head;
  }
  std::vector<ClientRequest> requests() { return *requests_.lock(); }

 private:
  const Handler handler_;
  Sync<std::vector<ClientRequest>> requests_;
};

// "" when it was not sent.
inline std::string HeaderOf(const ClientRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers)
    if (key == name) return value;
  return "";
}

// What a registry holds: manifests by tag and digest, blobs by digest.
struct FakeRegistry {
  std::map<std::string, std::pair<std::string, std::string>> manifests;  // → media type, bytes
  std::map<std::string, std::string> blobs;

  oci::Descriptor AddBlob(std::string_view type, const std::string& bytes) {
    oci::Descriptor descriptor;
    descriptor.media_type = type;
    descriptor.digest = oci::Digest::Of(bytes);
    descriptor.size_bytes = bytes.size();
    blobs[descriptor.digest.Render()] = bytes;
    return descriptor;
  }
  oci::Descriptor AddManifest(std::string_view type, const std::string& bytes, const std::string& tag = "") {
    oci::Descriptor descriptor = AddBlob(type, bytes);
    blobs.erase(descriptor.digest.Render());
    manifests[descriptor.digest.Render()] = {std::string(type), bytes};
    if (!tag.empty()) manifests[tag] = {std::string(type), bytes};
    return descriptor;
  }
  // As an honest registry answers; Range is obeyed.
  FakeAnswer Serve(const ClientRequest& request) const {
    const std::string& target = request.url.target;
    const std::string last = target.substr(target.rfind('/') + 1);
    FakeAnswer answer;
    if (target.find("/manifests/") != std::string::npos && manifests.contains(last)) {
      answer.headers.emplace("content-type", manifests.at(last).first);
      answer.headers.emplace("docker-content-digest", oci::Digest::Of(manifests.at(last).second).Render());
      answer.body = manifests.at(last).second;
    } else if (target.find("/blobs/") != std::string::npos && blobs.contains(last)) {
      answer.body = blobs.at(last);
      if (const std::string range = HeaderOf(request, "Range"); !range.empty()) {
        const size_t from = std::stoul(range.substr(6));
        answer.status = 206;
        answer.headers.emplace("content-range", "bytes " + std::to_string(from) + "-" +
                                                    std::to_string(answer.body.size() - 1) + "/" +
                                                    std::to_string(answer.body.size()));
        answer.body.erase(0, from);
      }
    } else {
      answer.status = 404;
      answer.body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})";
    }
    return answer;
  }
};

}  // namespace ingot::registry
