#include "app/lost_things.h"

#include <algorithm>

#include "app/daemon_client.h"

namespace ingot::app {

namespace {

const JsonArray& ListOf(const JsonObject& object, std::string_view key) {
  static const JsonArray none;
  const Json* value = object.if_contains(key);
  return value != nullptr && value->is_array() ? value->get_array() : none;
}

// Instances by the image that they run, of every environment.
Result<std::map<std::string, std::vector<std::string>>> InstancesByImage(const Layout& layout) {
  std::map<std::string, std::vector<std::string>> found;
  const Json answer = TRY(DaemonClient(layout).Call("GET", "/v1/environments"));
  if (!answer.is_object()) return Error(Code::kInternal, "the daemon's status is not an object");
  for (const Json& environment : ListOf(answer.get_object(), "environments")) {
    if (!environment.is_object()) continue;
    const std::string where = StringOr(environment.get_object(), "environment", "");
    for (const char* part : {"services", "fleets"}) {
      for (const Json& service : ListOf(environment.get_object(), part)) {
        if (!service.is_object()) continue;
        const std::string image = StringOr(service.get_object(), "image", "");
        for (const Json& instance : ListOf(service.get_object(), "instances"))
          if (instance.is_object())
            found[image].push_back(where + "/" + StringOr(instance.get_object(), "name", ""));
      }
    }
  }
  return found;
}

JsonArray Strings(const std::vector<std::string>& texts) {
  JsonArray array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : ", ") + text;
  return joined;
}

}  // namespace

Result<LostReport> LookAtLost(const Layout& layout, store::Store& store) {
  LostReport report;
  for (store::LostThing& lost : TRY(store::ListLost(store)))
    report.things.push_back({std::move(lost), {}, {}, {}});
  if (report.things.empty()) return report;
  std::vector<store::Tag> tags;
  std::vector<store::PinRow> pins;
  std::vector<store::NamedImage> named;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    tags = TRY(rows.ListTags());
    pins = TRY(rows.ListPins());
    named = TRY(rows.ListNamedImages());
    return {};
  }));
  const auto instances = InstancesByImage(layout);
  report.instances_known = instances.has_value();
  for (LostView& view : report.things) {
    std::set<oci::Digest> nameless = view.lost.images;
    for (const store::Tag& tag : tags) {
      if (!view.lost.images.contains(tag.digest)) continue;
      view.names.push_back(tag.repository + ":" + tag.tag);
      nameless.erase(tag.digest);
    }
    for (const oci::Digest& image : nameless) {
      std::string repository;
      for (const store::NamedImage& one : named)
        if (one.digest == image) repository = one.repository;
      view.names.push_back((repository.empty() ? "" : repository + "@") + image.Render());
    }
    for (const store::PinRow& pin : pins)
      if (std::any_of(pin.images.begin(), pin.images.end(),
                      [&](const oci::Digest& image) { return view.lost.images.contains(image); }))
        view.environments.push_back(pin.owner);
    if (!instances) continue;
    for (const auto& [image, names] : *instances) {
      const auto digest = oci::Digest::Parse(image);
      if (digest && view.lost.images.contains(*digest))
        view.instances.insert(view.instances.end(), names.begin(), names.end());
    }
  }
  return report;
}

Result<LostReport> LookAtLost(const Layout& layout) {
  std::error_code failed;
  const bool ever = fs::exists(layout.root / "quarantine", failed);
  if (!ever && !failed) return LostReport{};
  OpenedStore opened = TRY(OpenExistingStore(layout));
  return LookAtLost(layout, *opened.store);
}

Json ToJson(const LostReport& report) {
  JsonArray things;
  for (const LostView& view : report.things) {
    JsonArray images;
    for (const oci::Digest& image : view.lost.images) images.emplace_back(image.Render());
    things.push_back(
        JsonObject{{"thing", store::ThingKindName(view.lost.thing)},
                   {"kind", store::ProblemKindName(view.lost.kind)},
                   {"name", view.lost.name},
                   {"message", view.lost.message},
                   {"found", RenderTime(view.lost.found)},
                   {"images", std::move(images)},
                   {"names", Strings(view.names)},
                   {"environments", Strings(view.environments)},
                   {"instances", report.instances_known ? Json(Strings(view.instances)) : Json(nullptr)}});
  }
  return things;
}

std::string LostImages(const LostReport& report) {
  std::set<std::string> names;
  for (const LostView& view : report.things) names.insert(view.names.begin(), view.names.end());
  if (names.empty()) return "no image";
  return Joined({names.begin(), names.end()});
}

std::string RenderLost(const LostReport& report) {
  std::string text;
  for (const LostView& view : report.things) {
    text +=
        std::string(store::ThingKindName(view.lost.thing)) + " " + view.lost.name + ": " + view.lost.message;
    if (!view.names.empty()) text += "; images " + Joined(view.names);
    if (!view.environments.empty()) text += "; revisions of " + Joined(view.environments);
    if (!view.instances.empty()) text += "; instances " + Joined(view.instances);
    if (!report.instances_known) text += "; instances unknown (the daemon does not answer)";
    text += "\n";
  }
  return text;
}

}  // namespace ingot::app
