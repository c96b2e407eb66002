// The JSON Schema of ingot.yaml, for editors and other tools. Generated from the same tables that the parser
// reads by, so both know the same keys.
#pragma once

#include <string>

namespace ingot::definition {

// JSON Schema 2020-12, indented, with a description for every field.
std::string JsonSchema();

}  // namespace ingot::definition
