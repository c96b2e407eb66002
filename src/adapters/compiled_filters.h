// CompiledFilters: crun compiles the seccomp profile for each container (10 ms) and leaves the result beside
// its state. The first of a set of capabilities is the model for all others.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/sync.h"

namespace ingot::adapters {

// Safe to use from several threads.
class CompiledFilters {
 public:
  // The filter for these capabilities, in base64; "": there is none yet, and that of this container will be
  // kept.
  std::string For(const std::string& container, const std::vector<std::string>& capabilities);
  // The container was created: what crun left in `state`, its folder, is kept if it is wanted.
  void Keep(const std::string& container, const fs::path& state);
  void Forget(const std::string& container);

 private:
  struct State {
    std::map<std::vector<std::string>, std::string> compiled;  // by capabilities
    std::map<std::string, std::vector<std::string>> wanted;    // by container
  };
  Sync<State> state_;
};

}  // namespace ingot::adapters
