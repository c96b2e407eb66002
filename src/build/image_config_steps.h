// What each Dockerfile instruction does to an image's configuration. Pure.
#pragma once

#include <string>

#include "build/dockerfile.h"
#include "oci/image_config.h"

namespace ingot::build {

// What a stage begins with on nothing: PATH alone, as BuildKit gives it.
oci::RunConfig ScratchConfig();

// The configuration with one expanded instruction applied. COPY, ADD, RUN and ARG change nothing.
class ConfigSteps {
 public:
  // `base`: the configuration a stage is built on. Its ONBUILD triggers are dropped: they are not supported.
  explicit ConfigSteps(oci::RunConfig base);
  void Apply(const Instruction& instruction);
  const oci::RunConfig& config() const { return config_; }

 private:
  oci::RunConfig config_;
  bool cmd_given_ = false;  // in this stage: ENTRYPOINT then leaves it alone
};

// WORKDIR, and destinations: `path` below the working directory, absolute and clean ("/srv/app").
std::string AbsolutePath(std::string_view working_dir, std::string_view path);

}  // namespace ingot::build
