// Any bytes as a Compose file: no crash, bounded work; what becomes a definition parses.
#include <cstdint>
#include <cstdlib>

#include "definition/compose.h"
#include "definition/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace definition = ingot::definition;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  definition::ComposeInput input;
  input.file_name = "compose.yaml";
  input.project = "shop";
  input.dot_env = definition::ParseEnvFile(bytes.substr(0, 200));
  input.read = [&](const std::string& path) {
    return path.size() > 3 ? std::nullopt : std::optional<std::string>(bytes);
  };
  const auto imported = definition::ImportCompose(bytes, input);
  if (!imported) return 0;
  if (imported->services == 0) std::abort();
  definition::Variables variables;
  for (const definition::ComposeNote& note : imported->notes)
    if (note.path.starts_with("${"))
      variables.environment[note.path.substr(2, note.path.size() - 3)] = "value";
  if (!definition::ParseAll(imported->definition, "ingot.yaml", variables).definition) std::abort();
  return 0;
}
