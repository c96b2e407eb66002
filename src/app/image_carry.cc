#include "app/image_carry.h"

#include <map>
#include <memory>
#include <set>

#include "app/image_push.h"
#include "app/parcel.h"
#include "app/terminal.h"
#include "base/units.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "store/sealed_layer.h"

namespace ingot::app {

namespace {

// How much is held here at a time, and asked for in one request.
constexpr uint64_t kPieceBytes = uint64_t{8} << 20;
constexpr size_t kMostInOnePiece = 1'000;

Error NotAsSaid(const std::string& what) {
  return Error(Code::kCorrupt, "the host that has the image gives " + what + "; nothing was promoted");
}

// The bytes of an image, from where it is. One thread at a time.
class FarImage {
 public:
  FarImage(DaemonClient& source, std::string path, const DescribedImage& image)
      : source_(source), path_(std::move(path)), image_(image) {}

  Result<std::string> ReadTree(size_t layer) {
    return source_.CallRaw("POST", path_ + "/tree", Body({{"layer", layer}}));
  }

  Result<void> ReadBlob(size_t layer, uint64_t size, const ByteSink& sink) {
    return ReadPieces(size, "/blob", {{"layer", layer}}, sink);
  }

  // Files are asked for in the order in which they were added, small ones several at a time.
  void AddFile(const store::ObjectId& id, uint64_t size) { files_.push_back({id, size}); }
  Result<void> ReadFile(size_t index, const ByteSink& sink) {
    const File& file = files_[index];
    if (file.size > kPieceBytes)
      return ReadPieces(file.size, "/read", {{"objects", JsonArray{file.id.Render()}}}, sink);
    if (index != begin_ || index >= end_) TRY(ReadAhead(index));
    const std::string_view text = std::string_view(ahead_).substr(position_, file.size);
    position_ += file.size;
    begin_ = index + 1;
    return sink(text);
  }

 private:
  struct File {
    store::ObjectId id;
    uint64_t size = 0;
  };

  std::string Body(JsonObject more) const {
    more["image"] = image_.name;
    more["digest"] = image_.digest.Render();
    return RenderJson(more);
  }

  Result<void> ReadPieces(uint64_t size, const std::string& what, const JsonObject& of,
                          const ByteSink& sink) {
    for (uint64_t at = 0; at < size;) {
      JsonObject body = of;
      const uint64_t length = std::min(kPieceBytes, size - at);
      body["offset"] = at;
      body["length"] = length;
      const std::string piece = TRY(source_.CallRaw("POST", path_ + what, Body(std::move(body))));
      if (piece.size() != length) return NotAsSaid("less of a file than it has");
      TRY(sink(piece));
      at += length;
    }
    return {};
  }

  // From `index` on as many as fit.
  Result<void> ReadAhead(size_t index) {
    JsonArray asked;
    uint64_t bytes = 0;
    size_t end = index;
    while (end < files_.size() && asked.size() < kMostInOnePiece && bytes + files_[end].size <= kPieceBytes) {
      asked.emplace_back(files_[end].id.Render());
      bytes += files_[end++].size;
    }
    ahead_ = TRY(source_.CallRaw("POST", path_ + "/read", Body({{"objects", std::move(asked)}})));
    if (ahead_.size() != bytes) return NotAsSaid("files of another size than it says");
    begin_ = index;
    end_ = end;
    position_ = 0;
    return {};
  }

