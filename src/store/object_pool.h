// ObjectPool: file contents by fs-verity digest, each once, in `objects/ab/cdef…`
// (docs/formats/object-pool.md).
//
// An object becomes visible in the pool only after its bytes are on disk: it is written to a staging folder
// beside the pool (`objects.staging/<process>/`), made durable together with its siblings by Flush, and only
// then moved to its name. So a name in the pool never stands for torn contents, whatever crashed. The order
// for a caller is: commit a lease, Put or Adopt, Flush, commit the row that refers to the objects.
//
// Safe for several threads on one ObjectPool and for several processes on one folder.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/byte_stream.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"
#include "store/object_id.h"

namespace ingot::store {

class DiskBudget;

// Keeps the collector from removing an object between the look that found it and the row that refers to it
// (lease.h).
class ObjectGuard {
 public:
  virtual ~ObjectGuard() = default;
  // Records that `ids` are relied upon, then calls `look` while no collector removes anything. Passes on the
  // look's Error. Any thread.
  virtual Result<void> Claim(const std::vector<ObjectId>& ids, const std::function<Result<void>()>& look) = 0;
};

class ObjectPool {
 public:
  // Opens the pool in `directory` (the store's `objects/`), making it and its staging folder if missing.
  // kPermission, kIo, kNoSpace.
  static Result<ObjectPool> Open(const fs::path& directory);
  ObjectPool(ObjectPool&&) noexcept;
  ObjectPool& operator=(ObjectPool&&) noexcept;
  // Removes what was put and not flushed.
  ~ObjectPool();

  // From now on every object is claimed before the pool looks whether it has it. `guard` must outlive the
  // pool; nullptr (the beginning): no collector runs. Not while another thread uses the pool.
  void SetGuard(ObjectGuard* guard);
  // From now on what is put is taken from `budget` first (its kNoSpace is passed on), which must outlive the
  // pool. Not while another thread uses the pool.
  void SetBudget(DiskBudget* budget);

  // Put… and Adopt give the content's name. No bytes: the empty ObjectId, and nothing is
  // stored. What was put can be read through this ObjectPool at once (OpenObject, Has), by others after
  // Flush. kNoSpace, kIo.
  Result<ObjectId> Put(std::string_view bytes);
  // Several at once, claimed together: their names in the same order. After an Error some may have been put.
  Result<std::vector<ObjectId>> PutAll(const std::vector<std::string_view>& contents);
  // Copies the contents (by reflink where the filesystem can). Owner, mode and attributes of the source are
  // ignored.
  Result<ObjectId::Measured> PutFile(const fs::path& path);
  Result<ObjectId::Measured> PutFd(int fd);
  // Everything that `source` gives until its end.
  Result<ObjectId::Measured> PutStream(const ByteSource& source);
  // Moves an existing regular file into the pool: `path` no longer exists afterwards, no byte is copied (on
  // another filesystem, or when the file has further hard links: copied, then unlinked). The file becomes
  // root's, mode 0444, without extended attributes. Nobody may be writing to it. kInvalid when it is not a
  // regular file.
  Result<ObjectId::Measured> Adopt(const fs::path& path);

  // Makes everything put so far by this ObjectPool durable and visible: one fsync each for up to four new
  // files, one syncfs for more; then the moves; then the folders. Call it before the row that refers to the
  // objects is committed. On an error nothing is lost: call it again.
  Result<void> Flush();

  // Writes to the disk what was put so far, and tells nobody: of a long import Flush then finds little left
  // to wait for. Whatever goes wrong Flush will say.
  void WriteOut();

  // "Could not look" is not "absent": an error other than ENOENT is returned.
  Result<bool> Has(const ObjectId& id) const;
  // kNotFound with the object's name. The empty ObjectId opens an empty file.
  Result<Fd> OpenObject(const ObjectId& id) const;
  Result<uint64_t> SizeOf(const ObjectId& id) const;
  // Where the object is, or will be after Flush.
  fs::path PathOf(const ObjectId& id) const;
  const fs::path& directory() const;

  // Reads the object and compares: kCorrupt when its contents are not what its name promises, kNotFound.
  Result<void> Verify(const ObjectId& id) const;
  // Every object visible in the pool, sorted. A name that is no object's is skipped.
  Result<std::vector<ObjectId>> List() const;
  // Unlinks one object (garbage collection; the caller holds the store's write lock). True when it existed.
  Result<bool> Remove(const ObjectId& id);

  // True when the filesystem supports fs-verity: it is then enabled on each object, and the kernel checks
  // every read.
  bool VerityActive() const;

  // Removes staging folders that processes left behind which no longer run; returns how many.
  Result<size_t> SweepStaging();

 private:
  struct State;
  explicit ObjectPool(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ingot::store
