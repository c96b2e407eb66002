// The part of the API that takes images from another host: which layers and files it lacks, and those.
#include <atomic>

#include "app/api.h"
#include "app/parcel.h"
#include "app/received_image.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "registry/image_pull.h"

namespace ingot::app {

namespace {

constexpr size_t kMostImages = 1'000;
constexpr int kMostTransfers = 8;

}  // namespace

Result<Api::Turn> Api::Turn::Take(std::atomic<int>& count, int most) {
  Turn turn(count);
  if (++count <= most) return turn;
  return Error(Code::kUnavailable, std::to_string(most) + " others are at it just now; try again");
}

Result<Json> Api::LackingImages(const Request& request) {
  const Json body = TRY(ParseJson(request.body));
  if (!body.is_object()) return Error(Code::kInvalid, "expected an object");
  const JsonArray& asked = *TRY(GetArray(body.get_object(), "images"));
  if (asked.size() > kMostImages) return Error(Code::kInvalid, "too many images at once");
  store::Store& store = daemon_.store();
  store::Lease lease = TRY(store.TakeLease("look what " + request.peer.name + " has to send"));
  JsonArray answer;
  for (const Json& item : asked) {
    if (!item.is_object()) return Error(Code::kInvalid, "images: expected objects");
    const std::string manifest_bytes = TRY(GetString(item.get_object(), "manifest"));
    const oci::Manifest manifest = TRY(oci::Manifest::Parse(manifest_bytes));
    const oci::ImageConfig config = TRY(oci::ImageConfig::Parse(TRY(GetString(item.get_object(), "config"))));
    const oci::Digest digest = oci::Digest::Of(manifest_bytes);
    const auto known = store.GetImage(digest);
    if (!known && known.error().code() != Code::kNotFound) return known.error();
    JsonArray layers;
    if (!known)
      for (const size_t layer : TRY(registry::LackingLayers(store, lease, manifest, config)))
        layers.emplace_back(layer);
    answer.push_back(JsonObject{{"digest", digest.Render()},
                                {"known", known.has_value()},
                                {"golden", known && known->golden},
                                {"layers", std::move(layers)}});
  }
  return Json(JsonObject{{"images", std::move(answer)}});
}

Result<Json> Api::LackingObjects(const Request& request) {
  const Json body = TRY(ParseJson(request.body));
  if (!body.is_object()) return Error(Code::kInvalid, "expected an object");
  store::ObjectPool& pool = daemon_.store().objects();
  JsonArray lacking;
  for (const Json& item : *TRY(GetArray(body.get_object(), "objects"))) {
    if (!item.is_string()) return Error(Code::kInvalid, "objects: expected text");
    if (!TRY(pool.Has(TRY(store::ObjectId::Parse(std::string_view(item.get_string()))))))
      lacking.push_back(item);
  }
  return Json(JsonObject{{"objects", std::move(lacking)}});
}

Result<Json> Api::ReceiveImages(const Request& request, const Environment& environment) {
  const Turn turn = TRY(Turn::Take(transfers_, kMostTransfers));
  store::Store& store = daemon_.store();
  store::Lease lease =
      TRY(store.TakeLease("images of " + environment.Render() + " from " + request.peer.name));
  IncomingParcel parcel(request.stream, store, lease);
  const Json document = TRY(parcel.ReadDocument());
  const std::vector<ReceivedImage> images = TRY(ReceivedImage::Parse(document, environment.project()));
  TRY(parcel.ReadEntries());
  JsonArray answer;
  for (const ReceivedImage& image : images) {
    const oci::Digest digest = TRY(image.Put(store, lease, parcel.trees(), request.peer.name));
    // Before it may be deployed: who says that it passed its tests is on the record.
    TRY(daemon_.events().Append(
        {{"", environment.Render(), "image.received", request.peer.name,
          JsonObject{{"image", image.repository}, {"digest", digest.Render()}, {"golden", image.golden}}}}));
    answer.push_back(JsonObject{{"image", image.repository}, {"digest", digest.Render()}});
  }
  return Json(JsonObject{{"images", std::move(answer)}});
}

}  // namespace ingot::app
