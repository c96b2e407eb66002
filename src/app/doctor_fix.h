// `ingot doctor --fix`: what can be put right without a decision of a person's.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "adapters/host_facts.h"
#include "app/layout.h"
#include "base/result.h"

namespace ingot::app {

// Whether the folders of the root belong to root and let nobody in who may read secrets or data there.
adapters::HostFact FoldersFact(const Layout& layout);
// The data of stateful services: how much there is, and whether their sizes are limits.
adapters::HostFact VolumesFact(const Layout& layout);

struct Fix {
  std::string fact;  // HostFact::name
  std::string what;  // what is done, as a command where there is one
  // Unset: for a person to run; it would install something.
  std::function<Result<void>()> apply;
};

// For each fact that is not as it should be and that something can be done about; in this order. `install`:
// packages, too.
std::vector<Fix> FixesFor(const std::vector<adapters::HostFact>& facts, const Layout& layout, bool install);

}  // namespace ingot::app
