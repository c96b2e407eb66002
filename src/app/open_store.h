// The store below a root, opened for one verb or for the daemon.
#pragma once

#include <memory>
#include <vector>

#include "app/layout.h"
#include "base/clock.h"
#include "store/retention.h"
#include "store/store.h"

namespace ingot::app {

struct OpenedStore {
  std::unique_ptr<Clock> clock;
  std::unique_ptr<store::Catalog> catalog;
  std::unique_ptr<store::Store> store;
  // What host.yaml says of images in repositories: nothing is removed where it says nothing.
  std::vector<store::RetentionRule> retention;
};

// With what host.yaml says of it: disk_limit, immutable tags, retention. Makes the root if missing.
// kPermission when it may not be written: the message says to run as root.
Result<OpenedStore> OpenStore(const Layout& layout);
// For verbs that only make sense on a store that is there: kNotFound instead of an empty one under a mistyped
// root.
Result<OpenedStore> OpenExistingStore(const Layout& layout);

// An image as people name it: "web" (a tag "project/web:latest" made by build, when it is the only one),
// "repository", "repository:tag", a whole digest, or at least 6 digits of one. kNotFound lists what is near;
// kInvalid when several images begin with those digits.
Result<oci::Digest> FindImage(store::Store& store, const std::string& name);

// The same, and what was pushed to the store's own registry: "team/web:1.0".
struct FoundImage {
  oci::Digest digest;      // of a manifest; of one that was pushed perhaps an index
  std::string repository;  // by which it was named; empty: by its digest
  std::string tag;
  bool pushed = false;  // and not made an image of the store yet
};
Result<FoundImage> FindAnyImage(store::Store& store, const std::string& name);

}  // namespace ingot::app
