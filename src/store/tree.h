// Tree: the content of one layer (or of several merged), as names and inodes, without the file contents
// themselves.
//
// A path is relative to the layer's root, without a leading or trailing slash ("usr/bin/env"); the root is
// "". Names are in canonical order: a folder before what is in it, siblings by bytes. Hard links are several
// names of one inode. Every name's parent exists and is a directory: Put makes missing parents (see
// Node::implied).
//
// A plain value: copyable, comparable, not thread-safe while changed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/object_id.h"

namespace ingot::store {

enum class NodeType : uint8_t {
  kRegular,
  kDirectory,
  kSymlink,
  kCharDevice,
  kBlockDevice,
  kFifo,
  kWhiteout,  // hides the same name of the layers below
};

// One inode. Fields that do not apply to its type are zero or empty.
struct Node {
  NodeType type = NodeType::kRegular;
  uint32_t mode = 0644;  // permission bits with setuid, setgid, sticky: 0 to 07777. Whiteouts: 0
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime_s = 0;      // seconds since 1970
  uint32_t mtime_ns = 0;    // 0 to 999,999,999
  uint64_t size_bytes = 0;  // of a regular file
  ObjectId object;          // of a regular file that is not empty
  std::string target;       // of a symbolic link
  uint32_t rdev_major = 0;  // of a device
  uint32_t rdev_minor = 0;
  bool opaque = false;  // a directory that hides the contents of the same directory in the layers below
  // A directory that stands here only because something in it does (an archive need not name its folders).
  // Its mode, owner and times are then nobody's decision; see FillImplied. Not part of the layer's identity:
  // == ignores it.
  bool implied = false;
  std::map<std::string, std::string>
      xattrs;  // full names ("user.x", "security.capability"); never trusted.overlay.*

  static Node Directory(uint32_t mode = 0755);
  static Node Regular(const ObjectId& object, uint64_t size_bytes, uint32_t mode = 0644);
  static Node Symlink(std::string target);
  static Node Whiteout();
  bool IsDirectory() const { return type == NodeType::kDirectory; }
  bool operator==(const Node& other) const;
};

// Orders paths as a walk meets them: '/' sorts before every other byte.
struct PathOrder {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};

class Tree {
 public:
  using NodeId = uint32_t;
  using Names = std::map<std::string, NodeId, PathOrder>;

  Tree();  // a root directory (implied, 0755) and nothing else

  // The inode a path names, or nullptr. No symbolic link is followed. Valid until the tree is changed.
  const Node* Find(std::string_view path) const;
  Node* Find(std::string_view path);
  // Names in canonical order, the root ("") first, with their inodes.
  const Names& names() const { return names_; }
  const Node& node(NodeId id) const { return nodes_[id]; }
  Node& node(NodeId id) { return nodes_[id]; }
  // How many ids there may be: each NodeId is below it (some may have no name any more).
  size_t node_id_limit() const { return nodes_.size(); }
  bool empty() const { return names_.size() == 1; }
  // The names directly in a directory, in order (base names).
  std::vector<std::string> List(std::string_view directory) const;

  // Sets what `path` names, replacing what was there (a directory that stays a directory keeps its contents;
  // otherwise a replaced directory goes with all it held). Missing parents are made. kInvalid when the path
  // is not canonical (ValidatePath) or a parent is not a directory. What is no directory gets a new NodeId,
  // the last one, which it keeps whatever its name stands for later.
  Result<void> Put(std::string_view path, Node node);
  // Makes `path` another name of the inode `existing` names. kNotFound; kInvalid when that is a directory.
  Result<void> Link(std::string_view path, std::string_view existing);
  // Removes a name and all below it. True when it existed. The root cannot be removed.
  bool Remove(std::string_view path);

  // Calls for each name in canonical order; `first` is false for the second and later names of one inode.
  void Walk(const std::function<void(const std::string& path, const Node& node, bool first)>& visit) const;

  // Totals for people and limits.
  uint64_t ContentBytes() const;  // each inode once

  // Same names, equal inodes, same hard links; not the order in which they were put.
  bool operator==(const Tree& other) const;

 private:
  Result<void> MakeParents(std::string_view path);
  Names names_;
  std::vector<Node> nodes_;
};

// kInvalid unless `path` is "" or components separated by single slashes, none "", "." or "..", no NUL, each
// at most 255 bytes, 4,095 in all.
Result<void> ValidatePath(std::string_view path);
// "a/b/c" → "a/b"; "a" → "". And the last component.
std::string_view ParentOf(std::string_view path);
std::string_view BaseName(std::string_view path);

// What overlayfs shows for `upper` on `lower`: whiteouts and opaque directories applied. With
// `keep_whiteouts` the result is itself a layer (for squashing some of several layers); without, a root
// filesystem with neither.
Tree ApplyOn(Tree lower, const Tree& upper, bool keep_whiteouts = false);

// Directories of `upper` that are only implied take mode, owner, times and attributes of the same directory
// of `lower` (the merged tree of the layers below), as unpacking onto it would leave them.
void FillImplied(Tree& upper, const Tree& lower);

// Removes whiteouts that hide nothing: those below an opaque directory, and, given the merged tree of the
// layers below, those of names it does not have. A layer should have none: where only one layer has a
// directory, overlayfs lists its whiteouts as names that do not exist.
void PruneWhiteouts(Tree& layer, const Tree* lower = nullptr);

enum class ChangeKind : uint8_t { kAdded, kChanged, kRemoved };
struct TreeChange {
  ChangeKind kind;
  std::string path;
  bool operator==(const TreeChange&) const = default;
};
// What turns `before` into `after`, in canonical order. A directory is changed only by its own attributes; a
// removed directory is named, and everything in it too.
std::vector<TreeChange> Diff(const Tree& before, const Tree& after);
// The layer that turns `before` into `after`: ApplyOn(before, DiffLayer(before, after)) == after. Both are
// roots without whiteouts.
Tree DiffLayer(const Tree& before, const Tree& after);

}  // namespace ingot::store
