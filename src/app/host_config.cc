#include "app/host_config.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "app/host_certificates.h"
#include "app/problems.h"
#include "app/terminal.h"
#include "definition/yaml.h"

namespace ingot::app {

namespace {

constexpr char kDefaultHostConfig[] = "/etc/ingot/host.yaml";

// Where it was named, the file has to be there.
const char* NamedHostConfig(const Invocation& invocation) {
  if (!invocation.host_config.empty()) return invocation.host_config.c_str();
  const char* named = std::getenv("INGOT_HOST_CONFIG");
  return named != nullptr && *named != '\0' ? named : nullptr;
}

Result<definition::ParsedHost> ReadHost(const fs::path& file) {
  auto bytes = ReadFile(file, definition::kMaxDefinitionBytes);
  if (!bytes) return std::move(bytes).error().While("reading the host's configuration");
  return definition::ParseHost(*bytes, file.string());
}

}  // namespace

fs::path HostConfigFile(const Invocation& invocation) {
  const char* named = NamedHostConfig(invocation);
  return named != nullptr ? named : kDefaultHostConfig;
}

Result<definition::Host> LoadHost(const Invocation& invocation) {
  const fs::path file = HostConfigFile(invocation);
  auto parsed = ReadHost(file);
  if (!parsed && parsed.error().code() == Code::kNotFound && NamedHostConfig(invocation) == nullptr) {
    definition::Host host;
    host.file = file;
    return host;
  }
  if (!parsed) return std::move(parsed).error();
  if (parsed->host) return *std::move(parsed->host);
  std::string message;
  for (const definition::Problem& problem : parsed->problems)
    message += (message.empty() ? "" : "\n") + problem.Render();
  return Error(Code::kInvalid, message);
}

fs::path HostFile(const definition::Host& host, const std::string& name) {
  return fs::absolute(fs::path(host.file)).parent_path() / name;
}

void AddHostOption(CLI::App& verb, Invocation& invocation) {
  verb.add_option("--host-config", invocation.host_config,
                  "the host's configuration (default: $INGOT_HOST_CONFIG or /etc/ingot/host.yaml)");
}

int ValidateHost(const Invocation& invocation, const std::string& named) {
  const std::string file = named.empty() ? HostConfigFile(invocation).string() : named;
  auto parsed = ReadHost(file);
  // Not there, and nobody said that it is: what LoadHost makes of it.
  if (!parsed && parsed.error().code() == Code::kNotFound && named.empty() &&
      NamedHostConfig(invocation) == nullptr) {
    if (!invocation.json) std::printf("there is no %s: every default holds\n", file.c_str());
    if (invocation.json) PrintJson(JsonObject{{"valid", true}, {"problems", JsonArray{}}});
    return kDone;
  }
  if (!parsed) return Report(invocation, parsed.error());
  std::vector<definition::Problem> problems = std::move(parsed->problems);
  if (parsed->host) {
    const WallTime now = SystemClock().Now();
    for (const SeenCertificate& seen : LookAtCertificates(*parsed->host)) {
      const auto problem = seen.Problem(now);
      if (!problem) continue;
      // Whoever may not read a key can still check the file.
      if (!seen.loaded && seen.loaded.error().code() == Code::kPermission) {
        std::fprintf(stderr, "%s %s\n", Paint(Colour::kYellow, "not checked:").c_str(), problem->c_str());
        continue;
      }
      problems.push_back({file, 0, 0, *problem});
    }
  }
  if (const auto code = ShowProblems(invocation, problems)) return *code;
  std::printf("%s is valid: %zu rules for repositories, %zu upstreams\n", file.c_str(),
              parsed->host->registry.repositories.size(), parsed->host->registry.upstreams.size());
  return kDone;
}

}  // namespace ingot::app
