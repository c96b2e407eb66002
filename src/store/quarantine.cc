#include "store/quarantine.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/clock.h"
#include "base/json.h"
#include "store/claims.h"
#include "store/file_check.h"

namespace ingot::store {
namespace {

constexpr std::string_view kRecordSuffix = ".json";
constexpr std::string_view kBytesSuffix = ".damaged";

fs::path QuarantineOf(const Store& store) {
  return store.paths().blobs.parent_path() / "quarantine";
}

// "object-<hex>", "blob-sha256-<hex>"
std::string FileNameOf(ThingKind thing, std::string name) {
  for (char& c : name)
    if (c == ':') c = '-';
  return std::string(ThingKindName(thing)) + "-" + name;
}

Result<void> CheckThing(const Store& store, ThingKind thing, const std::string& name) {
  const fs::path path = TRY(PathOfThing(store, thing, name));
  FileCheck check;
  if (thing == ThingKind::kBlob) {
    TRY(check.Blob(path, TRY(oci::Digest::Parse(name))));
  } else {
    TRY(check.Object(path, TRY(ObjectId::Parse(name)), std::nullopt));
  }
  return {};
}

Json ToJson(const LostThing& lost) {
  JsonArray images;
  for (const oci::Digest& image : lost.images) images.emplace_back(image.Render());
  return JsonObject{{"thing", ThingKindName(lost.thing)},
                    {"kind", ProblemKindName(lost.kind)},
                    {"name", lost.name},
                    {"message", lost.message},
                    {"found", RenderTime(lost.found)},
                    {"images", std::move(images)}};
}

Result<LostThing> FromJson(const Json& json) {
  if (!json.is_object()) return Error(Code::kCorrupt, "a record of the quarantine is not an object");
  const JsonObject& fields = json.get_object();
  LostThing lost;
  const std::string thing = TRY(GetString(fields, "thing"));
  for (const ThingKind kind : {ThingKind::kObject, ThingKind::kLayer, ThingKind::kBlob})
    if (ThingKindName(kind) == thing) lost.thing = kind;
  lost.kind = TRY(GetString(fields, "kind")) == ProblemKindName(ProblemKind::kMissing)
                  ? ProblemKind::kMissing
                  : ProblemKind::kDamaged;
  lost.name = TRY(GetString(fields, "name"));
  lost.message = TRY(GetString(fields, "message"));
  lost.found = TRY(ParseTime(TRY(GetString(fields, "found"))));
  const JsonArray* images = TRY(GetArray(fields, "images"));
  for (const Json& image : *images)
    if (image.is_string()) lost.images.insert(TRY(oci::Digest::Parse(std::string_view(image.get_string()))));
  return lost;
}

}  // namespace

Result<fs::path> PathOfThing(const Store& store, ThingKind thing, const std::string& name) {
  switch (thing) {
    case ThingKind::kObject:
      return store.paths().objects / TRY(ObjectId::Parse(name)).RelativePath();
    case ThingKind::kLayer:
      return store.LayerPath(TRY(ObjectId::Parse(name)));
    case ThingKind::kBlob:
      return store.BlobPath(TRY(oci::Digest::Parse(name)));
    case ThingKind::kImage:
      break;
  }
  return Error(Code::kInvalid, "an image's rows have no file");
}

Result<bool> SetAside(Store& store, const Problem& problem, const Clock& clock) {
  if (problem.kind == ProblemKind::kUnreadable)
    return Error(Code::kInvalid, problem.name + " could not be read: nothing is known about it");
  const fs::path path = TRY(PathOfThing(store, problem.thing, problem.name));
  const fs::path folder = QuarantineOf(store);
  TRY(MakeDirectories(folder, 0700));
  const std::string file_name = FileNameOf(problem.thing, problem.name);
  const LostThing lost{problem.thing,   problem.kind, problem.name,
                       problem.message, clock.Now(),  problem.images};
  // While nobody claims it: who relies on it after this finds that it is not there.
  bool set_aside = false;
  ClaimReader claims(store.paths().claims);
  Fd lock;
  TRY(store.catalog().Write([&](CatalogRows&) -> Result<void> {
    lock = TRY(claims.LockOut());
    const auto whole = CheckThing(store, problem.thing, problem.name);
    if (whole) return {};
    const Code code = whole.error().code();
    if (code != Code::kCorrupt && code != Code::kNotFound) return Error(whole.error());
    TRY(WriteFileAtomic(folder / (file_name + std::string(kRecordSuffix)), RenderJson(ToJson(lost)), 0600));
    set_aside = true;
    if (code == Code::kNotFound) return {};
    const fs::path aside = folder / (file_name + std::string(kBytesSuffix));
    if (::rename(path.c_str(), aside.c_str()) != 0)
      return ErrnoError(errno, "move " + path.string() + " into quarantine");
    return SyncDirectory(path.parent_path());
  }));
  return set_aside;
}

namespace {

// What Verify would look for.
struct Wanted {
  std::set<oci::Digest> images;
  std::set<oci::Digest> of_repositories;

