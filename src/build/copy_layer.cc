#include "build/copy_layer.h"

#include <charconv>
#include <map>

#include "build/links.h"

namespace ingot::build {
namespace {

std::optional<uint32_t> Number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The fields of the line of /etc/passwd or /etc/group that begins with `name`.
std::optional<std::vector<std::string>> FindEntry(std::string_view file, std::string_view name) {
  size_t begin = 0;
  while (begin < file.size()) {
    const size_t end = std::min(file.find('\n', begin), file.size());
    const std::string_view line = file.substr(begin, end - begin);
    begin = end + 1;
    std::vector<std::string> fields;
    size_t at = 0;
    while (at <= line.size()) {
      const size_t colon = std::min(line.find(':', at), line.size());
      fields.emplace_back(line.substr(at, colon - at));
      at = colon + 1;
    }
    if (fields.size() >= 3 && fields[0] == name) return fields;
  }
  return std::nullopt;
}

Error NoSuchName(std::string_view kind, std::string_view name, std::string_view file) {
  return Error(Code::kInvalid, "the image has no " + std::string(kind) + " \"" + std::string(name) +
                                   "\" in " + std::string(file) +
                                   ". Make it in a RUN before, or use a number.");
}

Result<std::string> ReadOrEmpty(const ReadBelow& read, const std::string& path) {
  auto text = read(path);
  if (!text && text.error().code() == Code::kNotFound) return std::string();
  return text;
}

class CopyLayer {
 public:
  CopyLayer(const CopyTarget& target, const FindBelow& find) : target_(target), find_(find) {}

  Result<store::Tree> Make(const Selection& selection) {
    const std::string wanted = CleanPath(target_.destination);
    const std::string destination = TRY(Resolve(wanted, true));
    bool into = target_.directory || wanted.empty();
    if (!into) {
      const auto below = TRY(Find(destination));
      into = below && below->IsDirectory();
    }
    if (selection.size() > 1) into = true;
    for (const SelectedSource& source : selection) {
      if (source.directory) {
        TRY(PlaceFolder(source, destination));
      } else {
        const std::string path =
            into ? (destination.empty() ? source.name : destination + "/" + source.name) : destination;
        TRY(MakeParents(path));
        TRY(PlaceItem(source.items.front(), TRY(Resolve(path, false))));
      }
      links_.clear();
    }
    // Even an empty folder is made.
    if (into && selection.size() > 0) TRY(MakeFolder(destination, nullptr));
    return std::move(tree_);
  }

  Result<store::Tree> MakeFolders(const std::string& path, const Owner& owner) {
    const std::string resolved = TRY(Resolve(CleanPath(path), true));
    const auto below = TRY(Find(resolved));
    if (below && !below->IsDirectory())
      return Error(Code::kInvalid, "/" + resolved + " is in the image and is no directory");
    if (below || resolved.empty()) return store::Tree();
    parent_owner_ = owner;
    TRY(MakeFolder(resolved, nullptr));
    return std::move(tree_);
  }

 private:
  // This layer over those below.
  Result<std::optional<store::Node>> Find(const std::string& path) {
    if (const store::Node* node = tree_.Find(path); node != nullptr && !(path.empty() && !root_taken_))
      return std::optional<store::Node>(*node);
    return find_(path);
  }

  Result<std::string> Resolve(const std::string& path, bool follow_last) {
    return ResolveLinks(path, follow_last, [&](const std::string& at) -> Result<std::optional<std::string>> {
      const auto node = TRY(Find(at));
      if (!node || node->type != store::NodeType::kSymlink) return std::optional<std::string>();
      return std::optional<std::string>(node->target);
    });
  }

  Result<void> MakeParents(const std::string& path) {
    if (path.empty()) return {};
    return MakeFolder(std::string(store::ParentOf(path)), nullptr);
  }

  // A folder with all above it. `as`: what the selection says it is.
  Result<void> MakeFolder(const std::string& path, const store::Node* as) {
    const store::Node* made = path.empty() && !root_taken_ ? nullptr : tree_.Find(path);
    if (made != nullptr && made->IsDirectory() && as == nullptr) return {};
    if (path.empty()) root_taken_ = true;
    if (!path.empty()) TRY(MakeFolder(std::string(store::ParentOf(path)), nullptr));
    const auto below = TRY(find_(path));
    const bool there = (below && below->IsDirectory()) || (made != nullptr && made->IsDirectory());
    store::Node node;
    if (made != nullptr && made->IsDirectory())
      node = *made;
    else if (below && below->IsDirectory())
      node = *below;
    else
      node = NewFolder();
    node.opaque = false;
    node.implied = false;
    if (as != nullptr) {
      const bool exact = !as->implied;
      if (exact) {
        node = *as;
      } else if (!there) {
        node.mode = as->mode;
      }
      if (exact || !there || target_.owner || target_.mode) Decide(node);
    }
    return tree_.Put(path, std::move(node));
  }

