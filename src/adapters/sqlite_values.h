// How the values of store.db are written and read. Internal to sqlite_catalog_rows.cc and
// sqlite_repository_rows.cc.
#pragma once

#include <string>
#include <utility>

#include "base/clock.h"
#include "base/result.h"

namespace ingot::adapters {

// What is in the database was written by this program: a value that does not parse is damage.
template <typename T>
Result<T> Stored(Result<T> parsed) {
  if (parsed) return parsed;
  return Error(Code::kCorrupt, "store.db holds a value that is none: " + parsed.error().message() +
                                   " Restore it from a backup.");
}

inline int64_t MsOf(WallTime time) {
  return time.time_since_epoch().count();
}
inline WallTime TimeOf(int64_t ms) {
  return WallTime(std::chrono::milliseconds(ms));
}

}  // namespace ingot::adapters
