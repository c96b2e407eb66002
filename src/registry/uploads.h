// Uploads: the blobs on their way in, by id. Each registry process has a folder of its own below
// tmp/uploads/, locked while it lives; what dead processes have left there is removed at the next start.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "base/sync.h"
#include "registry/upload.h"

namespace ingot::registry {

class Uploads {
 public:
  struct Limits {
    size_t count = 1024;
    Milliseconds idle = std::chrono::hours(1);  // without a request, then it is cancelled
  };
  // `directory` is made if missing; it must be on the store's filesystem. `clock` and `budget` must outlive
  // this.
  static Result<std::unique_ptr<Uploads>> Open(const fs::path& directory, const Limits& limits,
                                               const Clock& clock, store::DiskBudget& budget);
  ~Uploads();

  // The id of a new one. kConflict when there are too many.
  Result<std::string> Add(std::string_view repository);

  // An upload while one request works on it. Gives it back when it dies, or removes it.
  class Use {
   public:
    Use(Use&& other) noexcept
        : uploads_(std::exchange(other.uploads_, nullptr)),
          id_(std::move(other.id_)),
          upload_(other.upload_),
          ends_(other.ends_) {}
    Use& operator=(Use&&) = delete;
    ~Use();
    const std::string& id() const { return id_; }
    Upload& operator*() { return *upload_; }
    Upload* operator->() { return upload_; }
    // It ends with this use.
    void End() { ends_ = true; }

   private:
    friend class Uploads;
    Use(Uploads* uploads, std::string id, Upload* upload)
        : uploads_(uploads), id_(std::move(id)), upload_(upload) {}
    Uploads* uploads_;
    std::string id_;
    Upload* upload_;
    bool ends_ = false;
  };
  // kNotFound: no such upload in this repository. kConflict: another request works on it.
  Result<Use> Begin(std::string_view repository, std::string_view id);

  // Removes those that no request has touched for `idle`; returns how many.
  size_t Expire();

 private:
  struct Entry {
    std::string repository;
    std::unique_ptr<Upload> upload;
    bool busy = false;
    SteadyTime touched{};
  };
  Uploads(fs::path directory, FileLock lock, const Limits& limits, const Clock& clock,
          store::DiskBudget& budget)
      : directory_(std::move(directory)),
        lock_(std::move(lock)),
        limits_(limits),
        clock_(clock),
        budget_(budget),
        hashing_(2) {}
  void GiveBack(const std::string& id, bool ends);

  fs::path directory_;
  FileLock lock_;
  Limits limits_;
  const Clock& clock_;
  store::DiskBudget& budget_;
  HashAhead hashing_;
  Sync<std::map<std::string, Entry, std::less<>>> entries_;
};

}  // namespace ingot::registry
