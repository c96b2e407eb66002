// Revision: the immutable record that a deployment creates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "definition/resolved.h"
#include "oci/digest.h"
#include "plan/fleets.h"

namespace ingot::plan {

struct Revision {
  uint64_t number = 0;             // r1, r2, … per environment; never used twice
  std::optional<uint64_t> parent;  // what was active when it was made: where `rollback` goes
  definition::Resolved resolved;
  oci::Digest digest;  // definition::RevisionDigest(resolved)
  std::string actor;   // who applied it
  WallTime created{};
  std::vector<Fleet> fleets;  // derived: Fleets(resolved)
  std::vector<Job> jobs;      // derived: Jobs(resolved)

  std::string Name() const { return "r" + std::to_string(number); }
  const Fleet* FleetOf(std::string_view service) const;
  const Job* JobOf(std::string_view name) const;
  const Fleet* Find(const platform::FleetId& id) const;
  // The longest keep_old of its services.
  Milliseconds KeepOld() const;
  bool operator==(const Revision&) const = default;
};

// Services whose count follows the load, and how.
std::map<std::string, definition::ResolvedScale> ScalesOf(const definition::Resolved& resolved);
// By service: how many spares it has; those that have some.
std::map<std::string, uint32_t> SparesOf(const definition::Resolved& resolved);

// At which age instances of a service are replaced, of those that have one.
std::map<std::string, Milliseconds> MaxAgesOf(const definition::Resolved& resolved);

// Fills what is derived.
Revision MakeRevision(uint64_t number, std::optional<uint64_t> parent, definition::Resolved resolved,
                      std::string actor, WallTime created);

// docs/formats/rollout.md, "revision". Inverses. RevisionFromJson: kInvalid names the member; kCorrupt when
// the digest does not fit the definition.
Json ToJson(const Revision& revision);
Result<Revision> RevisionFromJson(const Json& json);

}  // namespace ingot::plan
