// DiskBudget: holds the store below the host's `disk_limit`, over all its processes.
//
// Before a process writes into the store's folders it takes the bytes from its budget, as the DiskShare of a
// file. The budget reserves ahead (64 MiB, or what is left) by a row of the catalog, in a transaction in
// which all processes' reservations and what is used are added up: together they never exceed the limit. A
// file that is complete is booked as used with the next reservation or at the end, and only then: what is
// half written stays in the reservation, for another process may just be counting the files. A killed process
// leaves its reservation, which counts until the store is measured; a measurement looks at every file and is
// made when none has been made since the host started, and by each garbage collection.
//
// Counted are whole blocks of the files below objects/, layers/, blobs/, objects.staging/ and tmp/; not the
// catalog, and not what a build's own steps write before it becomes a layer. docs/formats/store.md.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "store/catalog.h"

namespace ingot::store {

// Whole blocks.
constexpr uint64_t OnDisk(uint64_t bytes) {
  return (bytes + 4095) / 4096 * 4096;
}

// What the file takes now; 0 when there is none, or it cannot be looked at.
uint64_t BlocksOf(const fs::path& file);

// What the files below the store's root take now. Files that move to their names meanwhile are counted once
// or twice, never not at all.
Result<uint64_t> MeasureDisk(const fs::path& root);

// Any thread.
class DiskBudget {
 public:
  // Without a limit nothing is counted or refused. `catalog` must outlive it; `root` is the store's.
  DiskBudget(Catalog& catalog, fs::path root) : catalog_(&catalog), root_(std::move(root)) {}
  // Settles; what cannot be written down counts as used until the next measurement.
  ~DiskBudget();
  DiskBudget(const DiskBudget&) = delete;
  DiskBudget& operator=(const DiskBudget&) = delete;

  void SetLimit(std::optional<uint64_t> limit_bytes);
  std::optional<uint64_t> limit_bytes() const { return limit_; }

  // Files that were kept are gone.
  void Gone(uint64_t bytes);
  // Books the files that are complete and gives up the rest of the reservation, except what is half written.
  Result<void> Settle();

  struct Usage {
    uint64_t used_bytes = 0;
    uint64_t reserved_bytes = 0;  // by all processes
  };
  // kNotFound without a limit.
  Result<Usage> Look();
  // Counts every file again. Any number of processes may write meanwhile.
  Result<void> Measure();

 private:
  friend class DiskShare;
  // kNoSpace, with the limit, what is used and what to do, when the bytes do not fit; nothing is taken then.
  Result<void> Take(uint64_t bytes);
  // What was taken is in a complete file.
  void Keep(uint64_t bytes);
  // What was taken is not, nor will be.
  void Give(uint64_t bytes);

  Result<void> Refill(uint64_t bytes);
  Result<void> Book(CatalogRows& rows, DiskUsage& usage) const;
  Result<DiskUsage> UsageOf(const CatalogRows& rows) const;
  Result<Reservation> Mine(uint64_t bytes) const;

  Catalog* catalog_;
  fs::path root_;
  std::optional<uint64_t> limit_;
  std::mutex mutex_;
  std::string id_;        // of the reservation; empty: none yet
  uint64_t granted_ = 0;  // reserved by the row
  uint64_t open_ = 0;     // taken for files that are not complete yet
  int64_t kept_ = 0;      // in complete files, not booked yet; below 0: of what is booked so much is gone
};

// The share of one file that is being written: given back when it dies, unless the file is kept.
class DiskShare {
 public:
  // Without a budget everything fits. It must outlive the share.
  explicit DiskShare(DiskBudget* budget) : budget_(budget) {}
  DiskShare(DiskShare&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DiskShare& operator=(DiskShare&&) = delete;
  ~DiskShare() {
    if (budget_ != nullptr && bytes_ > 0) budget_->Give(bytes_);
  }
  // The file will have so many bytes. kNoSpace, and the share is as before.
  Result<void> Grow(uint64_t file_bytes) {
    const uint64_t whole = OnDisk(file_bytes);
    if (budget_ == nullptr || whole <= bytes_) return {};
    TRY(budget_->Take(whole - bytes_));
    bytes_ = whole;
    return {};
  }
  // The file is complete and stays; `replaced` bytes that had its name do not.
  void Keep(uint64_t replaced = 0) {
    if (budget_ == nullptr) return;
    budget_->Keep(std::exchange(bytes_, 0));
    if (replaced > 0) budget_->Gone(replaced);
  }

 private:
  DiskBudget* budget_;
  uint64_t bytes_ = 0;
};

}  // namespace ingot::store
