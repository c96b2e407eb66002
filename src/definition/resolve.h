// Definition + environment → Resolved.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "definition/definition.h"
#include "definition/resolved.h"
#include "oci/digest.h"

namespace ingot::definition {

struct ResolveInput {
  std::string environment = "local";
  std::string commit;                                           // empty: not in a git work tree
  bool dirty = false;                                           // uncommitted changes
  bool allow_dirty = false;                                     // --allow-dirty
  std::map<std::string, oci::Digest> image_digests;             // by name in `images`
  std::map<std::string, std::string> secret_versions;           // by name in `secrets`
  std::map<std::string, std::vector<migrate::Script>> scripts;  // by name in `migrations`, sorted by version
};

// The services of the environment: `services` with the environment's overrides on top. Lists and scalars
// replace, `environment` and the blocks health, resources, rollout and scale merge key by key. kNotFound when
// the definition has no such environment.
Result<std::map<std::string, Service>> ServicesOf(const Definition& definition,
                                                  const std::string& environment);

// The images and secrets that services and migrations of the environment need: what ResolveInput must have.
Result<std::set<std::string>> ImagesNeeded(const Definition& definition, const std::string& environment);
Result<std::set<std::string>> SecretsNeeded(const Definition& definition, const std::string& environment);

// The migrations alone, as in Resolve.
Result<std::vector<ResolvedMigration>> ResolveMigrations(const Definition& definition,
                                                         const ResolveInput& input);

// kNotFound: no such environment (the message has the nearest name), or an image or secret version missing
// from the input. kRefused: outside `local`, a dirty work tree without allow_dirty.
Result<Resolved> Resolve(const Definition& definition, const ResolveInput& input);

}  // namespace ingot::definition
