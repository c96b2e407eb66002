// What a stack of layers shows, looked at only when asked.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "build/copy_layer.h"
#include "store/store.h"

namespace ingot::build {

class LayersBelow {
 public:
  LayersBelow(store::Store& store, std::vector<store::Layer> layers)
      : store_(&store), layers_(std::move(layers)) {}

  const std::vector<store::Layer>& layers() const { return layers_; }
  // Adds a layer on top; `tree` is what it holds, if at hand.
  Result<void> Push(const store::Layer& layer, const store::Tree* tree);

  // All of it as one tree; valid until the next Push. Reads the sealed layers the first time.
  Result<const store::Tree*> Tree();
  // Answers that were given for the same layers under the same key are used again, so that a COPY whose files
  // alone changed need not read a large base to learn where its destination lies. Remember keeps what has
  // been asked since Recall. A failing cache costs time only.
  void Recall(const std::string& key);
  void Remember(const std::string& key);
  // nullopt: nothing there. An empty stack has not even a root.
  Result<std::optional<store::Node>> Find(const std::string& path);
  // A small regular file, links followed. kNotFound.
  Result<std::string> ReadSmallFile(const std::string& path);
  FindBelow Finder();
  ReadBelow Reader();

 private:
  store::Store* store_;
  std::vector<store::Layer> layers_;
  std::unique_ptr<store::Tree> tree_;
  using Facts = std::map<std::string, std::optional<store::Node>>;
  std::optional<Facts> facts_;  // set between Recall and Remember
  bool learnt_ = false;
};

}  // namespace ingot::build
