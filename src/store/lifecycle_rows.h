// LifecycleRows: what happened to names and images, by which it is decided what may move, go or be deployed:
// fixed tags, promotions, pulls, what was once built under a name, what was proven where, and how much of the
// disk is spoken for. Part of the Catalog. docs/formats/store.md.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "oci/digest.h"

namespace ingot::store {

// What an immutable tag was set to first. It outlives the tag: a tag that was deleted may come back only as
// what it was.
struct FixedTag {
  std::string repository;
  std::string tag;
  oci::Digest digest;
  WallTime created{};
  bool operator==(const FixedTag&) const = default;
};

// An image of the store that a local tag has named; gone with the image.
struct NamedImage {
  std::string repository;
  oci::Digest digest;
  WallTime named{};  // for the last time
  bool operator==(const NamedImage&) const = default;
};

// When a manifest of a repository was last pulled.
struct Pull {
  std::string repository;
  oci::Digest digest;
  WallTime pulled{};
  bool operator==(const Pull&) const = default;
};

// One movement of a channel. Never changed, never removed.
struct Promotion {
  uint64_t id = 0;  // 1, 2, …; given by the catalog
  std::string repository;
  std::string channel;  // the environment's name
  oci::Digest digest;
  std::optional<oci::Digest> previous;  // what the channel held before
  std::string source;                   // the environment that it was verified in; may be empty
  std::string actor;                    // "uid:0"
  std::string reason;                   // may be empty
  WallTime time{};
  bool operator==(const Promotion&) const = default;
};

// That a rollout of the image completed in an environment ("shop/staging").
struct Proof {
  std::string environment;
  oci::Digest digest;
  WallTime proven{};  // for the first time
  bool operator==(const Proof&) const = default;
};

// `policy.retention` of a project, as its last build said it.
struct ProjectRetention {
  std::string project;
  std::optional<uint64_t> keep;
  std::optional<Milliseconds> keep_for;
  bool operator==(const ProjectRetention&) const = default;
};

// Bytes that a process may yet write (disk_budget.h).
struct Reservation {
  std::string id;       // 32 hex digits, random
  std::string boot_id;  // of its process, as in a lease
  uint64_t pid_namespace = 0;
  pid_t pid = 0;
  uint64_t pid_start = 0;
  uint64_t bytes = 0;
  bool operator==(const Reservation&) const = default;
};

// How much the store's files take, as it was counted and has been added to since.
struct DiskUsage {
  uint64_t used_bytes = 0;
  uint64_t added_bytes = 0;  // ever; to tell what was added while files were counted
  std::string boot_id;       // of the host's run in which it was counted: a power cut may take what was added
  bool operator==(const DiskUsage&) const = default;
};

// Lists are sorted by key.
class LifecycleRows {
 public:
  virtual ~LifecycleRows() = default;

  // The first one stays.
  virtual Result<void> PutFixedTag(const FixedTag& tag) = 0;
  virtual Result<std::optional<FixedTag>> FindFixedTag(std::string_view repository,
                                                       std::string_view tag) const = 0;

  // kExists when there is no such image.
  virtual Result<void> PutNamedImage(const NamedImage& image) = 0;
  virtual Result<std::vector<NamedImage>> ListNamedImages() const = 0;

  // A later time replaces an earlier one. No change of the generation.
  virtual Result<void> PutPull(const Pull& pull) = 0;
  virtual Result<std::vector<Pull>> ListPulls(std::string_view repository) const = 0;
  virtual Result<void> RemovePull(std::string_view repository, const oci::Digest& digest) = 0;

  // Gives the number; `id` is ignored.
  virtual Result<uint64_t> AppendPromotion(const Promotion& promotion) = 0;
  // Oldest first. An empty repository: all.
  virtual Result<std::vector<Promotion>> ListPromotions(std::string_view repository) const = 0;
  // Whether the tag is a channel: something was promoted to it.
  virtual Result<bool> IsChannel(std::string_view repository, std::string_view tag) const = 0;

  // The first one stays.
  virtual Result<void> PutProof(const Proof& proof) = 0;
  virtual Result<std::vector<Proof>> ListProofs(const oci::Digest& digest) const = 0;

  // Replaces; without keep and keep_for it is removed.
  virtual Result<void> SetProjectRetention(const ProjectRetention& retention) = 0;
  virtual Result<std::vector<ProjectRetention>> ListProjectRetention() const = 0;

  // None of these is a change of the generation. 0 bytes: removed.
  virtual Result<void> PutReservation(const Reservation& reservation) = 0;
  virtual Result<std::vector<Reservation>> ListReservations() const = 0;
  virtual Result<void> PutDiskUsage(const std::optional<DiskUsage>& usage) = 0;
  virtual Result<std::optional<DiskUsage>> FindDiskUsage() const = 0;
};

}  // namespace ingot::store
