#include "store/tree.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace ingot::store {

Node Node::Directory(uint32_t mode) {
  Node node;
  node.type = NodeType::kDirectory;
  node.mode = mode;
  return node;
}

Node Node::Regular(const ObjectId& object, uint64_t size_bytes, uint32_t mode) {
  Node node;
  node.mode = mode;
  node.size_bytes = size_bytes;
  node.object = object;
  return node;
}

Node Node::Symlink(std::string target) {
  Node node;
  node.type = NodeType::kSymlink;
  node.mode = 0777;
  node.target = std::move(target);
  return node;
}

Node Node::Whiteout() {
  Node node;
  node.type = NodeType::kWhiteout;
  node.mode = 0;
  return node;
}

bool Node::operator==(const Node& o) const {
  return type == o.type && mode == o.mode && uid == o.uid && gid == o.gid && mtime_s == o.mtime_s &&
         mtime_ns == o.mtime_ns && size_bytes == o.size_bytes && object == o.object && target == o.target &&
         rdev_major == o.rdev_major && rdev_minor == o.rdev_minor && opaque == o.opaque && xattrs == o.xattrs;
}

bool PathOrder::operator()(std::string_view a, std::string_view b) const {
  const size_t n = std::min(a.size(), b.size());
  size_t i = 0;
  // Names that are compared mostly begin alike: eight bytes at a time.
  for (uint64_t x = 0, y = 0; i + sizeof x <= n; i += sizeof x) {
    std::memcpy(&x, a.data() + i, sizeof x);
    std::memcpy(&y, b.data() + i, sizeof y);
    if (x != y) break;
  }
  while (i < n && a[i] == b[i]) ++i;
  if (i == n) return a.size() < b.size();
  const auto rank = [](char c) { return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c)); };
  return rank(a[i]) < rank(b[i]);
}

std::string_view ParentOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view BaseName(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

Result<void> ValidatePath(std::string_view path) {
  const auto bad = [&](std::string_view why) {
    return Error(Code::kInvalid,
                 "The path \"" + std::string(path.substr(0, 200)) + "\" " + std::string(why) + ".");
  };
  if (path.empty()) return {};
  if (path.size() > 4095) return bad("is longer than 4,095 bytes");
  if (path.find('\0') != std::string_view::npos) return bad("has a NUL byte");
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty()) return bad("has an empty component");
    if (part == "." || part == "..") return bad("has a \".\" or \"..\" component");
    if (part.size() > 255) return bad("has a component longer than 255 bytes");
    begin = end + 1;
  }
  return {};
}

Tree::Tree() {
  nodes_.push_back(Node::Directory());
  nodes_.back().implied = true;
  names_.emplace("", 0);
}

const Node* Tree::Find(std::string_view path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : &nodes_[found->second];
}

Node* Tree::Find(std::string_view path) {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : &nodes_[found->second];
}

std::vector<std::string> Tree::List(std::string_view directory) const {
  std::vector<std::string> out;
  auto it = names_.upper_bound(directory);
  const std::string prefix = directory.empty() ? std::string() : std::string(directory) + "/";
  while (it != names_.end() && it->first.starts_with(prefix)) {
    std::string name = it->first.substr(prefix.size());
    const size_t slash = name.find('/');
    if (slash == std::string::npos) {
      out.push_back(std::move(name));
      ++it;
    } else {
      // Past the subtree: the byte 1 is the first after '/' in PathOrder.
      it = names_.lower_bound(prefix + name.substr(0, slash) + '\x01');
    }
  }
  return out;
}

Result<void> Tree::MakeParents(std::string_view path) {
  const std::string_view parent = ParentOf(path);
  if (const auto found = names_.find(parent); found != names_.end()) {
    if (nodes_[found->second].IsDirectory()) return {};
    return Error(Code::kInvalid, "\"" + std::string(path) + "\" cannot be in \"" + std::string(parent) +
                                     "\", which is not a directory.");
  }
  TRY(MakeParents(parent));
  Node node = Node::Directory();
  node.implied = true;
  nodes_.push_back(std::move(node));
  names_.emplace(parent, static_cast<NodeId>(nodes_.size() - 1));
  return {};
}

