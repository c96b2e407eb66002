// Drift of an instance's root: the files that a running instance sees against those of its image.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "store/tree.h"

namespace ingot::observe {

// What a root shall be. Paths are absolute, as in the instance; links of the image in them are followed.
struct ExpectedRoot {
  const store::Tree* image = nullptr;  // its layers merged; must outlive the comparison
  std::vector<std::string> own;        // files that the instance has instead of the image's
  std::vector<std::string> mounts;     // what is mounted there is not looked into
  uint32_t first_id = 0;               // the image's owner 0; others follow
  uint32_t ids = UINT32_MAX;           // so many are mapped
};

struct RootDrift {
  enum class Kind {
    kMissing,     // the image has it, the root has not
    kChanged,     // it is not what the image says
    kUnexpected,  // neither of the image nor declared
  };
  Kind kind = Kind::kChanged;
  std::string path;  // absolute
  std::string detail;
  bool operator==(const RootDrift&) const = default;
};

struct RootReport {
  std::vector<RootDrift> drifts;     // in the order of paths
  std::vector<std::string> unknown;  // what could not be looked at, and why
  uint64_t files = 0;                // names that were compared
  uint64_t bytes = 0;                // contents that were read and hashed
  bool ok() const { return drifts.empty() && unknown.empty(); }
};

struct CompareOptions {
  unsigned threads = 0;  // 0: one per core
  // Called now and then, from one thread at a time.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

// Looks at everything below `root` (a folder that is open; it may be of another mount namespace) without
// leaving its mount, following no link, and hashes every file's contents. Times of folders and extended
// attributes are not compared. Never fails as a whole: what it could not look at is `unknown`.
RootReport CompareRoot(int root, const ExpectedRoot& expected, const CompareOptions& options);

std::string_view RootDriftKindName(RootDrift::Kind kind);  // "missing", "changed", "unexpected"
// [{"kind", "path", "detail"}]
JsonArray ToJson(const std::vector<RootDrift>& drifts);

}  // namespace ingot::observe
