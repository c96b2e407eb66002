#include "build/layers_below.h"

#include "base/json.h"
#include "build/links.h"

namespace ingot::build {
namespace {

constexpr uint64_t kSmallFileBytes = 4 << 20;

// What facts are kept of: everything a COPY asks about but devices and attributes, which are rare.
bool CanBeFact(const store::Node& node) {
  const bool known = node.type == store::NodeType::kRegular || node.type == store::NodeType::kDirectory ||
                     node.type == store::NodeType::kSymlink;
  return known && node.xattrs.empty();
}

Json RenderFact(const std::optional<store::Node>& node) {
  if (!node) return nullptr;
  return JsonObject{{"type", static_cast<int>(node->type)},
                    {"mode", node->mode},
                    {"uid", node->uid},
                    {"gid", node->gid},
                    {"mtime_s", node->mtime_s},
                    {"mtime_ns", node->mtime_ns},
                    {"size", node->size_bytes},
                    {"object", node->object.Render()},
                    {"target", node->target}};
}

Result<std::optional<store::Node>> ParseFact(const Json& json) {
  if (json.is_null()) return std::optional<store::Node>();
  if (!json.is_object()) return Error(Code::kCorrupt, "not a fact");
  const JsonObject& object = json.get_object();
  store::Node node;
  node.type = static_cast<store::NodeType>(TRY(GetInt(object, "type")));
  node.mode = static_cast<uint32_t>(TRY(GetInt(object, "mode")));
  node.uid = static_cast<uint32_t>(TRY(GetInt(object, "uid")));
  node.gid = static_cast<uint32_t>(TRY(GetInt(object, "gid")));
  node.mtime_s = TRY(GetInt(object, "mtime_s"));
  node.mtime_ns = static_cast<uint32_t>(TRY(GetInt(object, "mtime_ns")));
  node.size_bytes = static_cast<uint64_t>(TRY(GetInt(object, "size")));
  node.object = TRY(store::ObjectId::Parse(TRY(GetString(object, "object"))));
  node.target = TRY(GetString(object, "target"));
  if (!CanBeFact(node)) return Error(Code::kCorrupt, "not a fact");
  return std::optional<store::Node>(std::move(node));
}

// Entries of the cache are this program's own, but may be of another version.
Result<std::map<std::string, std::optional<store::Node>>> ParseFacts(std::string_view text) {
  std::map<std::string, std::optional<store::Node>> facts;
  const Json json = TRY(ParseJson(text));
  if (!json.is_object()) return Error(Code::kCorrupt, "not facts");
  for (const auto& [path, fact] : json.get_object()) facts.emplace(path, TRY(ParseFact(fact)));
  return facts;
}

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
  if (facts_) {
    if (const auto known = facts_->find(path); known != facts_->end()) return known->second;
  }
  const store::Node* node = TRY(Tree())->Find(path);
  std::optional<store::Node> found;
  if (node != nullptr) found = *node;
  if (facts_ && (!found || CanBeFact(*found))) {
    facts_->emplace(path, found);
    learnt_ = true;
  }
  return found;
}

void LayersBelow::Recall(const std::string& key) {
  facts_.emplace();
  learnt_ = false;
  const auto entry = store_->CacheGet(key);
  if (!entry || !*entry) return;
  if (auto facts = ParseFacts((*entry)->value)) facts_ = std::move(*facts);
}

void LayersBelow::Remember(const std::string& key) {
  if (learnt_) {
    JsonObject facts;
    for (const auto& [path, node] : *facts_) facts[path] = RenderFact(node);
    static_cast<void>(store_->CachePut(key, RenderJson(facts), {}).has_value());
  }
  facts_.reset();
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
