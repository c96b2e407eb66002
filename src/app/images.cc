#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "app/daemon_client.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "base/units.h"
#include "oci/index.h"
#include "oci/manifest.h"
#include "registry/remote_manifest.h"
#include "store/image_diff.h"
#include "store/image_sizes.h"

namespace ingot::app {

namespace {

struct Listed {
  store::ImageRow row;
  std::vector<std::string> names;
  uint64_t size_bytes = 0;               // contents of its layers
  std::optional<uint64_t> unique_bytes;  // what removing it would free; nothing: unknown
  std::vector<std::string> channels;
  std::vector<std::string> kept_by;  // environments that run it, have it warm or may roll back to it
  bool pushed = false;               // to the registry, and not made an image of the store yet
};

// What was pushed to the store's registry and has a tag there. Sizes are those of the blobs.
Result<void> AddPushed(store::Store& store, std::vector<Listed>& out) {
  std::vector<store::Tag> tags;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    tags = TRY(rows.ListRepositoryTags());
    return {};
  }));
  std::map<oci::Digest, size_t> places;
  for (size_t i = 0; i < out.size(); ++i) places.emplace(out[i].row.digest, i);
  for (const store::Tag& tag : tags) {
    const auto [place, fresh] = places.emplace(tag.digest, out.size());
    if (fresh) {
      Listed listed;
      listed.row.digest = tag.digest;
      listed.row.created = tag.updated;
      listed.pushed = true;
      const std::string bytes = TRY(store.GetBlob(tag.digest, oci::kMaxManifestBytes));
      // Of an index the images are listed by what names them.
      if (const auto manifest = oci::Manifest::Parse(bytes)) {
        for (const oci::Descriptor& layer : manifest->layers) listed.size_bytes += layer.size_bytes;
        listed.row.layers.resize(manifest->layers.size());
      }
      out.push_back(std::move(listed));
    }
    out[place->second].names.push_back(tag.repository + ":" + tag.tag);
  }
  return {};
}

Result<std::vector<Listed>> ListImages(store::Store& store, std::string& problem) {
  std::map<oci::Digest, std::vector<std::string>> names;
  for (const store::Tag& tag : TRY(store.ListTags()))
    names[tag.digest].push_back(tag.repository + ":" + tag.tag);
  std::vector<Listed> out;
  // What cannot be read is shared with who knows whom: then nothing is known of any.
  auto sizes = store::MeasureImages(store);
  if (!sizes) problem = sizes.error().Render();
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    std::map<store::LayerId, uint64_t> contents;
    for (const store::Layer& layer : TRY(rows.ListLayers())) contents[layer.id] = layer.object_bytes;
    std::map<oci::Digest, std::vector<std::string>> kept;
    for (const store::PinRow& pin : TRY(rows.ListPins()))
      for (const oci::Digest& image : pin.images) kept[image].push_back(pin.owner);
    std::map<oci::Digest, std::vector<std::string>> channels;
    for (const store::Tag& tag : TRY(rows.ListTags()))
      if (TRY(rows.IsChannel(tag.repository, tag.tag))) channels[tag.digest].push_back(tag.tag);
    for (store::ImageRow& row : TRY(rows.ListImages())) {
      Listed image;
      std::set<store::LayerId> layers;
      for (const auto& layer : row.layers)
        if (layers.insert(layer.id).second) image.size_bytes += contents[layer.id];
      image.names = names[row.digest];
      image.channels = channels[row.digest];
      image.kept_by = kept[row.digest];
      if (sizes)
        if (const auto size = sizes->find(row.digest); size != sizes->end())
          image.unique_bytes = size->second.unique_bytes;
      image.row = std::move(row);
      out.push_back(std::move(image));
    }
    return {};
  }));
  TRY(AddPushed(store, out));
  std::stable_sort(out.begin(), out.end(),
                   [](const Listed& a, const Listed& b) { return a.row.created > b.row.created; });
  return out;
}

// Where images run, as the daemon says it: "shop/staging web (2 ready)". nullopt: it does not answer, so it
// is not known.
using Running = std::multimap<std::string, std::string>;
std::optional<Running> RunningImages(const Invocation& invocation) {
  DaemonClient client(invocation.layout());
  auto answer = client.Call("GET", "/v1/environments");
  if (!answer || !answer->is_object()) return std::nullopt;
  Running running;
  const auto environments = GetArray(answer->get_object(), "environments");
  if (!environments) return std::nullopt;
  for (const Json& environment : **environments) {
    if (!environment.is_object()) return std::nullopt;
    const auto services = GetArray(environment.get_object(), "services");
    if (!services) return std::nullopt;
    for (const Json& item : **services) {
      if (!item.is_object()) return std::nullopt;
      const JsonObject& service = item.get_object();
      const int64_t ready = IntOr(service, "ready", -1);
      running.emplace(StringOr(service, "image", ""),
                      StringOr(environment.get_object(), "environment", "") + " " +
                          StringOr(service, "name", "") + " (" +
                          (ready < 0 ? std::string("?") : std::to_string(ready)) + " ready)");
    }
  }
  return running;
}

