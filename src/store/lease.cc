#include "store/lease.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/file.h"
#include "store/claims.h"

namespace ingot::store {
namespace {

Result<std::string> BootId() {
  std::string text = TRY(ReadFile("/proc/sys/kernel/random/boot_id", 64));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<uint64_t> PidNamespace() {
  struct stat st {};
  if (::stat("/proc/self/ns/pid", &st) != 0) return ErrnoError(errno, "look at the pid namespace");
  return static_cast<uint64_t>(st.st_ino);
}

// Field 22 of /proc/PID/stat. The second field, the program's name, may hold anything; it ends with the last
// ')'.
Result<uint64_t> StartTime(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const std::string text = TRY(ReadFile(path, 4096));
  size_t at = text.rfind(')');
  if (at == std::string::npos) return Error(Code::kIo, path + " has an unknown form");
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  uint64_t start = 0;
  if (at == std::string::npos ||
      std::from_chars(text.data() + at + 1, text.data() + text.size(), start).ec != std::errc()) {
    return Error(Code::kIo, path + " has an unknown form");
  }
  return start;
}

}  // namespace

Result<LeaseRow> LeaseOfThisProcess() {
  LeaseRow row;
  row.boot_id = TRY(BootId());
  row.pid_namespace = TRY(PidNamespace());
  row.pid = ::getpid();
  row.pid_start = TRY(StartTime(row.pid));
  return row;
}

Liveness LivenessOf(const LeaseRow& lease) {
  const auto boot_id = BootId();
  const auto pid_namespace = PidNamespace();
  if (!boot_id || !pid_namespace) return Liveness::kUnknown;
  if (lease.boot_id != *boot_id) return Liveness::kDead;
  if (lease.pid_namespace != *pid_namespace) return Liveness::kUnknown;
  const auto start = StartTime(lease.pid);
  if (start) return *start == lease.pid_start ? Liveness::kAlive : Liveness::kDead;
  // ENOENT: no such process. (A process that ends while it is read gives ESRCH.)
  if (start.error().code() == Code::kNotFound) return Liveness::kDead;
  return ::kill(lease.pid, 0) != 0 && errno == ESRCH ? Liveness::kDead : Liveness::kUnknown;
}

Lease::Lease(Catalog* catalog, std::shared_ptr<Claims> claims, LeaseRow row)
    : catalog_(catalog), claims_(std::move(claims)), row_(std::move(row)) {}

Lease::Lease(Lease&& other) noexcept
    : catalog_(std::exchange(other.catalog_, nullptr)),
      claims_(std::move(other.claims_)),
      row_(std::move(other.row_)) {}

Lease::~Lease() {
  [[maybe_unused]] const auto released = Release();
}

Result<void> Lease::KeepImage(const oci::Digest& digest) {
  bool found = false;
  TRY(claims_->Claim(ClaimKind::kBlob, {ClaimBytes(digest)}, []() -> Result<void> { return {}; }));
  TRY(catalog_->Read([&](const CatalogRows& rows) -> Result<void> {
    found = TRY(rows.FindImage(digest)).has_value();
    return {};
  }));
  if (found) return {};
  return Error(Code::kNotFound, "There is no image " + digest.Render() + " in the store.");
}

Result<void> Lease::Release() {
  if (catalog_ == nullptr) return {};
  TRY(catalog_->Write(
      [&](CatalogRows& rows) -> Result<void> {
        TRY(rows.RemoveLease(row_.id));
        return {};
      },
      Durability::kNone));
  claims_->End();
  catalog_ = nullptr;
  return {};
}

}  // namespace ingot::store
