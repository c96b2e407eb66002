#include "registry/uploads.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <vector>

namespace ingot::registry {
namespace {

constexpr std::string_view kLockName = "lock";

Result<std::string> RandomUploadId() {
  std::array<char, 16> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return ErrnoError(errno, "get random bytes");
  return Hex(std::string_view(random.data(), random.size()));
}

// Removes the folders of processes that have ended: nobody holds their lock.
Result<void> SweepDeadFolders(const fs::path& directory) {
  for (const std::string& name : TRY(ListDirectory(directory))) {
    const fs::path folder = directory / name;
    if (!fs::is_directory(folder)) continue;
    auto lock = FileLock::Take(folder / kLockName, /*wait=*/false);
    if (lock) {
      TRY(RemoveTree(folder));
    } else if (lock.error().code() != Code::kConflict && lock.error().code() != Code::kNotFound) {
      return std::move(lock).error();
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Uploads>> Uploads::Open(const fs::path& directory, const Limits& limits,
                                               const Clock& clock, store::DiskBudget& budget) {
  TRY(MakeDirectories(directory, 0700));
  // Only one at a time looks and makes: a folder that is not locked yet must not look dead.
  const FileLock alone = TRY(FileLock::Take(directory / kLockName, /*wait=*/true));
  TRY(SweepDeadFolders(directory));
  const fs::path own = directory / TRY(RandomUploadId());
  TRY(MakeDirectories(own, 0700));
  FileLock lock = TRY(FileLock::Take(own / kLockName, /*wait=*/false));
  return std::unique_ptr<Uploads>(new Uploads(own, std::move(lock), limits, clock, budget));
}

Uploads::~Uploads() {
  entries_.lock()->clear();
  // What cannot be removed now is swept at the next start.
  static_cast<void>(RemoveTree(directory_).has_value());
}

Result<std::string> Uploads::Add(std::string_view repository) {
  std::string id = TRY(RandomUploadId());
  auto entries = entries_.lock();
  if (entries->size() >= limits_.count) {
    return Error(Code::kConflict, "There are " + std::to_string(entries->size()) +
                                      " uploads on their way already; try again later.");
  }
  Entry entry;
  entry.repository = repository;
  entry.upload = TRY(Upload::Create(directory_ / id, hashing_, budget_));
  entry.touched = clock_.Steady();
  entries->emplace(id, std::move(entry));
  return id;
}

Result<Uploads::Use> Uploads::Begin(std::string_view repository, std::string_view id) {
  auto entries = entries_.lock();
  const auto found = entries->find(id);
  if (found == entries->end() || found->second.repository != repository)
    return Error(Code::kNotFound,
                 "There is no such upload; it may have been finished, cancelled or expired.");
  if (found->second.busy) return Error(Code::kConflict, "Another request works on this upload.");
  found->second.busy = true;
  return Use(this, std::string(id), found->second.upload.get());
}

Uploads::Use::~Use() {
  if (uploads_ != nullptr) uploads_->GiveBack(id_, ends_);
}

void Uploads::GiveBack(const std::string& id, bool ends) {
  std::unique_ptr<Upload> ended;  // its file is removed without the lock
  auto entries = entries_.lock();
  const auto found = entries->find(id);
  found->second.busy = false;
  found->second.touched = clock_.Steady();
  if (!ends) return;
  ended = std::move(found->second.upload);
  entries->erase(found);
}

size_t Uploads::Expire() {
  std::vector<std::unique_ptr<Upload>> ended;
  auto entries = entries_.lock();
  const SteadyTime limit = clock_.Steady() - limits_.idle;
  for (auto entry = entries->begin(); entry != entries->end();) {
    if (entry->second.busy || entry->second.touched >= limit) {
      ++entry;
      continue;
    }
    ended.push_back(std::move(entry->second.upload));
    entry = entries->erase(entry);
  }
  return ended.size();
}

}  // namespace ingot::registry
