// Migration scripts as files below the root, named by the SHA-256 of their bytes: what was planned is what is
// run, and no repository is read at that time.
#pragma once

#include <string>
#include <string_view>

#include "base/file.h"

namespace ingot::app {

class ScriptFiles {
 public:
  // Makes the folder (0700).
  static Result<ScriptFiles> Open(const fs::path& directory);

  // Keeps the bytes, at most migrate::kMaxScriptBytes, and returns their checksum. Durable when it returns.
  Result<std::string> Put(std::string_view bytes) const;
  // kNotFound; kCorrupt when the bytes are not those of the checksum (64 hexadecimal digits).
  Result<std::string> Get(const std::string& checksum) const;

 private:
  explicit ScriptFiles(fs::path directory) : directory_(std::move(directory)) {}
  fs::path directory_;
};

}  // namespace ingot::app
