// Debian base images by mmdebstrap(1), from a repository of exactly the locked packages.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "build/debian_base.h"

namespace ingot::adapters {

class MmdebstrapBase final : public build::DebianBase {
 public:
  struct Options {
    fs::path cache_dir;   // packages and apt's indexes
    fs::path temp_dir;    // for the root file system when memory does not do
    std::string mirrors;  // INGOT_DEBIAN_MIRROR; empty: the host's own sources
    fs::path etc_apt = "/etc/apt";
  };
  explicit MmdebstrapBase(Options options) : options_(std::move(options)) {}

  Result<build::LockedBase> Resolve(const std::string& suite, const std::vector<std::string>& packages,
                                    const Note& note) override;
  Result<void> Assemble(const build::LockedBase& base, const Note& note,
                        const std::function<Result<void>(const fs::path& root)>& use) override;
  std::string Version() const override;

 private:
  Result<std::vector<build::DebianSource>> Sources(const std::string& suite) const;
  Options options_;
};

// Removes from a root file system what differs between two runs or belongs to the machine that made it, and
// what nobody reads in an image (manuals, translations, documentation but for copyright files). apt's sources
// become those of `base`.
Result<void> NormaliseDebianRoot(const fs::path& root, const build::LockedBase& base);

}  // namespace ingot::adapters
