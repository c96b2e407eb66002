// The part of the API about secrets. No answer has a value.
#include "app/api.h"

namespace ingot::app {

namespace {

Json VersionToJson(const secrets::SecretVersion& version, const std::string& name,
                   const Daemon::SecretUses& uses) {
  const auto found = uses.find({name, version.version});
  const Daemon::SecretUse use = found == uses.end() ? Daemon::SecretUse{} : found->second;
  JsonArray revisions;
  for (const uint64_t revision : use.revisions) revisions.emplace_back(revision);
  return JsonObject{{"version", version.version},
                    {"set", RenderTime(version.set)},
                    {"by", version.by.empty() ? Json(nullptr) : Json(version.by)},
                    {"revisions", std::move(revisions)},
                    {"active", use.active},
                    {"needed", use.Any()},
                    {"problem", version.problem.empty() ? Json(nullptr) : Json(version.problem)}};
}

Json SecretToJson(const secrets::Secret& secret, const Daemon::SecretUses& uses) {
  JsonArray versions;
  for (const secrets::SecretVersion& version : secret.versions)
    versions.push_back(VersionToJson(version, secret.name, uses));
  return JsonObject{{"name", secret.name}, {"versions", std::move(versions)}};
}

}  // namespace

Result<Json> Api::SecretVerbs(const Request& request, const Environment& environment,
                              const std::string& name) {
  secrets::SecretStore& store = daemon_.secrets();
  const auto record = [&](const char* kind, JsonObject detail) {
    detail["secret"] = name;
    return daemon_.events().Append({{"", environment.Render(), kind, request.peer.name, std::move(detail)}});
  };
  if (request.method == "GET" && name.empty()) {
    const Daemon::SecretUses uses = TRY(daemon_.UsesOfSecrets(environment));
    JsonArray out;
    for (const secrets::Secret& secret : TRY(store.List(environment)))
      out.push_back(SecretToJson(secret, uses));
    return Json(JsonObject{{"version", 1}, {"secrets", std::move(out)}});
  }
  if (request.method == "GET")
    return Json(JsonObject{{"name", name}, {"version", TRY(store.Newest(environment, name))}});
  if (request.method == "PUT" && !name.empty()) {
    const auto kept = TRY(store.Put(environment, name, request.body, request.peer.name));
    if (kept.changed) TRY(record("secret.set", {{"version", kept.version}}));
    return Json(JsonObject{{"name", name}, {"version", kept.version}, {"changed", kept.changed}});
  }
  if (request.method == "DELETE" && !name.empty()) {
    const auto removed = TRY(daemon_.RemoveSecret(environment, name, TRY(QueryText(request, "version")),
                                                  QueryFlag(request, "force")));
    JsonArray versions;
    JsonArray revisions;
    for (const std::string& version : removed.versions) versions.emplace_back(version);
    for (const uint64_t revision : removed.revisions) revisions.emplace_back(revision);
    for (const std::string& version : removed.versions)
      TRY(record("secret.removed", {{"version", version}, {"revisions", revisions}}));
    return Json(
        JsonObject{{"name", name}, {"removed", std::move(versions)}, {"revisions", std::move(revisions)}});
  }
  return Error(Code::kNotFound, "the API has no " + request.method + " " + request.path);
}

Result<Json> Api::RotateSecretsKey(const Request& request) {
  const auto rotated = TRY(daemon_.secrets().RotateKey());
  TRY(daemon_.events().Append({{"", "", "secret.key_rotated", request.peer.name,
                                JsonObject{{"key", rotated.key}, {"sealed", rotated.sealed}}}}));
  return Json(JsonObject{{"key", rotated.key}, {"sealed", rotated.sealed}});
}

}  // namespace ingot::app
