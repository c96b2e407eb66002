#include "undo_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace ingot::fault {
namespace {

ino_t InodeOf(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 ? st.st_ino : 0;
}

}  // namespace

UndoLog::~UndoLog() {
  for (const auto& [inode, fd] : files_) ::close(fd);
  std::error_code ec;
  fs::remove_all(stash_, ec);
}

int UndoLog::Keep(ino_t inode, const std::string& open_file) {
  const auto found = files_.find(inode);
  if (found != files_.end()) return found->second;
  const int fd = ::open(open_file.c_str(), O_RDWR | O_CLOEXEC);
  files_[inode] = fd;
  return fd;
}

UndoLog::Change UndoLog::BeforeWrite(const std::string& open_file, uint64_t offset, uint64_t count) {
  Change change;
  struct stat st {};
  if (::stat(open_file.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return change;
  change.kind = Change::Kind::kWrite;
  change.inode = st.st_ino;
  change.file = Keep(st.st_ino, open_file);
  change.offset = offset;
  change.size_before = static_cast<uint64_t>(st.st_size);
  if (offset < change.size_before) {
    change.before.resize(std::min(count, change.size_before - offset));
    const ssize_t n =
        ::pread(change.file, change.before.data(), change.before.size(), static_cast<off_t>(offset));
    change.before.resize(n < 0 ? 0 : static_cast<size_t>(n));
  }
  return change;
}

UndoLog::Change UndoLog::BeforeTruncate(const std::string& open_file, uint64_t size) {
  Change change = BeforeWrite(open_file, size, UINT64_MAX);
  if (change.kind == Change::Kind::kWrite) change.kind = Change::Kind::kTruncate;
  if (change.size_before == size) change.kind = Change::Kind::kNone;
  return change;
}

UndoLog::Change UndoLog::BeforeName(Change::Kind kind, const fs::path& path, const fs::path& to) {
  Change change;
  change.kind = kind;
  change.path = path;
  change.to = to;
  struct stat st {};
  const fs::path& gone = kind == Change::Kind::kRename ? to : path;
  const bool there = ::lstat(gone.c_str(), &st) == 0;
  if ((kind == Change::Kind::kCreate || kind == Change::Kind::kMakeFolder) && there)
    change.kind = Change::Kind::kNone;
  if ((kind == Change::Kind::kRename || kind == Change::Kind::kUnlink) && there && !S_ISDIR(st.st_mode)) {
    fs::create_directories(stash_);
    change.put_aside = stash_ / std::to_string(next_++);
    if (::link(gone.c_str(), change.put_aside.c_str()) != 0) change.put_aside.clear();
  }
  return change;
}

void UndoLog::Done(Change change) {
  if (change.kind != Change::Kind::kNone) changes_.push_back(std::move(change));
}

template <typename Which>
void UndoLog::Forget(Which which) {
  std::erase_if(changes_, [&](const Change& change) {
    if (!which(change)) return false;
    if (!change.put_aside.empty()) ::unlink(change.put_aside.c_str());
    return true;
  });
}

void UndoLog::SyncedAll() {
  Forget([](const Change&) { return true; });
}

void UndoLog::SyncedFile(ino_t inode) {
  Forget([inode](const Change& change) {
    const bool bytes = change.kind == Change::Kind::kWrite || change.kind == Change::Kind::kTruncate;
    return bytes && change.inode == inode;
  });
}

void UndoLog::SyncedFolder(const fs::path& folder) {
  Forget([&](const Change& change) {
    const bool bytes = change.kind == Change::Kind::kWrite || change.kind == Change::Kind::kTruncate;
    if (bytes) return false;
    return (change.kind == Change::Kind::kRename ? change.to : change.path).parent_path() == folder;
  });
}

std::vector<std::string> UndoLog::Cut(int manner, std::mt19937& random) {
  std::vector<std::string> undone;
  // Names are journalled in order: what is kept of them is what came first.
  size_t names_from = 0;
  if (manner == 1) names_from = changes_.size();
  if (manner >= 2 && !changes_.empty()) names_from = random() % (changes_.size() + 1);
  for (size_t i = changes_.size(); i-- > 0;) {
    const Change& change = changes_[i];
    const bool bytes = change.kind == Change::Kind::kWrite || change.kind == Change::Kind::kTruncate;
    if (!bytes && i < names_from) continue;
    if (bytes && manner >= 2 && random() % 2 == 0) continue;
    Undo(change, manner >= 2 && bytes ? random() % 4096 : 0);
    undone.push_back((bytes ? "bytes of inode " + std::to_string(change.inode) : change.path.string()) +
                     (change.to.empty() ? "" : " → " + change.to.string()));
  }
  return undone;
}

void UndoLog::Undo(const Change& change, uint64_t keep_bytes) {
  switch (change.kind) {
    case Change::Kind::kNone:
      break;
    case Change::Kind::kWrite:
    case Change::Kind::kTruncate: {
      if (change.file < 0 || InodeOf(change.file) != change.inode) break;
      struct stat st {};
      ::fstat(change.file, &st);
      const uint64_t size = std::max(change.size_before, std::min<uint64_t>(static_cast<uint64_t>(st.st_size),
                                                                            change.size_before + keep_bytes));
      [[maybe_unused]] const int cut = ::ftruncate(change.file, static_cast<off_t>(size));
      [[maybe_unused]] const ssize_t put = ::pwrite(change.file, change.before.data(), change.before.size(),
                                                    static_cast<off_t>(change.offset));
      break;
    }
    case Change::Kind::kCreate:
      ::unlink(change.path.c_str());
      break;
    case Change::Kind::kMakeFolder:
      ::rmdir(change.path.c_str());
      break;
    case Change::Kind::kRemoveFolder:
      ::mkdir(change.path.c_str(), 0755);
      break;
    case Change::Kind::kRename:
      ::rename(change.to.c_str(), change.path.c_str());
      if (!change.put_aside.empty()) ::rename(change.put_aside.c_str(), change.to.c_str());
      break;
    case Change::Kind::kUnlink:
      if (!change.put_aside.empty()) ::rename(change.put_aside.c_str(), change.path.c_str());
      break;
  }
}

}  // namespace ingot::fault
