// Secrets as files below the root, one per version, readable by root alone. A version's name is a keyed hash
// of its bytes: it says nothing about them to somebody who sees it in a plan, and the same bytes get the same
// version.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "platform/fleet.h"

namespace ingot::app {

class SecretFiles {
 public:
  // Makes the folder (0700) and the key, once.
  static Result<SecretFiles> Open(const fs::path& directory);

  // Keeps the bytes, at most 1 MiB; returns the version. Durable when it returns.
  Result<std::string> Put(const platform::EnvironmentId& environment, const std::string& name,
                          std::string_view bytes) const;
  // kNotFound; kCorrupt when the bytes are not those of the version.
  Result<std::string> Get(const platform::EnvironmentId& environment, const platform::SecretRef& ref) const;

 private:
  SecretFiles(fs::path directory, std::string key) : directory_(std::move(directory)), key_(std::move(key)) {}
  std::string VersionOf(std::string_view bytes) const;
  fs::path directory_;
  std::string key_;
};

}  // namespace ingot::app
