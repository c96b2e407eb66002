#include "app/init_from.h"

#include "base/json.h"
#include "build/dockerfile.h"
#include "definition/yaml.h"

namespace ingot::app {

namespace {

bool IsDockerfile(const fs::path& file) {
  const std::string name = file.filename().string();
  return name.starts_with("Dockerfile") || name.starts_with("Containerfile") ||
         file.extension() == ".Dockerfile";
}

// A Dockerfile says of its service what a Compose file with one service would.
Result<definition::ComposeImport> FromDockerfile(const fs::path& file, const std::string& bytes,
                                                 definition::ComposeInput input) {
  const build::Dockerfile dockerfile = TRY(build::ParseDockerfile(bytes, file.filename().string()));
  JsonArray ports;
  JsonObject service{{"build", JsonObject{{"context", "."}, {"dockerfile", file.filename().string()}}}};
  std::vector<definition::ComposeNote> notes;
  for (const build::Instruction& instruction : dockerfile.stages.back().instructions) {
    if (const auto* expose = std::get_if<build::ExposeInstruction>(&instruction.body)) {
      for (const std::string& port : expose->ports) {
        if (port.find('$') != std::string::npos)
          notes.push_back(
              {"EXPOSE " + port, instruction.line, "a port that a variable names; write it into `port`"});
        else if (port.find('-') == std::string::npos && ports.size() < 100)
          ports.emplace_back(std::to_string(8000 + ports.size()) + ":" + port);
        else
          notes.push_back({"EXPOSE " + port, instruction.line, "name the ports of the range in `ports`"});
      }
    } else if (const auto* volume = std::get_if<build::VolumeInstruction>(&instruction.body)) {
      for (const std::string& path : volume->paths)
        notes.push_back(
            {"VOLUME " + path, instruction.line,
             "what is written there is lost with the instance if `scratch` names it, and refused otherwise"});
    } else if (const auto* check = std::get_if<build::HealthcheckInstruction>(&instruction.body)) {
      JsonArray test;
      for (const std::string& word : check->test) test.emplace_back(word);
      const auto ms = [](std::chrono::nanoseconds time) {
        return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + "ms";
      };
      JsonObject health{{"test", std::move(test)}};
      if (check->interval.count() > 0) health["interval"] = ms(check->interval);
      if (check->timeout.count() > 0) health["timeout"] = ms(check->timeout);
      if (check->start_period.count() > 0) health["start_period"] = ms(check->start_period);
      if (check->retries > 0) health["retries"] = std::to_string(check->retries);
      service["healthcheck"] = std::move(health);
    }
  }
  if (!ports.empty()) service["ports"] = std::move(ports);
  const std::string compose =
      RenderJson(JsonObject{{"services", JsonObject{{input.project, std::move(service)}}}});
  definition::ComposeImport out = TRY(definition::ImportCompose(compose, input));
  for (definition::ComposeNote& note : out.notes) note.line = 0;  // of what was made of it
  out.notes.insert(out.notes.begin(), notes.begin(), notes.end());
  return out;
}

}  // namespace

Result<definition::ComposeImport> DefinitionFrom(const fs::path& file, const std::string& project) {
  const std::string bytes = TRY(ReadFile(file, definition::kMaxDefinitionBytes));
  definition::ComposeInput input;
  input.file_name = file.filename().string();
  input.project = project;
  if (IsDockerfile(file)) return FromDockerfile(file, bytes, std::move(input));
  const fs::path folder = file.parent_path();
  if (auto env = ReadFile(folder / ".env", definition::kMaxDefinitionBytes); env)
    input.dot_env = definition::ParseEnvFile(*env);
  input.read = [&](const std::string& path) -> std::optional<std::string> {
    auto text = ReadFile(folder / path, definition::kMaxDefinitionBytes);
    return text ? std::optional<std::string>(std::move(*text)) : std::nullopt;
  };
  return definition::ImportCompose(bytes, input);
}

}  // namespace ingot::app
