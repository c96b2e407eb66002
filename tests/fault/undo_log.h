// UndoLog: what a power cut may take: every change of a file or folder that nothing has made durable yet,
// with what it takes to undo it.
//
// The model is what POSIX promises and no more: written bytes are durable with fsync or fdatasync of their
// file, a name with fsync of its folder, all of it with syncfs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace ingot::fault {

namespace fs = std::filesystem;

class UndoLog {
 public:
  // `stash`: a folder of the same filesystem, outside of what is watched.
  explicit UndoLog(fs::path stash) : stash_(std::move(stash)) {}
  ~UndoLog();

  // Before a call: what it is about to overwrite is put aside. The number is given to Done, or never.
  struct Change {
    enum class Kind { kNone, kWrite, kTruncate, kCreate, kMakeFolder, kRename, kUnlink, kRemoveFolder };
    Kind kind = Kind::kNone;
    fs::path path;
    fs::path to;          // kRename
    fs::path put_aside;   // what kUnlink or kRename took away
    int file = -1;        // kWrite, kTruncate: the file itself, whatever its name
    ino_t inode = 0;      // of it
    uint64_t offset = 0;  // kWrite
    std::string before;   // the bytes that were there
    uint64_t size_before = 0;
  };
  Change BeforeWrite(const std::string& open_file, uint64_t offset, uint64_t count);
  Change BeforeTruncate(const std::string& open_file, uint64_t size);
  Change BeforeName(Change::Kind kind, const fs::path& path, const fs::path& to = {});
  // It has been made.
  void Done(Change change);

  void SyncedFile(ino_t inode);
  void SyncedFolder(const fs::path& folder);
  void SyncedAll();

  // The power is cut: undoes what is not durable. 0: all of it; 1: only written bytes, names stay; else a
  // part of it by `random`.
  std::vector<std::string> Cut(int manner, std::mt19937& random);

 private:
  template <typename Which>
  void Forget(Which which);
  void Undo(const Change& change, uint64_t keep_bytes);
  int Keep(ino_t inode, const std::string& open_file);

  fs::path stash_;
  uint64_t next_ = 0;
  std::vector<Change> changes_;
  std::map<ino_t, int> files_;
};

}  // namespace ingot::fault