  store::Node NewFolder() const {
    store::Node node = store::Node::Directory();
    node.mtime_s = target_.mtime_s;
    if (parent_owner_) std::tie(node.uid, node.gid) = *parent_owner_;
    return node;
  }

  void Decide(store::Node& node) const {
    if (target_.owner) std::tie(node.uid, node.gid) = *target_.owner;
    if (target_.mode && node.type != store::NodeType::kSymlink) node.mode = *target_.mode;
  }

  Result<void> PlaceItem(const SelectedItem& item, const std::string& path) {
    const auto below = TRY(Find(path));
    if (below && below->IsDirectory())
      return Error(Code::kInvalid, "/" + path + " is a directory in the image; a file cannot replace it");
    if (path.empty()) return Error(Code::kInvalid, "a file cannot replace the root directory");
    if (item.hard_link >= 0) {
      const auto [first, inserted] = links_.emplace(item.hard_link, path);
      if (!inserted) return tree_.Link(path, first->second);
    }
    store::Node node = item.node;
    Decide(node);
    return tree_.Put(path, std::move(node));
  }

  Result<void> PlaceFolder(const SelectedSource& source, const std::string& destination) {
    std::map<std::string, std::string, std::less<>> places;  // folder of the source → where it goes
    for (const SelectedItem& item : source.items) {
      if (item.path.empty()) {
        const auto below = TRY(Find(destination));
        if (below && !below->IsDirectory())
          return Error(Code::kInvalid, "/" + destination + " is in the image and is no directory");
        // The destination itself, when it is there, is not the source's to change.
        TRY(MakeFolder(destination, below ? nullptr : &item.node));
        places[""] = destination;
        continue;
      }
      const std::string& parent = places.find(store::ParentOf(item.path))->second;
      const std::string name(store::BaseName(item.path));
      std::string path = parent.empty() ? name : parent + "/" + name;
      if (!item.node.IsDirectory()) {
        TRY(PlaceItem(item, path));
        continue;
      }
      // A folder onto a link to a folder (/bin on a merged /usr): its contents go there.
      const auto below = TRY(Find(path));
      if (below && below->type == store::NodeType::kSymlink) {
        const std::string resolved = TRY(Resolve(path, true));
        const auto end = TRY(Find(resolved));
        if (end && end->IsDirectory()) path = resolved;
      }
      TRY(MakeFolder(path, &item.node));
      places[item.path] = path;
    }
    return {};
  }

  const CopyTarget& target_;
  const FindBelow& find_;
  store::Tree tree_;
  bool root_taken_ = false;  // the root of tree_ has been given its attributes
  std::optional<Owner> parent_owner_;
  std::map<int, std::string> links_;
};

}  // namespace

Result<Owner> ResolveOwner(std::string_view user_and_group, const ReadBelow& read) {
  const size_t colon = user_and_group.find(':');
  const std::string_view user = user_and_group.substr(0, colon);
  Owner owner{0, 0};
  if (const auto number = Number(user)) {
    owner = {*number, *number};
  } else {
    const std::string passwd = TRY(ReadOrEmpty(read, "etc/passwd"));
    const auto entry = FindEntry(passwd, user);
    const auto uid = entry ? Number((*entry)[2]) : std::nullopt;
    const auto gid = entry && entry->size() > 3 ? Number((*entry)[3]) : std::nullopt;
    if (!uid || !gid) return NoSuchName("user", user, "/etc/passwd");
    owner = {*uid, *gid};
  }
  if (colon == std::string_view::npos) return owner;
  const std::string_view group = user_and_group.substr(colon + 1);
  if (const auto number = Number(group)) {
    owner.second = *number;
    return owner;
  }
  const std::string groups = TRY(ReadOrEmpty(read, "etc/group"));
  const auto entry = FindEntry(groups, group);
  const auto gid = entry ? Number((*entry)[2]) : std::nullopt;
  if (!gid) return NoSuchName("group", group, "/etc/group");
  owner.second = *gid;
  return owner;
}

Result<store::Tree> MakeCopyLayer(const Selection& selection, const CopyTarget& target,
                                  const FindBelow& find) {
  return CopyLayer(target, find).Make(selection);
}

Result<store::Tree> MakeDirectoryLayer(std::string_view path, const Owner& owner, int64_t mtime_s,
                                       const FindBelow& find) {
  CopyTarget target;
  target.mtime_s = mtime_s;
  return CopyLayer(target, find).MakeFolders(std::string(path), owner);
}

}  // namespace ingot::build
