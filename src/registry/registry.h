// Registry: an OCI registry (distribution-spec 1.1) over the store: request in, response out, no socket.
//
// Start here: Begin finds out what a request is (route.h), checks every name before it reaches the catalog or
// the file system (names.h), and gives an Exchange that takes the body and answers. What was pushed is known
// by the rows of repository_rows.h and kept verbatim in blobs/; images built on this host are repositories,
// too (local_images.h), which a push cannot change. docs/formats/registry.md.
#pragma once

#include <memory>

#include "audit/event.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "registry/message.h"
#include "registry/uploads.h"
#include "registry/upstreams.h"
#include "store/store.h"

namespace ingot::registry {

struct RegistryState;
class Access;

class Registry {
 public:
  struct Options {
    fs::path uploads;  // a folder on the store's filesystem, made if missing
    Uploads::Limits upload_limits = {};
    // Manifests may name what was not pushed: an index of which only some platforms are mirrored.
    bool accept_sparse = false;
    // Who may do what; null: everybody everything. Must outlive it.
    Access* access = nullptr;
    // Repositories that are a cache of other registries; asked through `upstream_client`, which must outlive
    // the registry.
    std::vector<Upstream> upstreams = {};
    Client* upstream_client = nullptr;
    // The audit record: asked before a push of a manifest or a deletion is acknowledged. What fails there is
    // logged, and does not undo what was done. Any thread. May be empty.
    std::function<Result<void>(audit::Draft)> record = {};
    // For the log: what was served although it is old, and the like. Any thread. May be empty.
    std::function<void(const std::string&)> log = {};
  };
  // `store` and `clock` must outlive it.
  static Result<std::unique_ptr<Registry>> Open(store::Store& store, const Clock& clock,
                                                const Options& options);
  // Every Exchange and MadeBody must have ended.
  ~Registry();

  // Any thread. Never waits for another writer.
  std::unique_ptr<Exchange> Begin(const Request& request);
  // Reads the users again when their file has changed; to be called every second. Errors of Access::Refresh.
  Result<void> Refresh();
  // What waits for other registries gives up, and nothing of it goes on when this returns; none begins
  // afterwards.
  void Interrupt();
  // Removes abandoned uploads and writes down what was pulled; to be called once a minute.
  void Housekeep();

 private:
  explicit Registry(std::unique_ptr<RegistryState> state);
  std::unique_ptr<RegistryState> state_;
};

}  // namespace ingot::registry
