// A build context: a directory as COPY and ADD see it, without reading a file more often than its contents
// change.
//
// Scan walks the directory with one statx per entry and compares it with an index kept from the last build
// (docs/formats/build-cache.md): an entry whose size, inode, mode, mtime and ctime are unchanged keeps the
// ObjectId that was measured then. A file that was changed within two seconds before it was measured (or
// later) is "racily clean": a change in the same clock tick could not be seen, so it is measured again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "build/dockerignore.h"
#include "store/object_pool.h"
#include "store/tree.h"

namespace ingot::build {

struct ContextEntry {
  enum class Type : uint8_t { kFile, kDirectory, kSymlink, kOther };  // kOther: sockets, fifos, devices
  Type type = Type::kFile;
  bool executable = false;  // of a file: the owner's x bit
  std::string target;       // of a symbolic link
  uint64_t size_bytes = 0;
  uint64_t inode = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  // A file's contents, when `measured`: the empty id for an empty file.
  bool measured = false;
  int64_t measured_ns = 0;  // wall time just before it was read
  store::ObjectId object;
};

class Context {
 public:
  using Entries = std::map<std::string, ContextEntry, store::PathOrder>;

  // `directory`: the context. `index_dir`: where its index is kept (one file per context). `dockerfile`:
  // relative to the context, for "<dockerfile>.dockerignore". kNotFound when there is no such directory,
  // kInvalid for a bad .dockerignore or more than 1,000,000 entries.
  static Result<Context> Scan(const fs::path& directory, const fs::path& index_dir,
                              std::string_view dockerfile);

  const fs::path& directory() const { return directory_; }
  // What is not ignored, in canonical order, without the root. Paths as in store::Tree.
  const Entries& entries() const { return entries_; }
  // Entries for the root ("") too.
  const ContextEntry* Find(std::string_view path) const;

  // Contents of a file as an ObjectId, measured if the index does not know it. kConflict when the file
  // changes while it is read; kNotFound when it went away.
  Result<store::ObjectId> Measure(const std::string& path);
  // The same, and the contents are in the pool afterwards (not flushed).
  Result<store::ObjectId> PutInPool(const std::string& path, store::ObjectPool& pool);

  // Whether every file measured or put is still as it was: kConflict names the first that changed.
  Result<void> CheckUnchanged() const;
  // Keeps what was measured for the next scan; writes nothing when nothing new was learnt. Losing it costs
  // time only.
  Result<void> SaveIndex();

  size_t files_read() const { return files_read_; }

 private:
  Result<void> Walk(int directory_fd, const std::string& prefix, const DockerIgnore& ignore,
                    const DockerIgnore::State& state, int depth);
  Result<store::ObjectId> Read(const std::string& path, store::ObjectPool* pool);

  fs::path directory_;
  fs::path index_file_;
  Entries entries_;
  ContextEntry root_;
  std::set<std::string> used_;  // measured or put by this build
  bool learnt_ = false;
  size_t files_read_ = 0;
};

}  // namespace ingot::build
