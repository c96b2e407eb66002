#include "plan/revision.h"

#include <algorithm>

namespace ingot::plan {

const Fleet* Revision::FleetOf(std::string_view service) const {
  for (const Fleet& fleet : fleets)
    if (fleet.spec.id.service() == service) return &fleet;
  return nullptr;
}

const Job* Revision::JobOf(std::string_view name) const {
  for (const Job& job : jobs)
    if (job.spec.id.service() == name) return &job;
  return nullptr;
}

const Fleet* Revision::Find(const platform::FleetId& id) const {
  for (const Fleet& fleet : fleets)
    if (fleet.spec.id == id) return &fleet;
  return nullptr;
}

Milliseconds Revision::KeepOld() const {
  Milliseconds longest{0};
  for (const auto& service : resolved.services) longest = std::max(longest, service.rollout.keep_old);
  return longest;
}

std::map<std::string, definition::ResolvedScale> ScalesOf(const definition::Resolved& resolved) {
  std::map<std::string, definition::ResolvedScale> out;
  for (const auto& service : resolved.services)
    if (definition::Follows(service.scale)) out.emplace(service.name, *service.scale);
  return out;
}

std::map<std::string, uint32_t> SparesOf(const definition::Resolved& resolved) {
  std::map<std::string, uint32_t> out;
  for (const auto& service : resolved.services)
    if (service.scale && service.scale->spares > 0) out.emplace(service.name, service.scale->spares);
  return out;
}

std::map<std::string, Milliseconds> MaxAgesOf(const definition::Resolved& resolved) {
  std::map<std::string, Milliseconds> out;
  for (const auto& service : resolved.services)
    if (service.max_age > Milliseconds(0)) out.emplace(service.name, service.max_age);
  return out;
}

Revision MakeRevision(uint64_t number, std::optional<uint64_t> parent, definition::Resolved resolved,
                      std::string actor, WallTime created) {
  Revision revision;
  revision.number = number;
  revision.parent = parent;
  revision.digest = definition::RevisionDigest(resolved);
  revision.fleets = Fleets(resolved);
  revision.jobs = Jobs(resolved);
  revision.resolved = std::move(resolved);
  revision.actor = std::move(actor);
  revision.created = created;
  return revision;
}

Json ToJson(const Revision& revision) {
  return JsonObject{{"version", 1},
                    {"revision", revision.number},
                    {"parent", revision.parent ? Json(*revision.parent) : Json(nullptr)},
                    {"digest", revision.digest.Render()},
                    {"commit", revision.resolved.commit},
                    {"dirty", revision.resolved.dirty},
                    {"actor", revision.actor},
                    {"created", RenderTime(revision.created)},
                    {"definition", definition::ToJson(revision.resolved)}};
}

Result<Revision> RevisionFromJson(const Json& json) {
  if (!json.is_object()) return Error(Code::kInvalid, "revision: expected an object");
  const JsonObject& object = json.get_object();
  if (TRY(GetInt(object, "version")) != 1)
    return Error(Code::kUnsupported, "the revision was written by a newer version of Ingot");
  const int64_t number = TRY(GetInt(object, "revision"));
  if (number < 1) return Error(Code::kInvalid, "revision: expected a positive integer");
  std::optional<uint64_t> parent;
  const Json* written = object.if_contains("parent");
  if (written != nullptr && !written->is_null()) {
    const int64_t value = TRY(GetInt(object, "parent"));
    if (value < 1) return Error(Code::kInvalid, "parent: expected a positive integer or null");
    parent = static_cast<uint64_t>(value);
  }
  const Json* document = object.if_contains("definition");
  if (document == nullptr) return Error(Code::kInvalid, "definition: missing");
  Revision revision =
      MakeRevision(static_cast<uint64_t>(number), parent, TRY(definition::ResolvedFromJson(*document)),
                   TRY(GetString(object, "actor")), TRY(ParseTime(TRY(GetString(object, "created")))));
  if (revision.digest.Render() != TRY(GetString(object, "digest")))
    return Error(Code::kCorrupt, revision.Name() + " has the digest " + TRY(GetString(object, "digest")) +
                                     " but its definition has " + revision.digest.Render());
  return revision;
}

}  // namespace ingot::plan
