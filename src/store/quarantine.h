// What was found damaged or missing, remembered until it is whole again: damaged bytes are moved aside, so
// that nobody is served them, and what needs them is refused by name.
//
// docs/formats/store.md, "Quarantine".
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/store.h"
#include "store/verify.h"

namespace ingot::store {

struct LostThing {
  ThingKind thing = ThingKind::kObject;  // object, layer or blob
  ProblemKind kind = ProblemKind::kDamaged;
  std::string name;  // as Problem has it
  std::string message;
  WallTime found{};
  std::set<oci::Digest> images;  // that need it
};

// Moves a damaged file aside and records it; a missing one is only recorded. Looks again, while nobody can
// claim it: false when it is whole by now. kInvalid: an image's rows, which have no file, or something that
// could not be read, of which nothing is known.
Result<bool> SetAside(Store& store, const Problem& problem, const Clock& clock);

// What is lost now, with those of `images` that are there. Things that have come back (were pushed, pulled or
// built again) are no longer, nor those that neither an image nor a repository needs any more (gc has removed
// the last one), as Verify sees it: their records go. Costs nothing when there are none.
Result<std::vector<LostThing>> ListLost(Store& store);

// kCorrupt with the names of what the image needs and has lost.
Result<void> RequireWhole(Store& store, const oci::Digest& image);

// The images that need this object, layer or blob; reads every sealed layer and manifest that can be read.
Result<std::set<oci::Digest>> ImagesThatNeed(Store& store, ThingKind thing, const std::string& name);

// Where the thing lies, or would. kInvalid: no such name.
Result<fs::path> PathOfThing(const Store& store, ThingKind thing, const std::string& name);

}  // namespace ingot::store