Result<void> Tree::Put(std::string_view path, Node node) {
  TRY(ValidatePath(path));
  if (path.empty() && !node.IsDirectory()) {
    return Error(Code::kInvalid, "The root of a tree must be a directory.");
  }
  auto next = names_.lower_bound(path);  // stays right behind the new name: parents come before it
  if (next == names_.end() || next->first != path) {
    TRY(MakeParents(path));
  } else if (nodes_[next->second].IsDirectory() && node.IsDirectory()) {
    nodes_[next->second] = std::move(node);  // a directory has one name only: its inode can be reused
    return {};
  } else {
    Remove(path);
    next = names_.lower_bound(path);
  }
  names_.emplace_hint(next, path, static_cast<NodeId>(nodes_.size()));
  nodes_.push_back(std::move(node));
  return {};
}

Result<void> Tree::Link(std::string_view path, std::string_view existing) {
  TRY(ValidatePath(path));
  const auto found = names_.find(existing);
  if (found == names_.end()) {
    return Error(Code::kNotFound, "\"" + std::string(path) + "\" is a hard link to \"" +
                                      std::string(existing) + "\", which does not exist.");
  }
  const NodeId id = found->second;
  if (nodes_[id].IsDirectory()) {
    return Error(Code::kInvalid, "\"" + std::string(path) + "\" is a hard link to the directory \"" +
                                     std::string(existing) + "\"; directories cannot have hard links.");
  }
  if (path == existing) return {};
  if (path.starts_with(existing) && path[existing.size()] == '/') {
    return Error(Code::kInvalid, "\"" + std::string(path) + "\" cannot be in \"" + std::string(existing) +
                                     "\", which is not a directory.");
  }
  if (existing.starts_with(path) && (path.empty() || existing[path.size()] == '/')) {
    return Error(Code::kInvalid, "\"" + std::string(path) + "\" cannot be a hard link to \"" +
                                     std::string(existing) + "\" and a directory that holds it.");
  }
  TRY(MakeParents(path));
  Remove(path);
  names_.emplace(path, id);
  return {};
}

bool Tree::Remove(std::string_view path) {
  if (path.empty()) return false;
  auto it = names_.find(path);
  if (it == names_.end()) return false;
  const std::string prefix = it->first + "/";
  it = names_.erase(it);
  while (it != names_.end() && it->first.starts_with(prefix)) it = names_.erase(it);
  return true;
}

void Tree::Walk(const std::function<void(const std::string&, const Node&, bool)>& visit) const {
  std::vector<bool> seen(nodes_.size());
  for (const auto& [path, id] : names_) {
    visit(path, nodes_[id], !seen[id]);
    seen[id] = true;
  }
}

uint64_t Tree::ContentBytes() const {
  uint64_t total = 0;
  Walk([&](const std::string&, const Node& node, bool first) { total += first ? node.size_bytes : 0; });
  return total;
}

bool Tree::operator==(const Tree& other) const {
  if (names_.size() != other.names_.size()) return false;
  // Equal when the inodes correspond one to one.
  constexpr NodeId kNone = UINT32_MAX;
  std::vector<NodeId> theirs(nodes_.size(), kNone);
  std::vector<NodeId> ours(other.nodes_.size(), kNone);
  for (auto a = names_.begin(), b = other.names_.begin(); a != names_.end(); ++a, ++b) {
    if (a->first != b->first) return false;
    if (theirs[a->second] == kNone && ours[b->second] == kNone) {
      if (!(nodes_[a->second] == other.nodes_[b->second])) return false;
      theirs[a->second] = b->second;
      ours[b->second] = a->second;
    } else if (theirs[a->second] != b->second || ours[b->second] != a->second) {
      return false;
    }
  }
  return true;
}

}  // namespace ingot::store
