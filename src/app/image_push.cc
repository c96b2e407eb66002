#include "app/image_push.h"

#include <atomic>

#include "app/open_store.h"
#include "app/parcel.h"
#include "app/terminal.h"
#include "base/units.h"
#include "registry/store_image.h"
#include "store/sealed_layer.h"

namespace ingot::app {

namespace {

constexpr size_t kObjectsAtOnce = 100'000;  // what one question may name: 16 MiB

struct ImageToSend {
  std::string name;
  store::Image image;
  std::string manifest;
  std::string config;
  std::vector<size_t> layers;  // that the host lacks
};

Result<ImageToSend> ReadImage(store::Store& store, const std::string& name, const oci::Digest& digest) {
  ImageToSend out;
  out.name = name;
  out.image = TRY(store.GetImage(digest));
  out.manifest = TRY(store.GetBlob(digest));
  out.config = TRY(store.GetBlob(out.image.manifest.config.digest));
  return out;
}

// What is to be sent of `all`, by the host's word.
Result<std::vector<ImageToSend>> AskLacking(DaemonClient& client, const std::string& target,
                                            std::vector<ImageToSend> all) {
  JsonArray asked;
  for (const ImageToSend& image : all)
    asked.push_back(JsonObject{{"manifest", image.manifest}, {"config", image.config}});
  const Json body = JsonObject{{"images", std::move(asked)}};
  const Json answer = TRY(client.Call("POST", target, &body));
  if (!answer.is_object()) return Error(Code::kInternal, "the host's answer about images is not an object");
  const JsonArray& rows = *TRY(GetArray(answer.get_object(), "images"));
  if (rows.size() != all.size())
    return Error(Code::kInternal, "the host's answer is not about the images that were asked for");
  std::vector<ImageToSend> out;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!rows[i].is_object())
      return Error(Code::kInternal, "the host's answer about an image is not an object");
    const JsonObject& row = rows[i].get_object();
    if (TRY(GetBool(row, "known")) && (TRY(GetBool(row, "golden")) || !all[i].image.golden)) continue;
    for (const Json& layer : *TRY(GetArray(row, "layers"))) {
      if (!layer.is_int64() || layer.get_int64() < 0 ||
          static_cast<size_t>(layer.get_int64()) >= all[i].image.layers.size())
        return Error(Code::kInternal, "the host asks for a layer that there is not");
      all[i].layers.push_back(static_cast<size_t>(layer.get_int64()));
    }
    out.push_back(std::move(all[i]));
  }
  return out;
}

Json DocumentOf(const std::vector<ImageToSend>& images) {
  JsonArray rows;
  for (const ImageToSend& image : images) {
    auto tests = ParseJson(image.image.test_record.empty() ? "null" : image.image.test_record);
    rows.push_back(JsonObject{{"image", image.name},
                              {"manifest", image.manifest},
                              {"config", image.config},
                              {"golden", image.image.golden},
                              {"tests", tests ? *tests : Json(nullptr)}});
  }
  return JsonObject{{"images", std::move(rows)}};
}

}  // namespace

Result<std::set<store::ObjectId>> LackingThere(DaemonClient& client, const std::string& project,
                                               const std::string& environment,
                                               const std::set<store::ObjectId>& objects) {
  std::set<store::ObjectId> lacking;
  for (auto next = objects.begin(); next != objects.end();) {
    JsonArray asked;
    for (; next != objects.end() && asked.size() < kObjectsAtOnce; ++next) asked.emplace_back(next->Render());
    const Json body = JsonObject{{"objects", std::move(asked)}};
    const Json answer =
        TRY(client.Call("POST", EnvironmentPath(project, environment, "/objects/lacking"), &body));
    if (!answer.is_object()) return Error(Code::kInternal, "the host's answer about files is not an object");
    for (const Json& item : *TRY(GetArray(answer.get_object(), "objects"))) {
      if (!item.is_string())
        return Error(Code::kInternal, "the host's answer about files is not a list of text");
      lacking.insert(TRY(store::ObjectId::Parse(std::string_view(item.get_string()))));
    }
  }
  return lacking;
}

