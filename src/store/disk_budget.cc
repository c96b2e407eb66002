#include "store/disk_budget.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/sha256.h"
#include "base/units.h"
#include "store/lease.h"

namespace ingot::store {
namespace {

// How far ahead is reserved: one short transaction for so much.
constexpr uint64_t kReserveAhead = uint64_t{64} << 20;

Result<uint64_t> MeasureFolder(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code failed;
  fs::recursive_directory_iterator entry(folder, failed);
  if (failed == std::errc::no_such_file_or_directory) return bytes;
  for (; !failed && entry != fs::recursive_directory_iterator(); entry.increment(failed)) {
    struct stat st {};
    if (::lstat(entry->path().c_str(), &st) == 0) {
      if (S_ISREG(st.st_mode)) bytes += static_cast<uint64_t>(st.st_blocks) * 512;
    } else if (errno != ENOENT) {
      return ErrnoError(errno, "look at " + entry->path().string());
    }
  }
  if (failed && failed != std::errc::no_such_file_or_directory)
    return ErrnoError(failed.value(), "measure " + folder.string());
  return bytes;
}

Result<std::string> NewId() {
  std::array<char, 16> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return ErrnoError(errno, "get random bytes");
  return Hex(std::string_view(random.data(), random.size()));
}

uint64_t Plus(uint64_t bytes, int64_t change) {
  if (change >= 0) return bytes + static_cast<uint64_t>(change);
  const auto less = static_cast<uint64_t>(-change);
  return bytes > less ? bytes - less : 0;
}

Error Full(uint64_t limit, uint64_t used, uint64_t reserved, uint64_t wanted) {
  return Error(Code::kNoSpace,
               "the store would exceed its disk_limit: " + RenderSize(used) + " of " + RenderSize(limit) +
                   " are used" +
                   (reserved > 0 ? " and " + RenderSize(reserved) + " are reserved by running work" : "") +
                   ", " + RenderSize(wanted) +
                   " more are needed; `ingot gc --dry-run` says what can be freed, `ingot gc` frees it, or "
                   "raise disk_limit in host.yaml");
}

}  // namespace

uint64_t BlocksOf(const fs::path& file) {
  struct stat st {};
  return ::lstat(file.c_str(), &st) == 0 ? static_cast<uint64_t>(st.st_blocks) * 512 : 0;
}

Result<uint64_t> MeasureDisk(const fs::path& root) {
  uint64_t bytes = 0;
  // First where files come from, then where they go to.
  for (const char* folder : {"tmp", "objects.staging", "layers", "blobs", "objects"})
    bytes += TRY(MeasureFolder(root / folder));
  return bytes;
}

DiskBudget::~DiskBudget() {
  static_cast<void>(Settle().has_value());
}

void DiskBudget::SetLimit(std::optional<uint64_t> limit_bytes) {
  limit_ = limit_bytes;
}

Result<Reservation> DiskBudget::Mine(uint64_t bytes) const {
  const LeaseRow process = TRY(LeaseOfThisProcess());
  return Reservation{id_, process.boot_id, process.pid_namespace, process.pid, process.pid_start, bytes};
}

// kUnavailable when it must be measured first.
Result<DiskUsage> DiskBudget::UsageOf(const CatalogRows& rows) const {
  const auto usage = TRY(rows.FindDiskUsage());
  const LeaseRow process = TRY(LeaseOfThisProcess());
  if (!usage || usage->boot_id != process.boot_id)
    return Error(Code::kUnavailable, "what the store takes on the disk has not been measured yet");
  return *usage;
}

Result<void> DiskBudget::Take(uint64_t bytes) {
  if (!limit_) return {};
  const std::lock_guard guard(mutex_);
  if (static_cast<int64_t>(open_ + bytes) + kept_ > static_cast<int64_t>(granted_)) {
    auto refilled = Refill(bytes);
    if (!refilled && refilled.error().code() == Code::kUnavailable) {
      TRY(Measure());
      refilled = Refill(bytes);
    }
    TRY(std::move(refilled));
  }
  open_ += bytes;
  return {};
}

void DiskBudget::Keep(uint64_t bytes) {
  if (!limit_) return;
  const std::lock_guard guard(mutex_);
  open_ -= std::min(open_, bytes);
  kept_ += static_cast<int64_t>(bytes);
}

void DiskBudget::Give(uint64_t bytes) {
  if (!limit_) return;
  const std::lock_guard guard(mutex_);
  open_ -= std::min(open_, bytes);
}

void DiskBudget::Gone(uint64_t bytes) {
  if (!limit_) return;
  const std::lock_guard guard(mutex_);
  kept_ -= static_cast<int64_t>(bytes);
}

// What was kept becomes used.
Result<void> DiskBudget::Book(CatalogRows& rows, DiskUsage& usage) const {
  usage.used_bytes = Plus(usage.used_bytes, kept_);
  if (kept_ > 0) usage.added_bytes += static_cast<uint64_t>(kept_);
  return rows.PutDiskUsage(usage);
}

// Books what was kept and reserves for what is open, for `bytes` and ahead.
Result<void> DiskBudget::Refill(uint64_t bytes) {
  if (id_.empty()) id_ = TRY(NewId());
  uint64_t grant = 0;
  // A power cut makes the usage unknown anyway: it is measured anew.
  TRY(catalog_->Write(
      [&](CatalogRows& rows) -> Result<void> {
        DiskUsage usage = TRY(UsageOf(rows));
        TRY(Book(rows, usage));
        uint64_t others = 0;
        for (const Reservation& reservation : TRY(rows.ListReservations()))
          if (reservation.id != id_) others += reservation.bytes;
        const uint64_t spoken_for = usage.used_bytes + others + open_;
        const uint64_t left = *limit_ > spoken_for ? *limit_ - spoken_for : 0;
        if (left < bytes) return Full(*limit_, usage.used_bytes, others + open_, bytes);
        grant = std::min(left, bytes + kReserveAhead);
        // Near the limit only what is needed: another process shall find the rest.
        if (left - bytes < 2 * kReserveAhead) grant = bytes;
        grant += open_;
        return rows.PutReservation(TRY(Mine(grant)));
      },
      Durability::kNone));
  granted_ = grant;
  kept_ = 0;
  return {};
}

Result<void> DiskBudget::Settle() {
  const std::lock_guard guard(mutex_);
  if (id_.empty()) return {};
  TRY(catalog_->Write(
      [&](CatalogRows& rows) -> Result<void> {
        if (auto usage = TRY(rows.FindDiskUsage())) TRY(Book(rows, *usage));
        return rows.PutReservation(TRY(Mine(open_)));
      },
      Durability::kNone));
  granted_ = open_;
  kept_ = 0;
  return {};
}

Result<DiskBudget::Usage> DiskBudget::Look() {
  if (!limit_) return Error(Code::kNotFound, "there is no disk_limit");
  Usage seen;
  const auto look = [&] {
    return catalog_->Read([&](const CatalogRows& rows) -> Result<void> {
      seen.used_bytes = TRY(UsageOf(rows)).used_bytes;
      seen.reserved_bytes = 0;
      for (const Reservation& reservation : TRY(rows.ListReservations()))
        seen.reserved_bytes += reservation.bytes;
      return {};
    });
  };
  auto looked = look();
  if (!looked && looked.error().code() == Code::kUnavailable) {
    TRY(Measure());
    looked = look();
  }
  TRY(std::move(looked));
  return seen;
}

Result<void> DiskBudget::Measure() {
  const LeaseRow process = TRY(LeaseOfThisProcess());
  // What others book while files are counted may have been counted or not: it is added, so that the sum is
  // never too small. What was booked before is in complete files, and reservations of the dead are in what is
  // counted.
  uint64_t added_before = 0;
  std::vector<Reservation> dead;
  TRY(catalog_->Read([&](const CatalogRows& rows) -> Result<void> {
    if (const auto usage = TRY(rows.FindDiskUsage())) added_before = usage->added_bytes;
    for (Reservation& reservation : TRY(rows.ListReservations())) {
      LeaseRow owner;
      owner.boot_id = reservation.boot_id;
      owner.pid_namespace = reservation.pid_namespace;
      owner.pid = reservation.pid;
      owner.pid_start = reservation.pid_start;
      if (LivenessOf(owner) == Liveness::kDead) dead.push_back(std::move(reservation));
    }
    return {};
  }));
  const uint64_t counted = TRY(MeasureDisk(root_));
  return catalog_->Write(
      [&](CatalogRows& rows) -> Result<void> {
        DiskUsage usage{counted, added_before, process.boot_id};
        if (const auto now = TRY(rows.FindDiskUsage())) {
          usage.added_bytes = now->added_bytes;
          usage.used_bytes += now->added_bytes - std::min(now->added_bytes, added_before);
        }
        for (Reservation& reservation : dead) {
          reservation.bytes = 0;
          TRY(rows.PutReservation(reservation));
        }
        return rows.PutDiskUsage(usage);
      },
      Durability::kNone);
}

}  // namespace ingot::store
