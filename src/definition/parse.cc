#include "definition/parse.h"

#include "definition/check.h"
#include "definition/reader.h"
#include "definition/shapes.h"
#include "definition/yaml.h"

namespace ingot::definition {

Parsed ParseAll(std::string_view bytes, std::string_view file_name, const Variables& variables) {
  Problems problems(file_name);
  const std::optional<Document> document = ReadYaml(bytes, problems);
  if (!document) return {std::nullopt, std::move(problems).Take(), "", {}};

  Definition definition;
  definition.file = file_name;
  Reader reader(problems, variables, definition.written);
  DefinitionShape().read(reader, *document->root, definition);
  definition.environments.try_emplace("local");
  CheckNames(definition, problems);
  if (problems.empty()) CheckServices(definition, problems);
  if (problems.empty()) CheckRoutes(definition, problems);
  if (problems.empty()) CheckRules(definition, problems);
  std::string project = definition.project;
  std::map<std::string, std::string> hosts;
  for (const auto& [name, environment] : definition.environments)
    if (!environment.host.empty()) hosts[name] = environment.host;
  if (!problems.empty())
    return {std::nullopt, std::move(problems).Take(), std::move(project), std::move(hosts)};
  return {std::move(definition), {}, std::move(project), std::move(hosts)};
}

Result<Definition> Parse(std::string_view bytes, std::string_view file_name, const Variables& variables) {
  Parsed parsed = ParseAll(bytes, file_name, variables);
  if (parsed.definition) return *std::move(parsed.definition);
  std::string message;
  for (const Problem& problem : parsed.problems) message += (message.empty() ? "" : "\n") + problem.Render();
  return Error(Code::kInvalid, message);
}

}  // namespace ingot::definition
