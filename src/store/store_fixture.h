// A store in a temporary folder, and small images, for tests.
#pragma once

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "store/memory_catalog.h"
#include "store/store.h"

namespace ingot::store {

// The value of a Result that must have one.
template <typename T>
T Must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().Render();
    std::abort();
  }
  return std::move(result).value();
}
inline void Must(Result<void> result) {
  if (result) return;
  ADD_FAILURE() << result.error().Render();
  std::abort();
}

// A clock that only the test moves and any thread may read.
class StillClock final : public Clock {
 public:
  WallTime Now() const override { return now; }
  SteadyTime Steady() const override { return {}; }
  void Sleep(Milliseconds) override {}
  WallTime now{std::chrono::seconds(1'700'000'000)};
};

inline Tree TreeOf(ObjectPool& pool, const std::map<std::string, std::string>& files) {
  Tree tree;
  for (const auto& [path, contents] : files)
    Must(tree.Put(path, Node::Regular(Must(pool.Put(contents)), contents.size())));
  FillImplied(tree, Tree());
  return tree;
}

inline oci::Digest PutImageOf(Store& store, Lease& lease, const std::vector<Layer>& layers,
                              const std::string& label = "") {
  NewImage image;
  image.config.architecture = "amd64";
  image.config.os = "linux";
  image.config.config.env = {"PATH=/bin"};
  if (!label.empty()) image.config.config.labels["test"] = label;
  image.layers = layers;
  return Must(store.PutImage(image, lease));
}

inline oci::Digest PutImageOf(Store& store, Lease& lease, const std::map<std::string, std::string>& files) {
  return PutImageOf(store, lease, {Must(store.SealLayer(TreeOf(store.objects(), files), lease))});
}

// Everything below the store's folders but locks, sorted, relative to the root.
inline std::vector<std::string> FilesBelow(const fs::path& root) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string name = entry.path().lexically_relative(root).string();
    if (entry.is_regular_file() && name != "claims/lock" && name != "claims/collector.lock" &&
        !name.starts_with("store.db"))
      files.push_back(name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

class StoreTest : public testing::Test {
 protected:
  TempDirectory directory_ = *TempDirectory::Make("/tmp/ingot-test", "store");
  fs::path root_ = directory_.path();
  StillClock clock_;
  MemoryCatalog catalog_;
  std::unique_ptr<Store> store_ = Must(Store::Open(StorePaths::Below(root_), catalog_, clock_));
};

}  // namespace ingot::store