std::vector<std::string> RunningOf(const Running& running, const Listed& image) {
  std::vector<std::string> places;
  const auto [begin, end] = running.equal_range(image.row.digest.Render());
  for (auto place = begin; place != end; ++place) places.push_back(place->second);
  return places;
}

JsonArray ListOf(const std::vector<std::string>& strings) {
  JsonArray array;
  for (const std::string& text : strings) array.emplace_back(text);
  return array;
}

std::string NamesOrDash(const std::vector<std::string>& strings) {
  std::string text;
  for (const std::string& one : strings) text += (text.empty() ? "" : ", ") + one;
  return text.empty() ? "-" : text;
}

int Ls(Invocation& invocation, bool all) {
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  std::string problem;
  auto images = ListImages(*opened->store, problem);
  if (!images) return Report(invocation, images.error());
  const auto running = RunningImages(invocation);
  JsonArray rows;
  std::vector<std::vector<std::string>> table = {
      {"IMAGE", "DIGEST", "SIZE", "UNIQUE", "AGE", "GOLDEN", "SIGNED", "CHANNEL", "RUNNING"}};
  size_t untagged = 0;
  for (const Listed& image : *images) {
    JsonArray names;
    std::string shown;
    for (const std::string& name : image.names) {
      names.emplace_back(name);
      shown += (shown.empty() ? "" : ", ") + name;
    }
    rows.push_back(
        JsonObject{{"digest", image.row.digest.Render()},
                   {"names", std::move(names)},
                   {"size_bytes", image.size_bytes},
                   {"unique_bytes", image.unique_bytes ? Json(*image.unique_bytes) : Json(nullptr)},
                   {"created", RenderTime(image.row.created)},
                   {"golden", image.row.golden},
                   {"layers", image.row.layers.size()},
                   {"pushed", image.pushed},
                   // No signature is looked for yet.
                   {"signed", nullptr},
                   {"channels", ListOf(image.channels)},
                   {"running", running ? Json(ListOf(RunningOf(*running, image))) : Json(nullptr)},
                   {"kept_by", ListOf(image.kept_by)}});
    if (shown.empty() && !all) {
      ++untagged;
      continue;
    }
    table.push_back({shown.empty() ? "-" : shown, std::string(image.row.digest.Short()),
                     RenderSize(image.size_bytes), image.unique_bytes ? RenderSize(*image.unique_bytes) : "?",
                     RenderAge(image.row.created, opened->clock->Now()),
                     image.pushed       ? Paint(Colour::kDim, "pushed")
                     : image.row.golden ? Paint(Colour::kGreen, "yes")
                                        : Paint(Colour::kYellow, "no"),
                     "?", NamesOrDash(image.channels),
                     running ? NamesOrDash(RunningOf(*running, image)) : "?"});
  }
  if (invocation.json) {
    PrintJson(JsonObject{{"images", std::move(rows)},
                         {"problem", problem.empty() ? Json(nullptr) : Json(problem)}});
    return kDone;
  }
  std::fputs(RenderTable(table).c_str(), stdout);
  if (!problem.empty())
    std::fprintf(stderr, "%s what is shared is unknown: %s\n", Paint(Colour::kYellow, "warning:").c_str(),
                 problem.c_str());
  if (untagged > 0) std::printf("%zu older versions without a name; --all shows them\n", untagged);
  return kDone;
}

Json ParsedOrNull(const std::string& text) {
  auto json = ParseJson(text);
  return json ? *json : Json(nullptr);
}

// What was pushed and is no image of the store yet: its documents, nothing about its files.
int InspectPushed(Invocation& invocation, store::Store& store, const FoundImage& found) {
  auto bytes = store.GetBlob(found.digest, oci::kMaxManifestBytes);
  if (!bytes) return Report(invocation, bytes.error());
  JsonObject document{{"digest", found.digest.Render()},
                      {"pushed", found.repository + ":" + found.tag},
                      {"golden", false},
                      {"media_type", registry::MediaTypeOf(*bytes)}};
  JsonArray layers;
  if (const auto manifest = oci::Manifest::Parse(*bytes)) {
    for (const oci::Descriptor& layer : manifest->layers)
      layers.push_back(JsonObject{{"digest", layer.digest.Render()},
                                  {"media_type", layer.media_type},
                                  {"size_bytes", layer.size_bytes}});
    auto config = store.GetBlob(manifest->config.digest, size_t{8} << 20);
    if (!config) return Report(invocation, config.error());
    document["config"] = ParsedOrNull(*config);
  } else if (const auto index = oci::Index::Parse(*bytes)) {
    JsonArray manifests;
    for (const oci::Descriptor& entry : index->manifests) manifests.push_back(RenderDescriptor(entry));
    document["manifests"] = std::move(manifests);
  }
  document["layers"] = std::move(layers);
  if (invocation.json) {
    PrintJson(document);
  } else {
    std::puts(RenderPretty(document).c_str());
  }
  return kDone;
}

