// What a backup says of itself: manifest.json, its first entry (docs/formats/backup.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backup/tar_archive.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/sha256.h"

namespace ingot::backup {

inline constexpr int64_t kBackupFormat = 1;
inline constexpr const char* kManifestName = "manifest.json";
inline constexpr size_t kMostManifestBytes = size_t{1} << 20;

// A folder of the archive, and all that is in it.
struct Part {
  std::string name;
  uint64_t entries = 0;
  uint64_t bytes = 0;  // of the contents of its files
  std::string sha256;  // PartDigest
  bool operator==(const Part&) const = default;
};

struct Manifest {
  std::string ingot;  // the version that wrote it
  std::string host;
  std::string root;
  WallTime created{};
  std::vector<Part> parts;            // in the order of the archive
  std::vector<std::string> warnings;  // what whoever restores it should know
  bool operator==(const Manifest&) const = default;

  const Part* Find(std::string_view part) const;
};

std::string RenderManifest(const Manifest& manifest);
// Inverse. kInvalid; kUnsupported: of a newer format.
Result<Manifest> ParseManifest(std::string_view text);

// One digest over every entry of a part: what it is called, what it is, and what it holds. So nothing can be
// changed, added, taken away or put elsewhere unnoticed.
class PartDigest {
 public:
  void Add(const TarEntry& entry);
  void Data(std::string_view bytes);
  Part Finish(std::string name);

 private:
  Sha256 sha_;
  uint64_t entries_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace ingot::backup
