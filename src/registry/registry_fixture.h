// A registry over a store in a temporary folder, and a client of it without sockets.
#pragma once

#include <gmock/gmock.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "registry/registry.h"
#include "store/store_fixture.h"

namespace ingot::registry {

using store::Must;
using testing::HasSubstr;

inline constexpr const char* kType = "application/vnd.oci.image.manifest.v1+json";

class RegistryTest : public store::StoreTest {
 protected:
  void Reopen(bool accept_sparse = false) {
    registry_.reset();
    registry_ = Must(Registry::Open(*store_, clock_, {root_ / "tmp" / "uploads", {}, accept_sparse}));
  }
  void SetUp() override { Reopen(); }

  static Request Parsed(const std::string& method, const std::string& target) {
    Request request;
    request.method = method;
    const size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    std::string rest = mark == std::string::npos ? "" : target.substr(mark + 1);
    while (!rest.empty()) {
      const std::string pair = rest.substr(0, rest.find('&'));
      request.query.emplace_back(pair.substr(0, pair.find('=')), pair.substr(pair.find('=') + 1));
      rest.erase(0, pair.size() + 1);
    }
    return request;
  }
  Response Run(const Request& request, const std::string& body = "") {
    auto exchange = registry_->Begin(request);
    // In two pieces.
    bool goes_on = true;
    if (exchange->WantsBody() && !body.empty()) goes_on = exchange->Write(body.substr(0, body.size() / 2));
    if (exchange->WantsBody() && !body.empty() && goes_on) exchange->Write(body.substr(body.size() / 2));
    return exchange->Finish();
  }
  Response Call(const std::string& method, const std::string& target, const std::string& body = "") {
    Request request = Parsed(method, target);
    if (method != "GET" && method != "HEAD") request.content_length = body.size();
    return Run(request, body);
  }
  static std::string BodyOf(const Response& response) {
    if (response.file) {
      std::string bytes(response.file->size_bytes, '\0');
      EXPECT_EQ(::pread(response.file->fd.get(), bytes.data(), bytes.size(),
                        static_cast<off_t>(response.file->offset)),
                static_cast<ssize_t>(bytes.size()));
      return bytes;
    }
    if (!response.made) return response.text;
    std::string bytes;
    Must(response.made->write([&](std::string_view piece) -> Result<void> {
      bytes += piece;
      return {};
    }));
    EXPECT_EQ(bytes.size(), response.made->size_bytes);
    return bytes;
  }
  static std::string CodeOf(const Response& response) {
    const Json json = Must(ParseJson(response.text));
    return std::string(json.at("errors").at(0).at("code").as_string());
  }
  void PushBlob(const std::string& repository, const std::string& bytes) {
    const auto digest = oci::Digest::Of(bytes);
    const Response response =
        Call("POST", "/v2/" + repository + "/blobs/uploads/?digest=" + digest.Render(), bytes);
    ASSERT_EQ(response.status, 201) << response.text;
  }
  Response PutManifest(const std::string& repository, const std::string& reference, const std::string& bytes,
                       const std::string& type = kType) {
    Request request = Parsed("PUT", "/v2/" + repository + "/manifests/" + reference);
    request.content_type = type;
    request.content_length = bytes.size();
    return Run(request, bytes);
  }
  static std::string ManifestOf(const std::string& config, const std::vector<std::string>& layers,
                                const std::string& more = "") {
    const auto descriptor = [](const std::string& bytes) {
      return R"({"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
             oci::Digest::Of(bytes).Render() + R"(","size":)" + std::to_string(bytes.size()) + "}";
    };
    std::string list;
    for (const std::string& layer : layers) list += (list.empty() ? "" : ",") + descriptor(layer);
    return R"({"schemaVersion":2,"mediaType":")" + std::string(kType) + R"(","config":)" +
           descriptor(config) + R"(,"layers":[)" + list + "]" + more + "}";
  }

  std::unique_ptr<Registry> registry_;
};

}  // namespace ingot::registry
