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

Result<const DockerConfig*> Credentials::Load() {
  auto state = state_.lock();
  if (state->config) return &*state->config;
  DockerConfig config;
  for (const fs::path& file : files_) {
    auto bytes = ReadFile(file, 4 << 20);
    if (!bytes && bytes.error().code() == Code::kNotFound) continue;
    if (!bytes) return std::move(bytes).error();
    auto parsed = DockerConfig::Parse(*bytes);
    if (!parsed) return std::move(parsed).error().While("reading " + file.string());
    config = std::move(*parsed);
    break;
  }
  state->config = std::move(config);
  return &*state->config;
}

Result<std::optional<Credential>> Credentials::Find(const std::string& registry,
                                                    const std::string& repository) {
  const DockerConfig* config = TRY(Load());
  if (const DockerConfig::Helper helper = config->FindHelper(registry); !helper.name.empty()) {
    if (auto credential = TRY(AskHelper(helper))) return credential;
  }
  return config->Find(registry, repository);
}

std::vector<fs::path> DockerConfigFiles() {
  if (const char* directory = std::getenv("DOCKER_CONFIG"); directory != nullptr && *directory != '\0')
    return {fs::path(directory) / "config.json"};
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return {fs::path(home) / ".docker/config.json"};
  const struct passwd* user = ::getpwuid(::geteuid());
  if (user == nullptr) return {};
  return {fs::path(user->pw_dir) / ".docker/config.json"};
}

}  // namespace ingot::registry
