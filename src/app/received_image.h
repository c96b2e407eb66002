// ReceivedImage: an image that another host has built, as it comes to this one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "store/store.h"
#include "store/tree.h"

namespace ingot::app {

struct ReceivedImage {
  std::string repository;  // "shop/web"
  std::string manifest;    // their bytes
  std::string config;
  bool golden = false;
  std::string tests;  // JSON: what its tests said there

  // Of a document {"images": [{"image", "manifest", "config", "golden", "tests"}]}. kInvalid: a member, or a
  // repository that is not one of the project's.
  static Result<std::vector<ReceivedImage>> Parse(const Json& document, const std::string& project);

  // Into the store, as "repository:latest", and golden when it is said to be, on `who`'s word. Its layers are
  // known already, or among `trees` by diff_id with their files in the pool, or blobs of the store.
  // kConflict: a layer is not there: somebody has to send it. Errors as registry::PullImage; nothing is named
  // then.
  Result<oci::Digest> Put(store::Store& store, store::Lease& lease,
                          const std::map<std::string, store::Tree>& trees, const std::string& who) const;
};

}  // namespace ingot::app
