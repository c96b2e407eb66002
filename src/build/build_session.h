// One call of Builder::Build: what its images share while they are built, several at a time. Internal.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/sync.h"
#include "build/builder.h"
#include "build/image_inputs.h"
#include "build/image_tests.h"
#include "registry/client.h"
#include "store/lease.h"
#include "store/store.h"

namespace ingot::build {

// Removes what builds have left in their `temp_dir` that were killed: each holds the lock beside its folder
// while it lives.
Result<void> SweepBuilds(const fs::path& temp_dir, const fs::path& cache_dir);

// Tells of a build's progress, from any thread.
class BuildReporter {
 public:
  explicit BuildReporter(const BuildProgress& progress) : progress_(progress) {}
  // Fills in the image; "": it is of the build as a whole.
  void Report(const std::string& image, BuildEvent event);

 private:
  const BuildProgress& progress_;
  std::mutex mutex_;
};

// What a build holds while it makes something, taken when the first thing has to be made: a build with
// nothing to do needs none of it. A lease on the store, the project's lock (two builds of one project would
// only do the same work twice), and a folder for temporary files, which the next build removes if this one
// is killed.
class BuildWorkspace {
 public:
  BuildWorkspace(store::Store& store, const BuildOptions& options, fs::path project, store::Lease* given,
                 BuildReporter& reporter)
      : store_(store), options_(options), project_(std::move(project)), given_(given), reporter_(reporter) {}
  ~BuildWorkspace();
  // Any thread. The second build of a project waits here, and says so.
  Result<store::Lease*> GetLease();
  // The caller's lease, or the one taken already; else nullptr.
  store::Lease* LeaseIfTaken();
  // After GetLease.
  const fs::path& temp_dir() const { return temp_dir_; }

 private:
  Result<void> Take();
  store::Store& store_;
  const BuildOptions& options_;
  const fs::path project_;
  store::Lease* const given_;
  BuildReporter& reporter_;
  std::mutex mutex_;
  bool taken_ = false;
  std::optional<store::Lease> own_;
  std::optional<FileLock> project_lock_;
  std::optional<FileLock> temp_lock_;
  fs::path temp_dir_;
};

// ingot.lock as the images of one build see it: read once, resolved and written where it lacks an entry.
class SessionLock {
 public:
  // `locked`: what is not pinned is refused instead of resolved.
  SessionLock(DebianBase* debian, fs::path project, bool locked)
      : debian_(debian), project_(std::move(project)), locked_(locked) {}
  // The entry of an image `from: debian:SUITE`; `upgrade`: resolved again in any case. Any thread.
  Result<LockedBase> Get(const std::string& image, const ImageInputs& inputs, bool upgrade,
                         const DebianBase::Note& note);
  // The digest of an image from elsewhere; nullopt: not pinned. Any thread.
  Result<std::optional<oci::Digest>> GetPin(const oci::Reference& reference);
  Result<void> SetPin(const oci::Reference& reference, const oci::Digest& digest);
  // Drops the entries of other images and gives what is left.
  Result<LockFile> KeepOnly(const std::set<std::string>& images, const std::set<oci::Reference>& references);

 private:
  Result<void> Load();
  DebianBase* debian_;
  const fs::path project_;
  const bool locked_;
  std::mutex mutex_;
  std::optional<LockFile> file_;
};

struct BuildSession {
  store::Store& store;
  platform::Sandbox& sandbox;
  DebianBase* debian;
  registry::Client* client;  // nullptr: nothing is pulled
  const BuildOptions& options;
  const definition::Definition& definition;
  fs::path project;
  std::map<std::string, ImageInputs> inputs;
  BuildReporter& reporter;
  BuildWorkspace workspace;
  SessionLock lock_file;
  std::mutex pulling;
  Sync<std::map<std::string, BuiltImage>> built;

  // Fills in the image; safe from several threads.
  void Report(const std::string& image, BuildEvent event);
  DebianBase::Note NoteOf(const std::string& image);
};

// What an image came to before its tests: its manifest, and the key under which the golden image is kept.
struct MadeImage {
  oci::Digest manifest;
  int steps = 0;
  int cached_steps = 0;
};

// image_builder.cc: builds one image whose needs are built already.
Result<BuiltImage> BuildImage(BuildSession& session, const std::string& name);

// debian_image.cc: the base image of a lock entry.
Result<MadeImage> MakeDebianImage(BuildSession& session, const std::string& name, const LockedBase& base);
// The key of that image.
std::string DebianImageKey(const BuildSession& session, const LockedBase& base);

// dockerfile_image.cc: the image of a Dockerfile. Planning reads nothing but the context; making executes.
class DockerfileImage {
 public:
  DockerfileImage(BuildSession& session, const std::string& name);
  ~DockerfileImage();
  // The key of the image.
  Result<std::string> Plan();
  int CountSteps() const;
  Result<MadeImage> Make();
  // Nothing of the context changed while it was read; what was measured is kept for the next build.
  Result<void> Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ingot::build
