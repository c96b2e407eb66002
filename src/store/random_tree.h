// For tests: random trees from a seed, with their contents in a pool.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "store/object_pool.h"
#include "store/tree.h"

namespace ingot::store {

class RandomTree {
 public:
  RandomTree(uint64_t seed, ObjectPool& pool) : random_(seed), pool_(pool) {}

  // A layer of about `names` names: all types, odd names, attributes, hard links; whiteouts and opaque
  // directories unless it is to be a root.
  Tree Make(size_t names, bool layer) {
    Tree tree;
    *tree.Find("") = Metadata(Node::Directory(), false);
    std::vector<std::string> directories{""};
    std::vector<std::string> files;
    while (tree.names().size() < names) {
      const std::string& parent = directories[Below(directories.size())];
      const std::string path = (parent.empty() ? "" : parent + "/") + Name();
      if (path.size() > 1500 || tree.Find(path) != nullptr) continue;
      const size_t kind = Below(20);
      if (kind < 4) {
        Node node = Metadata(Node::Directory(), true);
        node.opaque = layer && Below(5) == 0;
        Must(tree.Put(path, node));
        directories.push_back(path);
      } else if (kind < 6) {
        Must(tree.Put(path, Metadata(Node::Symlink(Text(1 + Below(Below(10) == 0 ? 4095 : 60))), false)));
      } else if (kind == 6 && !files.empty()) {
        Must(tree.Link(path, files[Below(files.size())]));
      } else if (kind == 7 && layer) {
        Must(tree.Put(path, Node::Whiteout()));
      } else if (kind == 8) {
        Must(tree.Put(path, Metadata(Special(), false)));
      } else {
        const std::string bytes = Text(Below(4) == 0 ? 0 : Below(Below(30) == 0 ? 300'000 : 2000));
        auto id = pool_.Put(bytes);
        if (!id) std::abort();
        Must(tree.Put(path, Metadata(Node::Regular(*id, bytes.size()), true)));
        files.push_back(path);
      }
    }
    return tree;
  }

  // `tree` with some names changed, added and removed; a root without whiteouts stays one.
  Tree Change(Tree tree, size_t edits) {
    for (size_t i = 0; i < edits; ++i) {
      std::vector<std::string> paths;
      for (const auto& [path, id] : tree.names()) paths.push_back(path);
      const std::string path = paths[Below(paths.size())];
      const size_t kind = Below(6);
      if (kind == 0) {
        tree.Remove(path);
      } else if (kind == 1) {
        Node& node = *tree.Find(path);
        node.mode = static_cast<uint32_t>(Below(07777));
      } else if (kind == 2 && !path.empty()) {
        Must(tree.Put(path, Metadata(Node::Symlink("changed"), false)));
      } else if (kind == 3 && !path.empty()) {
        Must(tree.Put(path, Metadata(Node::Directory(), true)));
      } else if (kind == 4 && tree.Find(path)->type == NodeType::kRegular) {
        const std::string other = std::string(ParentOf(path)) + (ParentOf(path).empty() ? "" : "/") + Name();
        if (tree.Find(other) == nullptr && ValidatePath(other)) Must(tree.Link(other, path));
      } else if (tree.Find(path)->IsDirectory()) {
        const std::string added = path + (path.empty() ? "" : "/") + Name();
        if (tree.Find(added) == nullptr && ValidatePath(added)) {
          const std::string bytes = Text(10);
          Must(tree.Put(added, Metadata(Node::Regular(*pool_.Put(bytes), bytes.size()), true)));
        }
      }
    }
    return tree;
  }

  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

 private:
  static void Must(const Result<void>& done) {
    if (!done) std::abort();
  }

  std::string Text(size_t size) {
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>('a' + Below(26));
    return out;
  }

  std::string Name() {
    static const std::vector<std::string> kOdd{
        "ab",        "-", "!x",    "...",     "a b", "\xc3\xa9t\xc3\xa9", "\xff\xfe", "00",
        "new\nline", "~", "a.wh.", ".hidden", "\x01"};
    const size_t kind = Below(12);
    if (kind == 0) return kOdd[Below(kOdd.size())] + Text(Below(3));
    return Text(1 + Below(kind == 1 ? 255 : 12));
  }

  Node Special() {
    Node node;
    const size_t kind = Below(3);
    node.type = kind == 0 ? NodeType::kCharDevice : kind == 1 ? NodeType::kBlockDevice : NodeType::kFifo;
    if (kind < 2) {
      node.rdev_major = 1 + static_cast<uint32_t>(Below(0xfff));
      node.rdev_minor = static_cast<uint32_t>(Below(0x100000));
    }
    return node;
  }

  Node Metadata(Node node, bool attributes) {
    if (node.type != NodeType::kSymlink) node.mode = static_cast<uint32_t>(Below(010000));
    if (Below(2) == 0) node.uid = Below(4) == 0 ? 3'000'000'000U : static_cast<uint32_t>(Below(100'000));
    if (Below(2) == 0) node.gid = Below(4) == 0 ? 2'500'000 : static_cast<uint32_t>(Below(100'000));
    const size_t when = Below(6);
    node.mtime_s = when == 0   ? -static_cast<int64_t>(Below(1'000'000))
                   : when == 1 ? static_cast<int64_t>(Below(1'000'000'000)) * 20
                               : 1'700'000'000;
    if (Below(4) == 0) node.mtime_ns = static_cast<uint32_t>(Below(1'000'000'000));
    if (attributes && Below(5) == 0)
      node.xattrs["user." + Text(1 + Below(20))] = Text(Below(Below(10) == 0 ? 9000 : 40));
    if (attributes && Below(5) == 0) node.xattrs["user.shared"] = "the same everywhere";
    if (attributes && Below(9) == 0)
      node.xattrs["security.capability"] = std::string("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    return node;
  }

  std::mt19937_64 random_;
  ObjectPool& pool_;
};

}  // namespace ingot::store
