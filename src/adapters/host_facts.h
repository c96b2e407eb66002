// What this host gives, what it lacks, and which guarantee that costs: `ingot doctor`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

enum class FactState {
  kOk,
  kDegraded,  // works by another way, at a cost that `lost` names
  kMissing,   // does not work: `lost` names what
  kUnknown,   // could not look: never to be read as fine
};
std::string_view FactStateName(FactState state);  // "ok", "degraded", "missing", "unknown"

struct HostFact {
  std::string name;  // stable, for JSON: "kernel", "erofs_file", …
  FactState state = FactState::kUnknown;
  std::string seen;    // "6.18.44", "crun 1.8.1"
  std::string lost;    // the guarantee that is lost; empty when kOk
  std::string remedy;  // what to do; empty when kOk
};

// Looks at everything by trying it, below `root` (made if missing) and in throw-away namespaces; leaves
// nothing behind. Takes some 100 ms.
std::vector<HostFact> LookAtHost(const fs::path& root);

}  // namespace ingot::adapters