int Inspect(Invocation& invocation, const std::string& name) {
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  auto found = FindAnyImage(*opened->store, name);
  if (!found) return Report(invocation, found.error());
  if (found->pushed) return InspectPushed(invocation, *opened->store, *found);
  auto image = opened->store->GetImage(found->digest);
  if (!image) return Report(invocation, image.error());
  JsonArray layers;
  for (const store::Layer& layer : image->layers)
    layers.push_back(JsonObject{{"diff_id", layer.diff_id.Render()},
                                {"sealed", layer.id.Render()},
                                {"tar_bytes", layer.tar_bytes},
                                {"object_bytes", layer.object_bytes}});
  const Json document = JsonObject{{"digest", image->digest.Render()},
                                   {"golden", image->golden},
                                   {"created", RenderTime(image->created)},
                                   {"layers", std::move(layers)},
                                   {"config", ParsedOrNull(image->config.Render())},
                                   {"tests", ParsedOrNull(image->test_record)},
                                   {"provenance", ParsedOrNull(image->provenance)}};
  if (invocation.json) {
    PrintJson(document);
  } else {
    std::puts(RenderPretty(document).c_str());
  }
  return kDone;
}

int Diff(Invocation& invocation, const std::string& before, const std::string& after) {
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  auto first = FindImage(*opened->store, before);
  if (!first) return Report(invocation, first.error());
  auto second = FindImage(*opened->store, after);
  if (!second) return Report(invocation, second.error());
  auto diff = store::DiffImages(*opened->store, *first, *second);
  if (!diff) return Report(invocation, diff.error());
  static constexpr const char* kKinds[] = {"added", "changed", "removed"};
  static constexpr const char* kSigns[] = {"+", "~", "-"};
  JsonArray files;
  for (const store::FileChange& change : diff->files) {
    const auto kind = static_cast<size_t>(change.kind);
    files.push_back(JsonObject{{"kind", kKinds[kind]},
                               {"path", "/" + change.path},
                               {"before_bytes", change.before_bytes},
                               {"after_bytes", change.after_bytes}});
    if (!invocation.json)
      std::printf(
          "%s /%s  %s\n", kSigns[kind], change.path.c_str(),
          Paint(Colour::kDim, RenderSize(change.kind == store::ChangeKind::kRemoved ? change.before_bytes
                                                                                    : change.after_bytes))
              .c_str());
  }
  if (invocation.json) {
    PrintJson(JsonObject{{"files", std::move(files)},
                         {"shared_layers", diff->shared_layers},
                         {"config_changed", diff->config_changed}});
  } else {
    std::printf("%zu files differ; %llu layers shared; configuration %s\n", diff->files.size(),
                static_cast<unsigned long long>(diff->shared_layers),
                diff->config_changed ? "differs" : "equal");
  }
  return kDone;
}

}  // namespace

void AddImages(CLI::App& app, Invocation& invocation) {
  CLI::App* images = app.add_subcommand(
      "images", "list, inspect, compare, tag, push, pull, copy, prune, import and export images");
  images->require_subcommand(1);
  auto all = std::make_shared<bool>(false);
  auto name = std::make_shared<std::string>();
  auto other = std::make_shared<std::string>();
  CLI::App* ls = AddVerb(*images, invocation, "ls", "the images in the store, newest first",
                         [&invocation, all] { return Ls(invocation, *all); });
  ls->add_flag("-a,--all", *all, "also versions without a name");
  CLI::App* inspect =
      AddVerb(*images, invocation, "inspect", "configuration, layers, tests and origin of an image",
              [&invocation, name] { return Inspect(invocation, *name); });
  inspect->add_option("image", *name, "name or digest")->required();
  CLI::App* diff = AddVerb(*images, invocation, "diff", "the files in which two images differ",
                           [&invocation, name, other] { return Diff(invocation, *name, *other); });
  diff->add_option("before", *name, "name or digest")->required();
  diff->add_option("after", *other, "name or digest")->required();
  AddImageWhy(*images, invocation);
  AddImageHistory(*images, invocation);
  AddImageTag(*images, invocation);
  AddImagePrune(*images, invocation);
  AddImageTransfers(*images, invocation);
  AddImageArchives(*images, invocation);
}

}  // namespace ingot::app
