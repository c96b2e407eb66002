// What becomes of the data of stateful services. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "definition/resolved.h"

namespace ingot::plan {

// kConflict when a volume goes from one service to another: while `before` serves its members have it, and no
// instance of `next` could start. The message names both, and the way.
Result<void> CheckVolumes(const definition::Resolved& before, const definition::Resolved& next);

// What somebody who applies `next` over `before` (null: nothing serves) should know of its volumes, a
// sentence each: sizes that are not kept, with the reason `sizes_not_kept` (empty: they are), and members
// that go, whose volumes stay. `counts_before`, `counts_next`: in effect, by service.
std::vector<std::string> VolumeWarnings(const definition::Resolved* before, const definition::Resolved& next,
                                        const std::map<std::string, uint32_t>& counts_before,
                                        const std::map<std::string, uint32_t>& counts_next,
                                        const std::string& sizes_not_kept);

}  // namespace ingot::plan
