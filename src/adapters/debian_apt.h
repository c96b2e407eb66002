// apt with a state of its own: asks mirrors what packages there are and fetches them, without reading or
// writing the host's apt state. Only the host's Acquire settings (proxies and the like) are taken over.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/subprocess.h"
#include "build/debian_base.h"
#include "build/lock_file.h"

namespace ingot::adapters {

class DebianApt {
 public:
  // `directory`: apt's state for these sources, made if missing. kUnsupported when apt or the archive's
  // keyring is not installed.
  static Result<DebianApt> Open(const fs::path& directory, std::vector<build::DebianSource> sources,
                                const std::string& architecture);

  // Fetches the indexes; kUnavailable names the mirror that did not answer. Afterwards `sources` have their
  // dates.
  Result<void> Update(const build::DebianBase::Note& note);
  // What the essential packages and `packages` come down to. kNotFound: a package that is not there.
  Result<std::vector<build::DebianPackage>> Solve(const std::vector<std::string>& packages) const;
  const std::vector<build::DebianSource>& sources() const { return sources_; }

  // Downloads files: URL, where to, SHA-256. kNotFound names the first that the mirror does not have,
  // kCorrupt one that is not what it should be, kUnavailable the mirror.
  struct Download {
    std::string url;
    fs::path target;
    std::string sha256;
  };
  Result<void> Fetch(const std::vector<Download>& downloads) const;

 private:
  Command AptCommand(std::vector<std::string> argv) const;
  fs::path directory_;
  std::vector<build::DebianSource> sources_;
};

// One line of `apt-get --print-uris`: 'URL' NAME_VERSION_ARCH.deb SIZE SHA256:HEX. The path is relative to
// the source whose URI it begins with; `source` is that one's number. kInvalid for any other line.
Result<build::DebianPackage> ParseUriLine(std::string_view line,
                                          const std::vector<build::DebianSource>& sources);

// The Date of a Release or InRelease file. kInvalid when there is none.
Result<int64_t> ParseReleaseDate(std::string_view release);

}  // namespace ingot::adapters
