#include "definition/schema.h"

#include "definition/shapes.h"

namespace ingot::definition {

std::string JsonSchema() {
  SchemaWriter writer;
  const Json root = DefinitionShape().schema(writer);
  JsonObject schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                    {"title", "ingot.yaml, version 1"},
                    {"$ref", root.at("$ref")},
                    {"$defs", std::move(writer).Take()}};
  return RenderPretty(schema) + "\n";
}

}  // namespace ingot::definition
