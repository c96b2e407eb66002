// A Compose file (compose.yaml of Docker) as a definition: what can be said in one is, and of what cannot
// each field is named with the reason.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "definition/problem.h"

namespace ingot::definition {

struct ComposeInput {
  std::string file_name;  // for messages: "compose.yaml"
  std::string project;    // a name; the file's own `name:` comes before it
  // Of .env beside the file: what ${NAME} stands for where the environment has nothing.
  std::map<std::string, std::string> dot_env;
  // The bytes of a file that the Compose file names (env_file); unset: there is none.
  std::function<std::optional<std::string>(const std::string& path)> read;
};

// Something that is not in the definition, or not as it was.
struct ComposeNote {
  std::string path;  // "services.web.networks"
  int line = 0;      // in the Compose file; 0: of none
  std::string why;
  bool operator==(const ComposeNote&) const = default;
};

struct ComposeImport {
  std::string definition;          // ingot.yaml: it parses, with every service that could be kept
  std::vector<ComposeNote> notes;  // in the order of the file
  size_t services = 0;
};

// kInvalid: the bytes are no Compose file (each problem on a line), or nothing of it can run.
Result<ComposeImport> ImportCompose(std::string_view bytes, const ComposeInput& input);

// KEY=VALUE lines of an env file: comments, `export`, and quotes as Docker reads them.
std::map<std::string, std::string> ParseEnvFile(std::string_view bytes);

}  // namespace ingot::definition
