// What was pushed to the store's own registry, found by the name that FROM and `image:` give it.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "oci/reference.h"
#include "store/store.h"

namespace ingot::registry {

struct PushedImage {
  std::string repository;
  oci::Digest digest;  // of a manifest or an index
};

// `reference` is Normalized: "team/web:1.0" is docker.io/team/web:1.0 there, and what was pushed as
// team/web:1.0 goes before it. With a digest that manifest of the repository, whatever its tags. nullopt:
// there is none.
Result<std::optional<PushedImage>> FindPushed(store::Store& store, const oci::Reference& reference);

}  // namespace ingot::registry
