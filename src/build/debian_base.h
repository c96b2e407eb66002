// DebianBase: where base images come from that are assembled from Debian packages. Implemented by
// adapters/mmdebstrap.h; a fake in tests.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "build/lock_file.h"

namespace ingot::build {

class DebianBase {
 public:
  virtual ~DebianBase() = default;
  // Called with one line at a time.
  using Note = std::function<void(std::string_view)>;

  // Asks the mirror what `packages` and the essential packages of `suite` come down to today. Deterministic
  // order. kUnavailable names the mirror that did not answer and what to do; kNotFound a package that the
  // suite does not have; kUnsupported when mmdebstrap or apt is not installed. Reads and writes nothing of
  // the host's own apt state.
  virtual Result<LockedBase> Resolve(const std::string& suite, const std::vector<std::string>& packages,
                                     const Note& note) = 0;

  // Makes the root file system of exactly these packages and calls `use` with its directory, once, on a
  // thread that sees it; it is gone afterwards, also after kill -9. Everything that differs between two runs
  // is removed or normalised, but for times: those later than NewestRelease are the caller's to clamp. The
  // outcome of `use` is passed on. kNotFound when the mirror no longer has a version (the message names
  // `ingot lock --upgrade`), kCorrupt when a package's SHA-256 is not the locked one, kUnavailable as above.
  virtual Result<void> Assemble(const LockedBase& base, const Note& note,
                                const std::function<Result<void>(const fs::path& root)>& use) = 0;

  // Bytes of every change of Assemble that changes its outcome: part of the cache key.
  virtual std::string Version() const = 0;
};

}  // namespace ingot::build
