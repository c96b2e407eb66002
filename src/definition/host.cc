#include "definition/host.h"

#include "base/glob.h"
#include "definition/reader.h"
#include "definition/shapes_host.h"
#include "definition/yaml.h"

namespace ingot::definition {

const RepositoryRule& HostRegistry::RuleFor(std::string_view repository) const {
  static const RepositoryRule otherwise{"**", {}, {}, {}, {}, {}};
  for (const RepositoryRule& rule : repositories)
    if (GlobMatches(rule.match, repository)) return rule;
  return otherwise;
}

const Upstream* HostRegistry::UpstreamFor(std::string_view repository) const {
  for (const Upstream& upstream : upstreams)
    if (GlobMatches(upstream.match, repository)) return &upstream;
  return nullptr;
}

ParsedHost ParseHost(std::string_view bytes, std::string_view file_name) {
  Problems problems(file_name);
  const std::optional<Document> document = ReadYaml(bytes, problems);
  if (!document) return {std::nullopt, std::move(problems).Take()};
  Host host;
  host.file = file_name;
  const Variables none;
  Reader reader(problems, none, host.written);
  HostShape().read(reader, *document->root, host);
  if (!problems.empty()) return {std::nullopt, std::move(problems).Take()};
  return {std::move(host), {}};
}

std::string HostJsonSchema() {
  SchemaWriter writer;
  const Json root = HostShape().schema(writer);
  JsonObject schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                    {"title", "host.yaml, version 1"},
                    {"$ref", root.at("$ref")},
                    {"$defs", std::move(writer).Take()}};
  return RenderPretty(schema) + "\n";
}

}  // namespace ingot::definition
