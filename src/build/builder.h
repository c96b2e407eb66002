// Builder: the images of a definition → golden images in the store.
//
// A build has three parts. The front end (dockerfile*.h) reads a Dockerfile. plan.h makes of it, of the
// context (context.h) and of the base images a BuildPlan: pure data, every step with its key, so that a build
// in which nothing changed is one look-up (key of the last step → manifest). What is not found is executed
// stage by stage (stage_executor.h), each step looked up by what it really depends on, before it is run.
// Then the image's tests run (image_test.h), and only an image that passed is marked golden. Somebody else's
// image (pulled_image.h) has no steps and is golden by the same rule.
//
// Nothing here prints. A build needs root, no daemon, and may run beside others on the same store.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "build/debian_base.h"
#include "build/lock_file.h"
#include "build/progress.h"
#include "definition/definition.h"
#include "oci/digest.h"
#include "oci/reference.h"
#include "platform/runtime.h"

namespace ingot::store {
class Store;
class Lease;
}  // namespace ingot::store
namespace ingot::registry {
class Client;
}  // namespace ingot::registry

namespace ingot::build {

class SessionLock;

struct BuildOptions {
  BuildProgress progress;  // may be empty
  fs::path cache_dir;      // context indexes and, below deb/, packages; made if missing
  fs::path temp_dir;       // on the store's file system; made if missing
  bool no_cache = false;   // run every step again; results are still kept
  bool locked = false;     // refuse what ingot.lock does not pin, and leave that file alone
  bool layouts = true;     // `FROM oci-layout:FOLDER` reads folders of this host; not for somebody else
  int64_t source_date_epoch_s = 0;  // "created", and no file of a layer is younger
  int jobs = 2;                     // stages and images at a time
  std::string commit;               // for the provenance; empty: not known
  std::string builder_version;      // "ingot 0.1.0", for the provenance
};

struct BuiltImage {
  oci::Digest manifest;
  bool golden = false;
  bool cached = false;  // no step and no test had to run
  int steps = 0;
  int cached_steps = 0;
  Milliseconds took{0};
};

class Builder {
 public:
  // All of them must outlive the builder. `debian` may be nullptr: `from: debian:…` is then kUnsupported; and
  // `client`: what would have to be pulled is.
  Builder(store::Store& store, platform::Sandbox& sandbox, DebianBase* debian, BuildOptions options,
          registry::Client* client = nullptr);

  // Builds `images` (empty: all) of the definition in `project`, and those they are built on, each once.
  // Every image of the answer is golden. With `keep` they are kept for that lease's life; without, until
  // something collects what has no name. A missing ingot.lock, or one whose entry does not match the image,
  // is resolved and written. Safe beside other builds of the same project (the second waits).
  //
  // kInvalid, kUnsupported: the Dockerfile ("api/Dockerfile:12: …") or definition ("ingot.yaml:4:5: …").
  // kFailed: a RUN or an image test failed; the message has its place, command, exit code and last lines.
  // kConflict: a file of the context changed while it was read. kUnavailable: a mirror, a registry, or the
  // runtime. kRefused: `locked`, and something is not pinned. Errors of a pull as registry::PullImage.
  // After an error nothing is left but the cache of the steps that succeeded.
  Result<std::map<std::string, BuiltImage>> Build(const definition::Definition& definition,
                                                  const fs::path& project,
                                                  const std::vector<std::string>& images = {},
                                                  store::Lease* keep = nullptr);

  // Resolves the Debian packages of every image and the digests of images from elsewhere, and writes
  // ingot.lock. Without `upgrade` entries that still match their image are kept as they are. Errors as
  // DebianBase::Resolve and registry::Client::GetManifest; kInvalid: a Dockerfile.
  Result<LockFile> Lock(const definition::Definition& definition, const fs::path& project, bool upgrade);

 private:
  Result<void> LockReference(SessionLock& lock, const oci::Reference& reference, bool upgrade);
  store::Store& store_;
  platform::Sandbox& sandbox_;
  DebianBase* debian_;
  BuildOptions options_;
  registry::Client* client_;
};

}  // namespace ingot::build
