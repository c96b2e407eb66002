// The part of the API that gives an image to whoever carries it to another host, and takes the promotion of
// one there.
#include <unistd.h>

#include <cerrno>
#include <set>

#include "app/api.h"
#include "app/promotion.h"
#include "registry/store_image.h"
#include "store/sealed_layer.h"

namespace ingot::app {

namespace {

constexpr size_t kMostObjects = 100'000;
constexpr size_t kMostPulled = 1'000;

// What a request names: an image of the project, by tag or digest.
struct NamedImage {
  std::string name;
  store::Image image;
};

Result<NamedImage> FindOfProject(store::Store& store, const platform::EnvironmentId& environment,
                                 const JsonObject& body) {
  NamedImage out;
  out.name = TRY(GetString(body, "image"));
  const std::string repository = environment.project() + "/" + out.name;
  const Json* digest = body.if_contains("digest");
  if (digest != nullptr && digest->is_string()) {
    out.image.digest = TRY(oci::Digest::Parse(std::string_view(digest->get_string())));
    // Nobody sees another project's images by their digests.
    bool is_named = false;
    TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
      for (const store::NamedImage& named : TRY(rows.ListNamedImages()))
        is_named = is_named || (named.repository == repository && named.digest == out.image.digest);
      return {};
    }));
    if (!is_named)
      return Error(Code::kNotFound, "this host has no image " + repository + "@" + out.image.digest.Render());
  } else {
    out.image.digest = TRY(store.GetTag(repository, TRY(GetString(body, "tag"))));
  }
  out.image = TRY(store.GetImage(out.image.digest));
  return out;
}

Result<const store::Layer*> LayerOf(const store::Image& image, const JsonObject& body) {
  const int64_t index = TRY(GetInt(body, "layer"));
  if (index < 0 || static_cast<size_t>(index) >= image.layers.size())
    return Error(Code::kNotFound, "the image has no layer " + std::to_string(index));
  return &image.layers[static_cast<size_t>(index)];
}

// So many bytes of what `write` gives, from where it begins.
Result<void> WriteSome(adapters::HttpReply& reply, uint64_t length,
                       const std::function<Result<void>(const ByteSink&)>& write) {
  uint64_t left = length;
  const auto written = write([&](std::string_view piece) -> Result<void> {
    piece = piece.substr(0, static_cast<size_t>(std::min<uint64_t>(piece.size(), left)));
    if (!piece.empty()) TRY(reply.Write(piece));
    left -= piece.size();
    if (left == 0) return Error(Code::kExists, "that is all");
    return {};
  });
  if (!written && !(left == 0 && written.error().code() == Code::kExists)) return written.error();
  return {};
}

Result<void> WriteObject(store::Store& store, const store::ObjectId& id, uint64_t offset, uint64_t length,
                         adapters::HttpReply& reply) {
  const Fd object = TRY(store.objects().OpenObject(id));
  std::vector<char> buffer(static_cast<size_t>(std::min<uint64_t>(length, uint64_t{256} << 10)));
  while (length > 0) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(length, buffer.size()));
    const ssize_t n = ::pread(object.get(), buffer.data(), wanted, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read the file " + id.Render());
    if (n == 0) return {};
    TRY(reply.Write(std::string_view(buffer.data(), static_cast<size_t>(n))));
    offset += static_cast<uint64_t>(n);
    length -= static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

Result<Json> Api::DescribeImage(const Request& request, const Environment& environment) {
  const Json body = TRY(ParseJson(request.body));
  if (!body.is_object()) return Error(Code::kInvalid, "expected an object");
  store::Store& store = daemon_.store();
  const NamedImage found = TRY(FindOfProject(store, environment, body.get_object()));
  policy::PromotionFacts facts;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    PromotionRequest of;
    of.project = environment.project();
    of.name = found.name;
    of.digest = found.image.digest;
    of.from = environment.environment();
    facts = TRY(FactsOf(rows, of));
    return {};
  }));
  // What is only pulled has no channel: that it was proven here goes along with any promotion.
  const std::vector<oci::Digest> running = daemon_.Ask([&](rollout::Controller& controller) {
    std::vector<oci::Digest> images;
    const rollout::EnvironmentState* state = controller.State(environment);
    if (state == nullptr || !state->active) return images;
    const definition::Resolved& resolved = state->RevisionOf(*state->active).resolved;
    for (const auto& service : resolved.services) images.push_back(service.image);
    for (const auto& job : resolved.jobs) images.push_back(job.instance.image);
    return images;
  });
  JsonArray pulled;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    std::set<oci::Digest> named;
    for (const store::NamedImage& image : TRY(rows.ListNamedImages()))
      if (image.repository.starts_with(environment.project() + "/")) named.insert(image.digest);
    for (const oci::Digest& digest : running) {
      if (!named.insert(digest).second) continue;
      for (const store::Proof& proof : TRY(rows.ListProofs(digest)))
        if (proof.environment == environment.Render()) pulled.emplace_back(digest.Render());
    }
    return {};
  }));
  JsonArray layers;
  for (size_t i = 0; i < found.image.layers.size(); ++i) {
    const store::Layer& layer = found.image.layers[i];
    const bool is_blob = layer.blob || found.image.manifest.layers[i].digest != layer.diff_id;
    layers.push_back(JsonObject{{"diff_id", layer.diff_id.Render()}, {"blob", is_blob}});
  }
  auto tests = ParseJson(found.image.test_record.empty() ? "null" : found.image.test_record);
  return Json(JsonObject{{"image", found.name},
                         {"digest", found.image.digest.Render()},
                         {"manifest", TRY(store.GetBlob(found.image.digest))},
                         {"config", TRY(store.GetBlob(found.image.manifest.config.digest))},
                         {"golden", facts.golden},
                         {"tests", tests ? *tests : Json(nullptr)},
                         {"rolled_out", facts.rolled_out_from},
                         {"held", facts.held_by_from},
                         {"pulled", std::move(pulled)},
                         {"layers", std::move(layers)}});
}

