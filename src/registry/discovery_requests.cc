#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "oci/descriptor.h"
#include "registry/requests.h"

namespace ingot::registry {
namespace {

constexpr size_t kMostTagsListed = 10'000;
constexpr size_t kMostReferrerBytes = size_t{4} << 20;

// All tags of a repository, in the order of their bytes; nothing when there is no such repository.
Result<std::optional<std::vector<std::string>>> TagsOf(const store::CatalogRows& rows,
                                                       const std::string& repository) {
  std::vector<std::string> tags;
  for (const store::Tag& tag : TRY(rows.ListRepositoryTags(repository))) tags.push_back(tag.tag);
  for (const store::Tag& tag : TRY(rows.ListTags(repository))) tags.push_back(tag.tag);
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  if (tags.empty() && !TRY(rows.HasRepository(repository))) return std::optional<std::vector<std::string>>();
  return std::optional(std::move(tags));
}

Result<Response> ListTags(RegistryState& state, const std::string& repository, size_t count,
                          const std::string& last) {
  std::optional<std::vector<std::string>> tags;
  TRY(state.store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    tags = TRY(TagsOf(rows, repository));
    return {};
  }));
  if (!tags) return ErrorAnswer(ErrorCode::kNameUnknown, "there is no repository " + repository);
  auto tag = last.empty() ? tags->begin() : std::upper_bound(tags->begin(), tags->end(), last);
  JsonArray listed;
  for (; tag != tags->end() && listed.size() < count; ++tag) listed.emplace_back(*tag);
  Response response;
  response.With("Content-Type", "application/json");
  if (tag != tags->end() && !listed.empty()) {
    // Tags need no percent-encoding.
    response.With("Link", "</v2/" + repository + "/tags/list?n=" + std::to_string(count) +
                              "&last=" + *std::prev(tag) + ">; rel=\"next\"");
  }
  response.text = RenderJson(JsonObject{{"name", repository}, {"tags", std::move(listed)}});
  return response;
}

// A page of descriptors after `last`; more are told by a Link.
Result<Response> ListReferrers(RegistryState& state, const std::string& repository,
                               const oci::Digest& subject, const std::optional<std::string>& artifact_type,
                               const std::string& last) {
  std::vector<store::RepositoryManifest> referrers;
  TRY(state.store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    referrers = TRY(rows.ListReferrers(repository, subject));
    return {};
  }));
  Response response;
  std::string list;
  std::string_view listed;
  for (const store::RepositoryManifest& referrer : referrers) {
    if (referrer.digest.Render() <= last) continue;
    if (artifact_type && referrer.artifact_type != *artifact_type) continue;
    if (list.size() + referrer.descriptor.size() > kMostReferrerBytes && !listed.empty()) {
      // Of a media type the "+" alone needs encoding in a query; a digest nothing.
      std::string filter;
      for (const char c : artifact_type.value_or("")) filter += c == '+' ? "%2B" : std::string(1, c);
      response.With("Link", "</v2/" + repository + "/referrers/" + subject.Render() +
                                "?last=" + std::string(listed) +
                                (artifact_type ? "&artifactType=" + filter : "") + ">; rel=\"next\"");
      break;
    }
    list += (list.empty() ? "" : ",") + referrer.descriptor;
    listed = referrer.digest.Render();
  }
  response.With("Content-Type", std::string(oci::kIndexType));
  if (artifact_type) response.With("OCI-Filters-Applied", "artifactType");
  response.text = "{\"schemaVersion\":2,\"mediaType\":\"" + std::string(oci::kIndexType) +
                  "\",\"manifests\":[" + list + "]}";
  return response;
}

}  // namespace

std::unique_ptr<Exchange> TagsRequest(RegistryState& state, const Route& route, const Request& request) {
  if (request.method != "GET") return Ready(ErrorAnswer(ErrorCode::kUnsupported, "the list of tags has GET"));
  size_t count = kMostTagsListed;
  if (const auto n = request.Parameter("n")) {
    const auto [end, error] = std::from_chars(n->data(), n->data() + n->size(), count);
    if (n->empty() || error != std::errc() || end != n->data() + n->size())
      return Ready(ErrorAnswer(400, ErrorCode::kUnsupported, "n is the number of tags asked for"));
    count = std::min(count, kMostTagsListed);
  }
  return std::make_unique<Answer>(Answer::Work::kQuick, [&state, repository = route.repository, count,
                                                         last = request.Parameter("last").value_or("")] {
    return ListTags(state, repository, count, last);
  });
}

std::unique_ptr<Exchange> ReferrersRequest(RegistryState& state, const Route& route, const Request& request) {
  if (request.method != "GET")
    return Ready(ErrorAnswer(ErrorCode::kUnsupported, "the list of referrers has GET"));
  const auto subject = oci::Digest::Parse(route.reference);
  if (!subject) return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, subject.error().message()));
  const auto artifact_type = request.Parameter("artifactType");
  if (artifact_type && !oci::IsMediaType(*artifact_type))
    return Ready(ErrorAnswer(400, ErrorCode::kUnsupported, "artifactType is a media type"));
  return std::make_unique<Answer>(Answer::Work::kQuick,
                                  [&state, repository = route.repository, subject = *subject, artifact_type,
                                   last = request.Parameter("last").value_or("")] {
                                    return ListReferrers(state, repository, subject, artifact_type, last);
                                  });
}

}  // namespace ingot::registry