  DaemonClient& source_;
  const std::string path_;
  const DescribedImage& image_;
  std::vector<File> files_;
  std::string ahead_;  // what was read of several files, from position_ on: those from begin_ to end_
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t position_ = 0;
};

}  // namespace

Result<DescribedImage> DescribeImage(DaemonClient& source, const std::string& project,
                                     const std::string& environment, const std::string& name,
                                     const std::string& tag, const std::optional<oci::Digest>& digest) {
  const Json body = digest ? JsonObject{{"image", name}, {"digest", digest->Render()}}
                           : JsonObject{{"image", name}, {"tag", tag}};
  const Json answer =
      TRY(source.Call("POST", EnvironmentPath(project, environment, "/images/describe"), &body));
  if (!answer.is_object()) return Error(Code::kInternal, "the host's answer about an image is not an object");
  const JsonObject& object = answer.get_object();
  DescribedImage out;
  out.name = name;
  out.digest = TRY(oci::Digest::Parse(TRY(GetString(object, "digest"))));
  out.manifest = TRY(GetString(object, "manifest"));
  out.config = TRY(GetString(object, "config"));
  if (oci::Digest::Of(out.manifest) != out.digest || (digest && *digest != out.digest))
    return NotAsSaid("another image than was asked for");
  out.golden = TRY(GetBool(object, "golden"));
  if (const Json* tests = object.if_contains("tests")) out.tests = *tests;
  out.rolled_out = TRY(GetBool(object, "rolled_out"));
  out.held = TRY(GetBool(object, "held"));
  out.pulled = *TRY(GetArray(object, "pulled"));
  for (const Json& layer : *TRY(GetArray(object, "layers"))) {
    if (!layer.is_object()) return Error(Code::kInternal, "the host's answer about a layer is not an object");
    out.is_blob.push_back(TRY(GetBool(layer.get_object(), "blob")));
  }
  return out;
}

Result<CarriedImage> CarryImage(DaemonClient& source, DaemonClient& target, const std::string& project,
                                const std::string& from, const std::string& to, const DescribedImage& image,
                                bool show_progress) {
  CarriedImage carried;
  const std::string there = EnvironmentPath(project, to, "/images");
  const Json question =
      JsonObject{{"images", JsonArray{JsonObject{{"manifest", image.manifest}, {"config", image.config}}}}};
  const Json lacking = TRY(target.Call("POST", there + "/lacking", &question));
  if (!lacking.is_object()) return Error(Code::kInternal, "the host's answer about images is not an object");
  const JsonArray& rows = *TRY(GetArray(lacking.get_object(), "images"));
  if (rows.size() != 1 || !rows[0].is_object())
    return Error(Code::kInternal, "the host's answer is not about the image that was asked for");
  const JsonObject& row = rows[0].get_object();
  // One that it knows is sent all the same, without anything in it: that names it as the project's.
  const oci::Manifest manifest = TRY(oci::Manifest::Parse(image.manifest));
  const oci::ImageConfig config = TRY(oci::ImageConfig::Parse(image.config));
  const size_t count = manifest.layers.size();
  if (image.is_blob.size() != count || config.diff_ids.size() != count)
    return NotAsSaid("another number of layers");

  FarImage far(source, EnvironmentPath(project, from, "/images"), image);
  std::map<std::string, std::string> trees;  // by diff_id: sealed layers
  std::map<store::ObjectId, uint64_t> contents;
  std::vector<size_t> blobs;
  for (const Json& item : *TRY(GetArray(row, "layers"))) {
    const size_t layer = item.is_int64() ? static_cast<size_t>(item.get_int64()) : count;
    if (layer >= count) return Error(Code::kInternal, "the host asks for a layer that there is not");
    if (image.is_blob[layer]) {
      blobs.push_back(layer);
      continue;
    }
    std::string sealed = TRY(far.ReadTree(layer));
    const store::Tree tree = TRY(store::ParseSealed(sealed));
    tree.Walk([&](const std::string&, const store::Node& node, bool first) {
      if (first && node.type == store::NodeType::kRegular && !node.object.empty())
        contents.emplace(node.object, node.size_bytes);
    });
    trees.emplace(config.diff_ids[layer].Render(), std::move(sealed));
  }
  std::set<store::ObjectId> named;
  for (const auto& [id, size] : contents) named.insert(id);
  const std::set<store::ObjectId> objects = TRY(LackingThere(target, project, to, named));

  OutgoingParcel parcel(JsonObject{{"images", JsonArray{JsonObject{{"image", image.name},
                                                                   {"manifest", image.manifest},
                                                                   {"config", image.config},
                                                                   {"golden", image.golden},
                                                                   {"tests", image.tests}}}}});
  size_t index = 0;
  for (const store::ObjectId& id : objects) {
    const auto found = contents.find(id);
    if (found == contents.end()) return Error(Code::kInternal, "the host asks for a file that there is not");
    far.AddFile(id, found->second);
    parcel.AddObject(id, found->second,
                     [&far, at = index++](const ByteSink& sink) { return far.ReadFile(at, sink); });
  }
  carried.layers = trees.size() + blobs.size();
  carried.files = objects.size();
  for (auto& [diff_id, sealed] : trees) parcel.AddTree(diff_id, std::move(sealed));
  for (const size_t layer : blobs)
    parcel.AddBlob(manifest.layers[layer], [&far, &manifest, layer](const ByteSink& sink) {
      return far.ReadBlob(layer, manifest.layers[layer].size_bytes, sink);
    });
  carried.sent_bytes = parcel.size_bytes();
  Progress progress(!show_progress);
  uint64_t sent = 0;
  uint64_t shown = 0;
  const std::string of = " of " + RenderSize(carried.sent_bytes);
  TRY(target.Send(there, carried.sent_bytes, parcel.Source([&](uint64_t n) {
    sent += n;
    if (sent - shown < (uint64_t{1} << 20)) return;
    shown = sent;
    progress.Live("carrying " + RenderSize(sent) + of);
  }),
                  {}));
  progress.Clear();
  return carried;
}

}  // namespace ingot::app