Result<void> Api::ReadImage(const Request& request, Reply& reply, const Environment& environment,
                            const std::string& what, bool& streamed) {
  const Json json = TRY(ParseJson(request.body));
  if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
  const JsonObject& body = json.get_object();
  store::Store& store = daemon_.store();
  store::Lease lease = TRY(store.TakeLease("read an image of " + environment.Render()));
  const NamedImage found = TRY(FindOfProject(store, environment, body));
  TRY(lease.KeepImage(found.image.digest));
  const auto begin = [&]() -> Result<void> {
    streamed = true;
    return reply.Begin(200, "application/octet-stream");
  };
  if (what == "tree") {
    const store::Layer* layer = TRY(LayerOf(found.image, body));
    const std::string sealed = TRY(store::RenderSealed(TRY(store.ReadLayer(layer->id))));
    TRY(begin());
    TRY(reply.Write(sealed));
    return reply.End();
  }
  const int64_t offset = IntOr(body, "offset", 0);
  const int64_t length = IntOr(body, "length", INT64_MAX);
  if (offset < 0 || length <= 0) return Error(Code::kInvalid, "offset, length: out of range");
  if (what == "blob") {
    const store::Layer* layer = TRY(LayerOf(found.image, body));
    const size_t index = static_cast<size_t>(layer - found.image.layers.data());
    registry::StoreSource source(store, "", found.image.digest, found.name, lease);
    TRY(begin());
    TRY(WriteSome(reply, static_cast<uint64_t>(length), [&](const ByteSink& sink) {
      return source.GetBlob(found.image.manifest.layers[index], static_cast<uint64_t>(offset), sink, nullptr);
    }));
    return reply.End();
  }
  const JsonArray& asked = *TRY(GetArray(body, "objects"));
  if (asked.size() > kMostObjects) return Error(Code::kInvalid, "objects: too many at once");
  std::vector<store::ObjectId> objects;
  for (const Json& item : asked) {
    if (!item.is_string()) return Error(Code::kInvalid, "objects: expected text");
    objects.push_back(TRY(store::ObjectId::Parse(std::string_view(item.get_string()))));
    // Before anything is answered: later it could only be told by breaking off.
    static_cast<void>(TRY(store.objects().SizeOf(objects.back())));
  }
  TRY(begin());
  for (const store::ObjectId& id : objects)
    TRY(WriteObject(store, id, static_cast<uint64_t>(offset), static_cast<uint64_t>(length), reply));
  return reply.End();
}

Result<Json> Api::Channels(const Environment& environment) {
  JsonObject channels;
  const std::string prefix = environment.project() + "/";
  TRY(daemon_.store().catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    for (const store::Promotion& promotion : TRY(rows.ListPromotions(""))) {
      if (!promotion.repository.starts_with(prefix) || promotion.channel != environment.environment())
        continue;
      if (const auto tag = TRY(rows.FindTag(promotion.repository, promotion.channel)))
        channels[promotion.repository.substr(prefix.size())] = tag->digest.Render();
    }
    return {};
  }));
  return Json(JsonObject{{"channels", std::move(channels)}});
}

Result<Json> Api::Promote(const Request& request, const Environment& environment) {
  const Json json = TRY(ParseJson(request.body));
  if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
  const JsonObject& body = json.get_object();
  PromotionRequest promotion;
  promotion.project = environment.project();
  promotion.name = TRY(GetString(body, "image"));
  promotion.digest = TRY(oci::Digest::Parse(TRY(GetString(body, "digest"))));
  promotion.from = TRY(GetString(body, "from"));
  promotion.from_host = TRY(GetString(body, "from_host"));
  promotion.to = environment.environment();
  promotion.actor = request.peer.name;
  promotion.reason = TRY(GetString(body, "reason"));
  for (const std::string* text : {&promotion.reason, &promotion.from_host})
    if (text->size() > 1000) return Error(Code::kInvalid, "reason, from_host: longer than 1000 bytes");
  TRY(Environment::Parse(promotion.project + "/" + promotion.from));
  store::Store& store = daemon_.store();
  bool is_named = false;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    for (const store::NamedImage& named : TRY(rows.ListNamedImages()))
      is_named = is_named || (named.repository == promotion.project + "/" + promotion.name &&
                              named.digest == promotion.digest);
    return {};
  }));
  if (!is_named)
    return Error(Code::kNotFound, "this host has no image " + promotion.project + "/" + promotion.name + "@" +
                                      promotion.digest.Render() + "; it has to be sent first");
  // Who may promote here vouches for what another host has said: the event names both.
  std::vector<store::Proof> proofs;
  const auto vouch = [&](const oci::Digest& digest) {
    proofs.push_back({promotion.project + "/" + promotion.from, digest, SystemClock().Now()});
  };
  if (TRY(GetBool(body, "rolled_out"))) vouch(promotion.digest);
  for (const Json& item : *TRY(GetArray(body, "pulled"))) {
    if (!item.is_string() || proofs.size() > kMostPulled)
      return Error(Code::kInvalid, "pulled: expected digests");
    vouch(TRY(oci::Digest::Parse(std::string_view(item.get_string()))));
  }
  TRY(store.catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
    for (const store::Proof& proof : proofs) TRY(rows.PutProof(proof));
    return {};
  }));
  return ToJson(TRY(MoveChannel(store, daemon_.events(), promotion)));
}

}  // namespace ingot::app