  static Result<Wanted> Of(Store& store) {
    Wanted wanted;
    for (const ImageRow& row : TRY(store.ListImages())) wanted.images.insert(row.digest);
    TRY(store.catalog().Read([&](const CatalogRows& rows) -> Result<void> {
      for (oci::Digest& digest : TRY(rows.ListRepositoryDigests()))
        wanted.of_repositories.insert(std::move(digest));
      return {};
    }));
    return wanted;
  }
  // Takes from it the images that are no more.
  Result<bool> Needs(LostThing& lost) const {
    std::erase_if(lost.images, [this](const oci::Digest& image) { return !images.contains(image); });
    if (!lost.images.empty()) return true;
    return lost.thing == ThingKind::kBlob && of_repositories.contains(TRY(oci::Digest::Parse(lost.name)));
  }
};

}  // namespace

Result<std::vector<LostThing>> ListLost(Store& store) {
  std::vector<LostThing> lost;
  const fs::path folder = QuarantineOf(store);
  auto names = ListDirectory(folder);
  if (!names && names.error().code() == Code::kNotFound) return lost;
  std::optional<Wanted> wanted;
  for (const std::string& name : TRY(std::move(names))) {
    if (!name.ends_with(kRecordSuffix)) continue;
    const auto bytes = ReadFile(folder / name, size_t{4} << 20);
    if (!bytes && bytes.error().code() == Code::kNotFound) continue;
    LostThing thing = TRY(FromJson(TRY(ParseJson(TRY(bytes)))));
    const fs::path path = TRY(PathOfThing(store, thing.thing, thing.name));
    struct stat st {};
    // Whatever is there has been put there since, checked.
    if (::lstat(path.c_str(), &st) != 0) {
      if (errno != ENOENT) return ErrnoError(errno, "look for " + path.string());
      if (!wanted) wanted = TRY(Wanted::Of(store));
      if (TRY(wanted->Needs(thing))) {
        lost.push_back(std::move(thing));
        continue;
      }
    }
    const std::string stem = name.substr(0, name.size() - kRecordSuffix.size());
    for (const std::string_view suffix : {kBytesSuffix, kRecordSuffix}) {
      const fs::path file = folder / (stem + std::string(suffix));
      if (::unlink(file.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "remove " + file.string());
    }
  }
  return lost;
}

Result<void> RequireWhole(Store& store, const oci::Digest& image) {
  std::string names;
  size_t count = 0;
  for (const LostThing& lost : TRY(ListLost(store))) {
    if (!lost.images.contains(image)) continue;
    if (++count <= 3)
      names += (names.empty() ? "" : ", ") + std::string(ThingKindName(lost.thing)) + " " + lost.name;
  }
  if (count == 0) return {};
  if (count > 3) names += " and " + std::to_string(count - 3) + " more";
  return Error(Code::kCorrupt, "the image " + image.Render() + " needs what is lost: " + names +
                                   "; `ingot verify --repair` looks for another copy");
}

Result<std::set<oci::Digest>> ImagesThatNeed(Store& store, ThingKind thing, const std::string& name) {
  std::set<oci::Digest> images;
  for (const ImageRow& row : TRY(store.ListImages())) {
    bool needs = thing == ThingKind::kBlob && row.digest.Render() == name;
    if (thing == ThingKind::kBlob && !needs) {
      const auto bytes = store.GetBlob(row.digest, oci::kMaxManifestBytes);
      const auto manifest = bytes ? oci::Manifest::Parse(*bytes) : Result<oci::Manifest>(bytes.error());
      if (manifest) {
        needs = manifest->config.digest.Render() == name;
        for (const oci::Descriptor& layer : manifest->layers) needs = needs || layer.digest.Render() == name;
      }
    }
    for (const ImageRow::LayerRef& ref : row.layers) {
      if (needs || thing == ThingKind::kBlob) break;
      if (thing == ThingKind::kLayer) {
        needs = ref.id.Render() == name;
        continue;
      }
      const auto tree = store.ReadLayer(ref.id);
      if (!tree) continue;
      tree->Walk([&](const std::string&, const Node& node, bool) {
        needs = needs || (!node.object.empty() && node.object.Render() == name);
      });
    }
    if (needs) images.insert(row.digest);
  }
  return images;
}

}  // namespace ingot::store
