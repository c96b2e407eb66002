#include "build/layers_below.h"

#include "build/links.h"

namespace ingot::build {
namespace {

constexpr uint64_t kSmallFileBytes = 4 << 20;

}  // namespace

Result<void> LayersBelow::Push(const store::Layer& layer, const store::Tree* tree) {
  if (tree_ != nullptr) {
    if (tree != nullptr)
      tree_ = std::make_unique<store::Tree>(store::ApplyOn(*tree_, *tree));
    else
      tree_.reset();
  }
  layers_.push_back(layer);
  return {};
}

Result<const store::Tree*> LayersBelow::Tree() {
  if (tree_ == nullptr) tree_ = std::make_unique<store::Tree>(TRY(store_->MergeLayers(layers_)));
  return static_cast<const store::Tree*>(tree_.get());
}

Result<std::optional<store::Node>> LayersBelow::Find(const std::string& path) {
  if (layers_.empty()) return std::optional<store::Node>();
  const store::Node* node = TRY(Tree())->Find(path);
  if (node == nullptr) return std::optional<store::Node>();
  return std::optional<store::Node>(*node);
}

Result<std::string> LayersBelow::ReadSmallFile(const std::string& path) {
  const std::string resolved =
      TRY(ResolveLinks(path, true, [this](const std::string& at) -> Result<std::optional<std::string>> {
        const auto node = TRY(Find(at));
        if (!node || node->type != store::NodeType::kSymlink) return std::optional<std::string>();
        return std::optional<std::string>(node->target);
      }));
  const auto node = TRY(Find(resolved));
  if (!node || node->type != store::NodeType::kRegular)
    return Error(Code::kNotFound, "the image has no file /" + path);
  if (node->size_bytes > kSmallFileBytes)
    return Error(Code::kInvalid, "/" + path + " in the image has more than 4 MiB");
  if (node->object.empty()) return std::string();
  const Fd fd = TRY(store_->objects().OpenObject(node->object));
  return ReadFile("/proc/self/fd/" + std::to_string(fd.get()), kSmallFileBytes);
}

FindBelow LayersBelow::Finder() {
  return [this](const std::string& path) { return Find(path); };
}

ReadBelow LayersBelow::Reader() {
  return [this](const std::string& path) { return ReadSmallFile(path); };
}

}  // namespace ingot::build
