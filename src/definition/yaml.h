// YAML 1.2 → Document. yaml.cc is the only file that knows yaml-cpp.
#pragma once

#include <optional>
#include <string_view>

#include "definition/node.h"
#include "definition/problem.h"

namespace ingot::definition {

inline constexpr size_t kMaxDefinitionBytes = size_t{1} << 20;
inline constexpr size_t kMaxDefinitionDepth = 32;
inline constexpr size_t kMaxDefinitionNodes = 50'000;

// Reads the one document of `bytes`. Unset when nothing can be made of them (a problem says why); duplicate
// keys and the like are problems too, but leave a document to go on with. Any input takes bounded work: the
// three limits above hold for bytes, nesting, and nodes with every alias expanded.
std::optional<Document> ReadYaml(std::string_view bytes, Problems& problems);

}  // namespace ingot::definition
