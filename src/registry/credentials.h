// Credentials: who we are to a registry, from Docker's config.json and the helpers that it names.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/sync.h"
#include "registry/docker_config.h"

namespace ingot::registry {

// Gives nothing for a registry to which we are nobody. Any thread.
using FindCredential = std::function<Result<std::optional<Credential>>(const std::string& registry,
                                                                       const std::string& repository)>;

class Credentials {
 public:
  // Those of `files` that exist are read when the first registry asks for a name; the first that knows the
  // registry counts.
  explicit Credentials(std::vector<fs::path> files) : files_(std::move(files)) {}

  // kInvalid: the file is broken. kFailed, kNotFound: the helper; kTimeout when it does not answer in 30 s.
  // The message names the file or helper.
  Result<std::optional<Credential>> Find(const std::string& registry, const std::string& repository);

 private:
  Result<const std::vector<DockerConfig>*> Load();
  const std::vector<fs::path> files_;
  struct State {
    std::optional<std::vector<DockerConfig>> configs;
  };
  Sync<State> state_;
};

// Where log-ins are looked for: $REGISTRY_AUTH_FILE alone, if it is set; else $DOCKER_CONFIG/config.json
// alone, if that is; else what `podman login` writes ($XDG_RUNTIME_DIR/containers/auth.json, then
// $XDG_CONFIG_HOME/containers/auth.json with ~/.config by default), then ~/.docker/config.json.
std::vector<fs::path> DockerConfigFiles();

}  // namespace ingot::registry
