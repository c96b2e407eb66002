#include "build/selection.h"

#include <sys/stat.h>

#include <map>

#include "build/dockerignore.h"
#include "build/key.h"
#include "build/links.h"

namespace ingot::build {
namespace {

bool IsBelow(std::string_view path, std::string_view directory) {
  if (directory.empty()) return true;
  return path.size() > directory.size() && path.starts_with(directory) && path[directory.size()] == '/';
}

std::string Below(std::string_view path, std::string_view directory) {
  return std::string(directory.empty() ? path : path.substr(directory.size() + 1));
}

// The canonical paths a source names. A pattern may match nothing.
template <typename Names>
Result<std::vector<std::string>> Expand(const std::string& source, const Names& names) {
  if (!HasGlob(source)) return std::vector<std::string>{CleanPath(source)};
  std::string pattern = source;
  while (pattern.starts_with('/')) pattern.erase(0, 1);
  while (pattern.starts_with("./")) pattern.erase(0, 2);
  while (pattern.ends_with('/')) pattern.pop_back();
  std::vector<std::string> matches;
  for (const auto& [path, entry] : names) {
    static_cast<void>(entry);
    if (!path.empty() && TRY(GlobMatch(pattern, path))) matches.push_back(path);
  }
  return matches;
}

Error NotInContext(const Context& context, const std::string& source, const std::string& path) {
  struct stat st {};
  std::string message = "the build context " + context.directory().string() + " has no " + source;
  if (::lstat((context.directory() / path).c_str(), &st) == 0)
    message += ": .dockerignore excludes it. Take it back with a line !" + path;
  return Error(Code::kInvalid, message);
}

Result<store::Node> NodeOf(Context& context, const std::string& path, const ContextEntry& entry,
                           int64_t mtime_s) {
  store::Node node;
  switch (entry.type) {
    case ContextEntry::Type::kFile:
      node =
          store::Node::Regular(TRY(context.Measure(path)), entry.size_bytes, entry.executable ? 0755 : 0644);
      break;
    case ContextEntry::Type::kDirectory:
      node = store::Node::Directory();
      node.implied = true;
      break;
    case ContextEntry::Type::kSymlink:
      node = store::Node::Symlink(entry.target);
      break;
    case ContextEntry::Type::kOther:
      return Error(Code::kInvalid, (context.directory() / path).string() +
                                       " is a socket, pipe or device, which an image from a build context "
                                       "cannot hold. Exclude it in .dockerignore.");
  }
  node.mtime_s = mtime_s;
  return node;
}

}  // namespace

Result<Selection> SelectFromContext(Context& context, const std::vector<std::string>& sources,
                                    int64_t mtime_s) {
  const ReadLink read_link = [&](const std::string& path) -> Result<std::optional<std::string>> {
    const ContextEntry* entry = context.Find(path);
    if (entry == nullptr || entry->type != ContextEntry::Type::kSymlink) return std::optional<std::string>();
    return std::optional<std::string>(entry->target);
  };
  Selection selection;
  for (const std::string& source : sources) {
    for (const std::string& match : TRY(Expand(source, context.entries()))) {
      const std::string path = TRY(ResolveLinks(match, true, read_link));
      const ContextEntry* entry = context.Find(path);
      if (entry == nullptr) return NotInContext(context, source, path);
      SelectedSource selected{std::string(store::BaseName(match)), false, {}};
      const auto add = [&](const std::string& at, const ContextEntry& what) -> Result<void> {
        auto node = TRY(NodeOf(context, at, what, mtime_s));
        SelectedItem item{at == path ? "" : Below(at, path), std::move(node), "", -1};
        if (what.type == ContextEntry::Type::kFile) item.context_path = at;
        selected.items.push_back(std::move(item));
        return {};
      };
      TRY(add(path, *entry));
      if (entry->type == ContextEntry::Type::kDirectory) {
        selected.directory = true;
        const auto& entries = context.entries();
        for (auto at = path.empty() ? entries.begin() : entries.upper_bound(path);
             at != entries.end() && IsBelow(at->first, path); ++at) {
          TRY(add(at->first, at->second));
        }
      }
      selection.push_back(std::move(selected));
    }
  }
  return selection;
}

Result<Selection> SelectFromTree(const store::Tree& tree, const std::vector<std::string>& sources,
                                 std::string_view shown) {
  const ReadLink read_link = [&](const std::string& path) -> Result<std::optional<std::string>> {
    const store::Node* node = tree.Find(path);
    if (node == nullptr || node->type != store::NodeType::kSymlink) return std::optional<std::string>();
    return std::optional<std::string>(node->target);
  };
  Selection selection;
  for (const std::string& source : sources) {
    for (const std::string& match : TRY(Expand(source, tree.names()))) {
      const std::string path = TRY(ResolveLinks(match, true, read_link));
      const auto found = tree.names().find(path);
      if (found == tree.names().end())
        return Error(Code::kInvalid, "there is no " + source + " in " + std::string(shown));
      SelectedSource selected{std::string(store::BaseName(match)), false, {}};
      const auto add = [&](const std::string& at, store::Tree::NodeId id) {
        SelectedItem item{at == path ? "" : Below(at, path), tree.node(id), "", -1};
        item.node.uid = item.node.gid = 0;
        item.node.implied = false;
        item.node.opaque = false;
        if (item.node.type == store::NodeType::kRegular) item.hard_link = static_cast<int>(id);
        selected.items.push_back(std::move(item));
      };
      add(found->first, found->second);
      if (tree.node(found->second).IsDirectory()) {
        selected.directory = true;
        for (auto at = std::next(found); at != tree.names().end() && IsBelow(at->first, path); ++at)
          add(at->first, at->second);
      }
      selection.push_back(std::move(selected));
    }
  }
  return selection;
}

std::string SelectionKey(const Selection& selection) {
  KeyHasher key("selection/1");
  for (const SelectedSource& source : selection) {
    key.Add(source.name).AddNumber(source.directory ? 1 : 0).AddNumber(source.items.size());
    std::map<int, uint64_t> links;  // numbers of a merged tree differ between equal trees
    for (const SelectedItem& item : source.items) {
      const store::Node& node = item.node;
      key.Add(item.path).AddNumber(static_cast<uint64_t>(node.type)).AddNumber(node.mode);
      key.AddNumber(node.implied ? 1 : 0).AddNumber(static_cast<uint64_t>(node.mtime_s));
      key.AddNumber(node.mtime_ns).AddNumber(node.size_bytes);
      key.Add({reinterpret_cast<const char*>(node.object.bytes().data()), node.object.bytes().size()});
      key.Add(node.target).AddNumber(node.rdev_major).AddNumber(node.rdev_minor);
      key.AddNumber(item.hard_link < 0 ? 0 : links.emplace(item.hard_link, links.size() + 1).first->second);
      key.AddNumber(node.xattrs.size());
      for (const auto& [name, value] : node.xattrs) key.Add(name).Add(value);
    }
  }
  return key.Finish();
}

}  // namespace ingot::build
