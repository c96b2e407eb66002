#include "store/store.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/sha256.h"
#include "store/durable_file.h"
#include "store/store_state.h"
#include "store/verity.h"

namespace ingot::store {
namespace {

// How long a lease is believed where its process cannot be looked at (another pid namespace).
constexpr auto kLeaseLife = std::chrono::hours(24);
// A cache entry's time of use is written at most this often: a build that changes nothing writes nothing.
constexpr auto kUseGranularity = std::chrono::hours(1);

Result<std::string> RandomId() {
  std::array<char, 16> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return ErrnoError(errno, "get random bytes");
  return Hex(std::string_view(random.data(), random.size()));
}

}  // namespace

Result<void> RequireImage(const CatalogRows& rows, const oci::Digest& digest) {
  if (TRY(rows.FindImage(digest))) return {};
  return NotInStore("image", digest.Render());
}

Error NotInStore(std::string_view what, const std::string& name) {
  return Error(Code::kNotFound, "There is no " + std::string(what) + " " + name + " in the store.");
}

StorePaths StorePaths::Below(const fs::path& root) {
  return {root / "objects", root / "layers", root / "blobs", root / "claims"};
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(const StorePaths& paths, Catalog& catalog, const Clock& clock) {
  for (const fs::path& path : {paths.layers, paths.blobs, paths.blobs / "sha256", paths.blobs / "sha512"})
    TRY(MakeDirectories(path, 0755));
  TRY(MakeDirectories(paths.claims, 0700));
  ObjectPool pool = TRY(ObjectPool::Open(paths.objects));
  auto claims = std::make_shared<Claims>(paths.claims);
  pool.SetGuard(claims.get());
  auto budget = std::make_unique<DiskBudget>(catalog, paths.objects.parent_path());
  pool.SetBudget(budget.get());
  auto state = std::unique_ptr<State>(
      new State{paths, &catalog, &clock, std::move(claims), std::move(budget), std::move(pool)});
  return std::unique_ptr<Store>(new Store(std::move(state)));
}

ObjectPool& Store::objects() {
  return state_->pool;
}
DiskBudget& Store::budget() {
  return *state_->budget;
}
Catalog& Store::catalog() {
  return *state_->catalog;
}
const StorePaths& Store::paths() const {
  return state_->paths;
}

Result<Lease> Store::TakeLease(std::string_view purpose) {
  LeaseRow row = TRY(LeaseOfThisProcess());
  row.id = TRY(RandomId());
  row.purpose = purpose;
  row.expires = state_->clock->Now() + kLeaseLife;
  row.claims = TRY(state_->claims->Begin());
  // Not synced: a lease means nothing after a power cut.
  auto written = state_->catalog->Write(
      [&](CatalogRows& rows) -> Result<void> {
        // Who writes without a limit does not count what it writes: who has one measures anew.
        if (!state_->budget->limit_bytes()) TRY(rows.PutDiskUsage(std::nullopt));
        return rows.PutLease(row);
      },
      Durability::kNone);
  if (!written) {
    state_->claims->End();
    return std::move(written).error().While("taking a lease on the store");
  }
  return Lease(state_->catalog, state_->claims, std::move(row));
}

Result<void> Store::CheckLease(const Lease& lease) const {
  if (lease.catalog_ != nullptr && lease.claims_ == state_->claims) return {};
  return Error(Code::kInternal, "a lease was used that is released or of another store");
}

Result<void> Store::State::PutFile(ClaimKind kind, const ObjectId::Bytes& name, const fs::path& path,
                                   std::string_view bytes) {
  bool present = false;
  TRY(claims->Claim(kind, {name}, [&]() -> Result<void> {
    struct stat st {};
    if (::lstat(path.c_str(), &st) == 0) {
      // A file of another size is damaged: it is written again.
      present = S_ISREG(st.st_mode) && static_cast<size_t>(st.st_size) == bytes.size();
    } else if (errno != ENOENT) {
      return ErrnoError(errno, "look for " + path.string());
    }
    return {};
  }));
  if (!present) {
    DiskShare share(budget.get());
    TRY(share.Grow(bytes.size()));
    DurableFile file = TRY(DurableFile::Create(TRY(claims->TemporaryFor(path)), 0444));
    TRY(file.Write(bytes));
    TRY(file.Publish(path));
    share.Keep();
  }
  // What is mounted has nobody but the kernel to check it; a blob is hashed by who reads it. Sealed under its
  // own name, since it must be closed before: after a crash in between whoever puts it again seals it.
  if (kind != ClaimKind::kLayer || (present && IsSealed(path))) return {};
  if (TRY(EnableVerity(path))) {
    const Fd folder = TRY(OpenFile(path.parent_path(), O_RDONLY | O_DIRECTORY));
    if (TRY(SealNeedsSyncfs(folder.get())) && ::syncfs(folder.get()) != 0)
      return ErrnoError(errno, "make the seal of " + path.string() + " durable");
  }
  return {};
}

// Cache

Result<std::optional<CacheEntry>> Store::CacheGet(std::string_view key, Lease* lease) {
  std::optional<CacheEntry> entry;
  const auto find = [&](const CatalogRows& rows) -> Result<void> {
    entry = TRY(rows.FindCache(key));
    if (!entry) return {};
    bool whole = true;
    for (const LayerId& layer : entry->refs.layers) {
      // A layer whose file is lost is made again by a build that finds no entry.
      whole = whole && !TRY(rows.FindLayers(layer)).empty() && ::access(LayerPath(layer).c_str(), F_OK) == 0;
    }
    for (const oci::Digest& image : entry->refs.images)
      whole = whole && TRY(rows.FindImage(image)).has_value();
    if (!whole) entry.reset();
    return {};
  };
  TRY(state_->catalog->Read(find));
  if (!entry) return entry;
  if (lease != nullptr) {
    TRY(CheckLease(*lease));
    const auto nothing = []() -> Result<void> { return {}; };
    std::vector<ObjectId::Bytes> layers;
    std::vector<ObjectId::Bytes> images;
    for (const LayerId& layer : entry->refs.layers) layers.push_back(layer.bytes());
    for (const oci::Digest& image : entry->refs.images) images.push_back(ClaimBytes(image));
    TRY(state_->claims->Claim(ClaimKind::kLayer, layers, nothing));
    TRY(state_->claims->Claim(ClaimKind::kBlob, images, nothing));
    // It may have been collected between the look and the claim.
    const CacheRefs claimed = entry->refs;
    TRY(state_->catalog->Read(find));
    if (entry && entry->refs != claimed) return CacheGet(key, lease);
    if (!entry) return entry;
  }
  const WallTime now = state_->clock->Now();
  if (now - entry->last_used > kUseGranularity || now < entry->last_used) {
    TRY(state_->catalog->Write(
        [&](CatalogRows& rows) -> Result<void> {
          auto current = TRY(rows.FindCache(key));
          if (!current) return {};
          current->last_used = now;
          return rows.PutCache(*current);
        },
        Durability::kNone));
    entry->last_used = now;
  }
  return entry;
}

Result<void> Store::CachePut(std::string_view key, std::string_view value, const CacheRefs& refs) {
  // An entry that a power cut takes is only made again.
  return state_->catalog->Write(
      [&](CatalogRows& rows) -> Result<void> {
        for (const LayerId& layer : refs.layers) {
          if (TRY(rows.FindLayers(layer)).empty()) return NotInStore("layer", layer.Render());
        }
        for (const oci::Digest& image : refs.images) TRY(RequireImage(rows, image));
        return rows.PutCache({std::string(key), std::string(value), refs, state_->clock->Now()});
      },
      Durability::kNone);
}

Result<void> Store::Pin(std::string_view owner, const std::set<oci::Digest>& images) {
  return state_->catalog->Write([&](CatalogRows& rows) -> Result<void> {
    for (const oci::Digest& image : images) TRY(RequireImage(rows, image));
    return rows.SetPin({std::string(owner), images});
  });
}

}  // namespace ingot::store
