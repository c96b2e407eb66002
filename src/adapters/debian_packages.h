// Debian packages on this host: each fetched once, verified against its SHA-256, and kept unpacked one step
// (its two archives without compression), since decompressing is most of the work of installing it.
#pragma once

#include <string>
#include <vector>

#include "adapters/debian_apt.h"
#include "base/file.h"
#include "base/result.h"
#include "build/lock_file.h"

namespace ingot::adapters {

// As kept in the cache: DIRECTORY/<sha256>.deb and, beside it, <sha256>.control: its stanza for an index.
class DebianPackages {
 public:
  explicit DebianPackages(fs::path directory) : directory_(std::move(directory)) {}

  // Those that the cache lacks.
  std::vector<build::DebianPackage> Missing(const std::vector<build::DebianPackage>& packages) const;
  // Fetches and keeps them. Errors as DebianApt::Fetch. Nothing half done is kept.
  Result<void> Add(const DebianApt& apt, const std::vector<build::DebianPackage>& packages,
                   const build::DebianBase::Note& note) const;
  // Makes `repository` a flat apt repository of exactly these packages, by hard links.
  Result<void> MakeRepository(const std::vector<build::DebianPackage>& packages,
                              const fs::path& repository) const;

 private:
  Result<void> Keep(const build::DebianPackage& package, const fs::path& file, const fs::path& work) const;
  fs::path directory_;
};

}  // namespace ingot::adapters
