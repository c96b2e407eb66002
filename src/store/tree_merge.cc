// Layers on layers: what overlayfs makes of them, and the layer that leads from one tree to another.
#include <algorithm>
#include <cassert>
#include <optional>

#include "store/tree.h"

namespace ingot::store {
namespace {

// Puts names of `from` into `to`, hard links of the copied names to each other kept.
class Copier {
 public:
  Copier(const Tree& from, Tree& to) : from_(from), to_(to), first_(from.node_id_limit()) {}

  void Copy(const std::string& path, Tree::NodeId id, std::optional<bool> opaque = {}) {
    std::string& first = first_[id];
    if (!first.empty()) {
      Expect(to_.Link(path, first));
      return;
    }
    Node node = from_.node(id);
    if (opaque && node.IsDirectory()) node.opaque = *opaque;
    Expect(to_.Put(path, std::move(node)));
    first = path;
  }

 private:
  // Both trees are valid and parents come before what they hold, so nothing here can fail.
  static void Expect([[maybe_unused]] const Result<void>& done) { assert(done); }
  const Tree& from_;
  Tree& to_;
  std::vector<std::string> first_;  // by inode of `from_`: the first name copied
};

void RemoveContents(Tree& tree, const std::string& directory) {
  for (const std::string& name : tree.List(directory)) {
    tree.Remove(directory.empty() ? name : directory + "/" + name);
  }
}

// Each name of inodes with several names → all those names, in order.
std::vector<std::vector<const std::string*>> LinkGroups(const Tree& tree) {
  std::vector<std::vector<const std::string*>> groups(tree.node_id_limit());
  for (const auto& [path, id] : tree.names()) groups[id].push_back(&path);
  return groups;
}

bool SameNames(const std::vector<const std::string*>& a, const std::vector<const std::string*>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const std::string* x, const std::string* y) { return *x == *y; });
}

}  // namespace

Tree ApplyOn(Tree lower, const Tree& upper, bool keep_whiteouts) {
  Tree out = std::move(lower);
  Copier copier(upper, out);
  for (const auto& [path, id] : upper.names()) {
    const Node& node = upper.node(id);
    const Node* below = out.Find(path);
    if (node.type == NodeType::kWhiteout) {
      out.Remove(path);
      if (keep_whiteouts) copier.Copy(path, id);
      continue;
    }
    if (!node.IsDirectory()) {
      copier.Copy(path, id);
      continue;
    }
    const bool was_directory = below != nullptr && below->IsDirectory();
    bool opaque = node.opaque;
    if (was_directory && node.opaque) RemoveContents(out, path);
    // In a layer that stands for both, what `lower` hid from the layers below it must stay hidden.
    if (was_directory) opaque = opaque || below->opaque;
    if (below != nullptr && !was_directory) opaque = true;
    if (was_directory && node.implied) {  // says nothing of the directory itself
      out.Find(path)->opaque = keep_whiteouts && opaque;
    } else {
      copier.Copy(path, id, keep_whiteouts && opaque);
    }
  }
  if (!keep_whiteouts) {  // a lower layer may have brought its own
    std::vector<std::string> gone;
    for (const auto& [path, id] : out.names()) {
      if (out.node(id).type == NodeType::kWhiteout) gone.push_back(path);
      out.node(id).opaque = false;
    }
    for (const std::string& path : gone) out.Remove(path);
  }
  return out;
}

void FillImplied(Tree& upper, const Tree& lower) {
  for (const auto& [path, id] : upper.names()) {
    Node& node = upper.node(id);
    if (!node.implied) continue;
    const Node* below = lower.Find(path);
    if (below == nullptr || !below->IsDirectory()) continue;
    const bool opaque = node.opaque;
    node = *below;
    node.opaque = opaque;
    node.implied = below->implied;
  }
}

void PruneWhiteouts(Tree& layer, const Tree* lower) {
  std::vector<std::string> useless;
  std::vector<std::pair<std::string_view, bool>> open;  // the directories that hold the current name; opaque?
  for (const auto& [path, id] : layer.names()) {
    while (!open.empty() && !open.back().first.empty() && open.back().first != ParentOf(path))
      open.pop_back();
    const bool hidden = !open.empty() && open.back().second;
    const Node& node = layer.node(id);
    if (node.IsDirectory()) open.emplace_back(path, hidden || node.opaque);
    if (node.type == NodeType::kWhiteout && (hidden || (lower != nullptr && lower->Find(path) == nullptr))) {
      useless.push_back(path);
    }
  }
  for (const std::string& path : useless) layer.Remove(path);
}

std::vector<TreeChange> Diff(const Tree& before, const Tree& after) {
  std::vector<TreeChange> changes;
  const auto groups_before = LinkGroups(before);
  const auto groups_after = LinkGroups(after);
  const PathOrder less;
  auto b = before.names().begin();
  auto a = after.names().begin();
  while (b != before.names().end() || a != after.names().end()) {
    if (a == after.names().end() || (b != before.names().end() && less(b->first, a->first))) {
      changes.push_back({ChangeKind::kRemoved, b->first});
      ++b;
    } else if (b == before.names().end() || less(a->first, b->first)) {
      changes.push_back({ChangeKind::kAdded, a->first});
      ++a;
    } else {
      if (!(before.node(b->second) == after.node(a->second)) ||
          !SameNames(groups_before[b->second], groups_after[a->second])) {
        changes.push_back({ChangeKind::kChanged, a->first});
      }
      ++a;
      ++b;
    }
  }
  return changes;
}

Tree DiffLayer(const Tree& before, const Tree& after) {
  Tree layer;
  layer.Find("")->implied = false;
  Copier copier(after, layer);
  const auto groups = LinkGroups(after);
  // A layer's folders stand for themselves, so each parent comes with what it is in `after`.
  const auto copy = [&](const std::string& path, Tree::NodeId id) {
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      const std::string parent = path.substr(0, slash);
      if (layer.Find(parent) == nullptr) copier.Copy(parent, after.names().find(parent)->second);
    }
    if (layer.Find(path) == nullptr) copier.Copy(path, id);
  };
  copier.Copy("", after.names().begin()->second);
  for (const TreeChange& change : Diff(before, after)) {
    if (change.kind != ChangeKind::kRemoved) {
      const Tree::NodeId id = after.names().find(change.path)->second;
      // One changed name of an inode would leave the others pointing at the inode below: take them all.
      for (const std::string* name : groups[id]) copy(*name, id);
    } else {
      const Node* parent = after.Find(ParentOf(change.path));
      if (parent == nullptr || !parent->IsDirectory()) continue;  // gone with its folder
      const std::string in(ParentOf(change.path));
      if (!in.empty()) copy(in, after.names().find(in)->second);
      [[maybe_unused]] const auto put = layer.Put(change.path, Node::Whiteout());
      assert(put);
    }
  }
  return layer;
}

}  // namespace ingot::store
