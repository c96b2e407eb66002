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
  // The first of `files` that exists is read, when the first registry asks for a name.
  explicit Credentials(std::vector<fs::path> files) : files_(std::move(files)) {}

  // kInvalid: the file is broken. kFailed, kNotFound: the helper; kTimeout when it does not answer in 30 s.
  // The message names the file or helper.
  Result<std::optional<Credential>> Find(const std::string& registry, const std::string& repository);

 private:
  Result<const DockerConfig*> Load();
  const std::vector<fs::path> files_;
  struct State {
    std::optional<DockerConfig> config;
    fs::path file;
  };
  Sync<State> state_;
};

// $DOCKER_CONFIG/config.json or ~/.docker/config.json.
std::vector<fs::path> DockerConfigFiles();

}  // namespace ingot::registry
