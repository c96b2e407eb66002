// ingot.lock: the exact packages behind `from: debian:SUITE` and the digests behind images from elsewhere,
// kept in version control beside ingot.yaml (docs/formats/lock.md).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "oci/digest.h"
#include "oci/reference.h"

namespace ingot::build {

// One place that packages come from, and the state of it that was resolved.
struct DebianSource {
  std::string uri;    // "http://deb.debian.org/debian"
  std::string suite;  // "bookworm-updates"
  std::vector<std::string> components;
  int64_t released_s = 0;  // the Date of its Release file, seconds since 1970
  bool operator==(const DebianSource&) const = default;
};

struct DebianPackage {
  std::string name;
  std::string version;
  std::string architecture;  // "amd64" or "all"
  std::string sha256;        // of the .deb: 64 hexadecimal digits
  uint64_t size_bytes = 0;   // of the .deb
  size_t source = 0;         // its number in `sources`
  std::string path;          // below that source's URI: "pool/main/b/bash/bash_5.2.15-2+b2_amd64.deb"
  bool operator==(const DebianPackage&) const = default;
};

// What one image's `from: debian:…` and `packages:` came down to.
struct LockedBase {
  std::string suite;                    // "bookworm"
  std::string architecture;             // of the host that resolved it: "amd64"
  std::vector<std::string> requested;   // `packages`, sorted, no duplicates
  std::vector<DebianSource> sources;    // in the order of preference
  std::vector<DebianPackage> packages;  // sorted by name, then architecture
  bool operator==(const LockedBase&) const = default;

  // Identity of what is installed: suite, architecture, names, versions, contents. Not where it came from.
  oci::Digest Identity() const;
  // The newest `released_s`: no file of the base is younger.
  int64_t NewestRelease() const;
};

struct LockFile {
  std::map<std::string, LockedBase> images;  // by name in the definition
  // What images from elsewhere are, whichever machine: the digest of an index or a manifest. By reference,
  // Normalized.
  std::map<oci::Reference, oci::Digest> references;
  bool operator==(const LockFile&) const = default;

  // YAML-compatible JSON, one package per line, sorted: equal values give equal bytes. Inverses. kInvalid
  // names the entry and says to run `ingot lock`.
  static Result<LockFile> Parse(std::string_view bytes);
  std::string Render() const;

  // `directory`/ingot.lock; an empty LockFile when there is none.
  static Result<LockFile> Load(const fs::path& directory);
  // Atomic and durable; does not write when the bytes are the same.
  Result<void> Save(const fs::path& directory) const;
};

}  // namespace ingot::build
