// RepositoryRows: what was pushed to the registry, per repository. Part of the Catalog.
//
// A row keeps its blob: garbage collection removes no file that a row here names. A tag refers to a manifest
// of its own repository; a manifest's blobs need rows of their own, which the registry checks when it is
// pushed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "oci/digest.h"

namespace ingot::store {

struct Tag {
  std::string repository;
  std::string tag;
  oci::Digest digest;
  WallTime updated{};
  bool operator==(const Tag&) const = default;
};

struct RepositoryBlob {
  std::string repository;
  oci::Digest digest;
  uint64_t size_bytes = 0;
  WallTime created{};
  bool operator==(const RepositoryBlob&) const = default;
};

struct RepositoryManifest {
  std::string repository;
  oci::Digest digest;
  std::string media_type;
  uint64_t size_bytes = 0;
  std::optional<oci::Digest> subject;  // what it refers to, which need not exist
  std::string artifact_type;           // may be empty
  std::string descriptor;              // JSON, as a list of referrers shows it; empty without a subject
  WallTime created{};
  bool operator==(const RepositoryManifest&) const = default;
};

// Put… replaces a row of the same key, but keeps its `created`. Remove… say whether there was something to
// remove. Lists are sorted by key.
class RepositoryRows {
 public:
  virtual ~RepositoryRows() = default;

  // Whether it has a blob or a manifest.
  virtual Result<bool> HasRepository(std::string_view repository) const = 0;

  virtual Result<void> PutRepositoryBlob(const RepositoryBlob& blob) = 0;
  virtual Result<std::optional<RepositoryBlob>> FindRepositoryBlob(std::string_view repository,
                                                                   const oci::Digest& digest) const = 0;
  // In any repository: the first by name.
  virtual Result<std::optional<RepositoryBlob>> FindRepositoryBlob(const oci::Digest& digest) const = 0;
  virtual Result<bool> RemoveRepositoryBlob(std::string_view repository, const oci::Digest& digest) = 0;

  virtual Result<void> PutRepositoryManifest(const RepositoryManifest& manifest) = 0;
  virtual Result<std::optional<RepositoryManifest>> FindRepositoryManifest(
      std::string_view repository, const oci::Digest& digest) const = 0;
  // With the tags that name it.
  virtual Result<bool> RemoveRepositoryManifest(std::string_view repository, const oci::Digest& digest) = 0;
  virtual Result<std::vector<RepositoryManifest>> ListReferrers(std::string_view repository,
                                                                const oci::Digest& subject) const = 0;

  // kExists when the repository has no such manifest.
  virtual Result<void> PutRepositoryTag(const Tag& tag) = 0;
  virtual Result<std::optional<Tag>> FindRepositoryTag(std::string_view repository,
                                                       std::string_view tag) const = 0;
  virtual Result<std::vector<Tag>> ListRepositoryTags(std::string_view repository) const = 0;
  // Of all repositories.
  virtual Result<std::vector<Tag>> ListRepositoryTags() const = 0;
  virtual Result<bool> RemoveRepositoryTag(std::string_view repository, std::string_view tag) = 0;

  // By name, those that have something.
  virtual Result<std::vector<std::string>> ListRepositories() const = 0;
  virtual Result<std::vector<RepositoryManifest>> ListRepositoryManifests(
      std::string_view repository) const = 0;
  virtual Result<std::vector<RepositoryBlob>> ListRepositoryBlobs(std::string_view repository) const = 0;
  // Which have it, as a blob or a manifest.
  virtual Result<std::vector<std::string>> ListRepositoriesWith(const oci::Digest& digest) const = 0;

  // Of all blobs and manifests of all repositories, each once.
  virtual Result<std::vector<oci::Digest>> ListRepositoryDigests() const = 0;
};

}  // namespace ingot::store