Result<PushedImages> PushImages(const Invocation& invocation, DaemonClient& client,
                                const std::string& project,
                                const std::map<std::string, oci::Digest>& images) {
  auto opened = TRY(OpenExistingStore(invocation.layout()));
  store::Store& store = *opened.store;
  store::Lease lease = TRY(store.TakeLease("send images of " + project));
  std::vector<ImageToSend> all;
  for (const auto& [name, digest] : images) {
    TRY(lease.KeepImage(digest));
    all.push_back(TRY(ReadImage(store, name, digest)));
  }
  const std::string target = EnvironmentPath(project, invocation.environment, "/images");
  const std::vector<ImageToSend> send = TRY(AskLacking(client, target + "/lacking", std::move(all)));
  PushedImages pushed;
  pushed.images = send.size();
  if (send.empty()) return pushed;

  std::map<std::string, std::string> trees;  // by diff_id: sealed layers
  std::map<store::ObjectId, uint64_t> contents;
  std::map<oci::Digest, std::pair<const ImageToSend*, oci::Descriptor>> blobs;
  for (const ImageToSend& image : send) {
    for (const size_t i : image.layers) {
      const store::Layer& layer = image.image.layers[i];
      const oci::Descriptor& descriptor = image.image.manifest.layers[i];
      if (layer.blob || descriptor.digest != layer.diff_id) {
        blobs.emplace(descriptor.digest, std::pair(&image, descriptor));
        continue;
      }
      const store::Tree tree = TRY(store.ReadLayer(layer.id));
      tree.Walk([&](const std::string&, const store::Node& node, bool first) {
        if (first && node.type == store::NodeType::kRegular && !node.object.empty())
          contents.emplace(node.object, node.size_bytes);
      });
      trees.emplace(layer.diff_id.Render(), TRY(store::RenderSealed(tree)));
    }
  }
  std::set<store::ObjectId> named;
  for (const auto& [id, size] : contents) named.insert(id);
  const std::set<store::ObjectId> lacking = TRY(LackingThere(client, project, invocation.environment, named));

  OutgoingParcel parcel(DocumentOf(send));
  for (const store::ObjectId& id : lacking) {
    const auto found = contents.find(id);
    if (found == contents.end()) return Error(Code::kInternal, "the host asks for a file that there is not");
    parcel.AddObject(id, found->second, [&store, id = id] { return store.objects().OpenObject(id); });
  }
  for (auto& [diff_id, sealed] : trees) parcel.AddTree(diff_id, std::move(sealed));
  for (const auto& [digest, of] : blobs)
    parcel.AddBlob(of.second, [&store, &lease, image = of.first, blob = of.second](const ByteSink& sink) {
      registry::StoreSource source(store, "", image->image.digest, image->name, lease);
      return source.GetBlob(blob, 0, sink, nullptr);
    });
  pushed.layers = trees.size() + blobs.size();
  pushed.files = lacking.size();
  pushed.sent_bytes = parcel.size_bytes();
  Progress progress(invocation.json);
  uint64_t sent = 0;
  uint64_t shown = 0;
  const std::string of = " of " + RenderSize(pushed.sent_bytes);
  TRY(client.Send(target, pushed.sent_bytes, parcel.Source([&](uint64_t n) {
    sent += n;
    if (sent - shown < (uint64_t{1} << 20)) return;
    shown = sent;
    progress.Live("sending " + RenderSize(sent) + of);
  }),
                  {}));
  progress.Clear();
  progress.Line("sent " + RenderSize(pushed.sent_bytes) + ": " + std::to_string(pushed.images) + " images, " +
                std::to_string(pushed.layers) + " layers, " + std::to_string(pushed.files) + " files");
  return pushed;
}

}  // namespace ingot::app
