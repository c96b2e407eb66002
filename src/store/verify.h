// Recomputes every digest that an image rests on.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace ingot::store {

enum class ProblemKind {
  kMissing,     // it is not there
  kDamaged,     // it is there, and is not what its name promises
  kUnreadable,  // could not look: nothing is known about it
};
enum class ThingKind { kObject, kLayer, kBlob, kImage };

struct Problem {
  ProblemKind kind;
  ThingKind thing;
  std::string name;  // digest or object id
  fs::path path;
  std::string message;
  std::set<oci::Digest> images;  // that it affects
};

struct VerifyReport {
  std::vector<Problem> problems;  // sorted by thing, name
  uint64_t images = 0;
  uint64_t layers = 0;
  uint64_t blobs = 0;
  uint64_t objects = 0;
  uint64_t bytes = 0;  // read and hashed
  bool ok() const { return problems.empty(); }
  // How many problems are of this kind.
  size_t Count(ProblemKind kind) const;
};

struct VerifyOptions {
  // Empty: every image of the store.
  std::vector<oci::Digest> images;
  unsigned threads = 0;  // 0: one per core
  // Called now and then from one thread at a time, with what is done of what is known so far.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

// kNotFound: a named image does not exist. An image that fails is a problem in the report, not an Error; an
// Error means that the catalog itself could not be read.
Result<VerifyReport> Verify(Store& store, const VerifyOptions& options);

std::string_view ProblemKindName(ProblemKind kind);  // "missing", "damaged", "unreadable"
std::string_view ThingKindName(ThingKind kind);      // "object", "layer", "blob", "image"

}  // namespace ingot::store
