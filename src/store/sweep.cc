#include "store/sweep.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <set>
#include <vector>

#include "store/claims.h"
#include "store/lease.h"

namespace ingot::store {
namespace {

constexpr size_t kSessionDigits = 32;

struct HalfMade {
  std::string session;
  fs::path path;
};

// Listed before the leases are read: then each that belongs to a live session has its lease read, too.
Result<std::vector<HalfMade>> FindHalfMade(const StorePaths& paths) {
  std::vector<HalfMade> found;
  for (const fs::path& directory : {paths.layers, paths.blobs / "sha256", paths.blobs / "sha512"}) {
    for (const std::string& name : TRY(ListDirectory(directory))) {
      const std::string_view session = SessionOfTemporary(name);
      if (!session.empty()) found.push_back({std::string(session), directory / name});
    }
  }
  for (const std::string& name : TRY(ListDirectory(paths.claims)))
    if (name.size() == kSessionDigits) found.push_back({name, paths.claims / name});
  return found;
}

bool Lives(const LeaseRow& lease, WallTime now) {
  const Liveness liveness = LivenessOf(lease);
  return liveness == Liveness::kAlive || (liveness == Liveness::kUnknown && now < lease.expires);
}

// A process locks its claims file as long as it uses it, also before its first lease.
bool IsHeld(const fs::path& claims_file) {
  const Fd fd(::open(claims_file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return errno != ENOENT;
  return ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
}

}  // namespace

Result<uint64_t> SweepDead(Store& store, const Clock& clock) {
  const std::vector<HalfMade> found = TRY(FindHalfMade(store.paths()));
  std::set<std::string> live;
  std::vector<std::string> dead_leases;
  const WallTime now = clock.Now();
  TRY(store.catalog().Read([&](const CatalogRows& rows) -> Result<void> {
    for (const LeaseRow& lease : TRY(rows.ListLeases())) {
      if (Lives(lease, now)) {
        live.insert(lease.claims);
      } else {
        dead_leases.push_back(lease.id);
      }
    }
    return {};
  }));
  uint64_t removed = TRY(store.objects().SweepStaging());
  if (!dead_leases.empty()) {
    // The row first: a lease whose claims file is missing would stop every collection.
    TRY(store.catalog().Write(
        [&](CatalogRows& rows) -> Result<void> {
          for (const std::string& id : dead_leases) removed += TRY(rows.RemoveLease(id)) ? 1 : 0;
          return {};
        },
        Durability::kNone));
  }
  for (const HalfMade& file : found) {
    if (live.contains(file.session) || IsHeld(store.paths().claims / file.session)) continue;
    if (::unlink(file.path.c_str()) == 0) {
      ++removed;
    } else if (errno != ENOENT) {
      return ErrnoError(errno, "remove " + file.path.string());
    }
  }
  return removed;
}

}  // namespace ingot::store
