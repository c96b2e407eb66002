// The definition that `ingot init` writes.
#pragma once

#include <string>
#include <string_view>

namespace ingot::definition {

// A commented, minimal, valid definition: one service built from ./Dockerfile, a route on :8000, a health
// check. `project` must be a name (a DNS label); NameFrom makes one of a directory's name.
std::string StarterDefinition(std::string_view project);

// The nearest DNS label to `text`: "My Shop!" → "my-shop"; "app" when nothing is left.
std::string NameFrom(std::string_view text);

}  // namespace ingot::definition
