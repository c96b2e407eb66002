#include "registry/credentials.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "base/subprocess.h"

namespace ingot::registry {
namespace {

constexpr Milliseconds kHelperPatience{30'000};

Result<std::optional<Credential>> AskHelper(const DockerConfig::Helper& helper) {
  const std::string program = "docker-credential-" + helper.name;
  Command command;
  command.argv = {program, "get"};
  CommandResult result = TRY(Run(std::move(command), kHelperPatience, helper.server));
  if (!result.ok()) {
    // The helpers' own protocol: said on standard output, in these words.
    if (result.out.find("credentials not found") != std::string::npos) return std::optional<Credential>();
    std::string said = result.err.empty() ? result.out : result.err;
    said = said.substr(0, std::min<size_t>(said.find('\n'), 300));
    return Error(Code::kFailed, program + " get " + helper.server + ": " + result.Describe() +
                                    (said.empty() ? "" : ": " + said));
  }
  auto credential = ParseHelperAnswer(result.out);
  if (!credential) return std::move(credential).error().While("reading the answer of " + program);
  return std::optional<Credential>(std::move(*credential));
}

}  // namespace

Result<const std::vector<DockerConfig>*> Credentials::Load() {
  auto state = state_.lock();
  if (state->configs) return &*state->configs;
  std::vector<DockerConfig> configs;
  for (const fs::path& file : files_) {
    auto bytes = ReadFile(file, 4 << 20);
    if (!bytes && bytes.error().code() == Code::kNotFound) continue;
    if (!bytes) return std::move(bytes).error();
    auto parsed = DockerConfig::Parse(*bytes);
    if (!parsed) return std::move(parsed).error().While("reading " + file.string());
    configs.push_back(std::move(*parsed));
  }
  state->configs = std::move(configs);
  return &*state->configs;
}

Result<std::optional<Credential>> Credentials::Find(const std::string& registry,
                                                    const std::string& repository) {
  const std::vector<DockerConfig>* configs = TRY(Load());
  for (const DockerConfig& config : *configs) {
    if (const DockerConfig::Helper helper = config.FindHelper(registry); !helper.name.empty()) {
      if (auto credential = TRY(AskHelper(helper))) return credential;
    }
    if (auto credential = config.Find(registry, repository)) return credential;
  }
  return std::optional<Credential>();
}

std::vector<fs::path> DockerConfigFiles() {
  const auto variable = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const fs::path file = variable("REGISTRY_AUTH_FILE"); !file.empty()) return {file};
  if (const fs::path directory = variable("DOCKER_CONFIG"); !directory.empty())
    return {directory / "config.json"};
  fs::path home = variable("HOME");
  if (home.empty()) {
    if (const struct passwd* user = ::getpwuid(::geteuid()); user != nullptr) home = user->pw_dir;
  }
  std::vector<fs::path> files;
  const fs::path podman = fs::path("containers") / "auth.json";
  if (const fs::path runtime = variable("XDG_RUNTIME_DIR"); !runtime.empty())
    files.push_back(runtime / podman);
  if (const fs::path config = variable("XDG_CONFIG_HOME"); !config.empty()) {
    files.push_back(config / podman);
  } else if (!home.empty()) {
    files.push_back(home / ".config" / podman);
  }
  if (!home.empty()) files.push_back(home / ".docker" / "config.json");
  return files;
}

}  // namespace ingot::registry
