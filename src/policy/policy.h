// Policy: may this plan be carried out? Pure; every reason against it is given, not only the first.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "definition/resolved.h"
#include "oci/digest.h"
#include "plan/plan.h"

namespace ingot::policy {

struct Facts {
  std::set<oci::Digest> golden{};  // manifests of images that passed their tests
  bool allow_dirty = false;        // --allow-dirty, on the record
};

struct Verdict {
  std::vector<std::string> reasons;  // against it, for people; empty: allowed
  bool allowed() const { return reasons.empty(); }
};

// Against it: an image that is not golden; outside `local`, a work tree with uncommitted changes.
Verdict Judge(const plan::Plan& plan, const definition::Resolved& next, const Facts& facts);

// kRefused with all reasons when it is not allowed.
Result<void> Enforce(const Verdict& verdict);

}  // namespace ingot::policy
