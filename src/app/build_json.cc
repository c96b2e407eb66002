#include "app/build_json.h"

#include <array>

namespace ingot::app {

namespace {

using EventKind = build::BuildEvent::Kind;
constexpr std::array<std::pair<EventKind, std::string_view>, 9> kEventKinds{
    {{EventKind::kImageStarted, "image_started"},
     {EventKind::kStepStarted, "step_started"},
     {EventKind::kStepCached, "step_cached"},
     {EventKind::kStepDone, "step_done"},
     {EventKind::kOutput, "output"},
     {EventKind::kNote, "note"},
     {EventKind::kTestStarted, "test_started"},
     {EventKind::kTestPassed, "test_passed"},
     {EventKind::kImageDone, "image_done"}}};

}  // namespace

Json ToJson(const build::BuildEvent& event) {
  std::string_view name;
  for (const auto& [kind, text] : kEventKinds)
    if (kind == event.kind) name = text;
  return JsonObject{
      {"kind", name},       {"image", event.image},   {"number", event.number},       {"total", event.total},
      {"text", event.text}, {"cached", event.cached}, {"took_ms", event.took.count()}};
}

Result<build::BuildEvent> BuildEventFromJson(const Json& json) {
  if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
  const JsonObject& object = json.get_object();
  const std::string name = TRY(GetString(object, "kind"));
  build::BuildEvent event;
  bool known = false;
  for (const auto& [kind, text] : kEventKinds) {
    if (text != name) continue;
    event.kind = kind;
    known = true;
  }
  if (!known) return Error(Code::kInvalid, "kind: \"" + name + "\" is none");
  event.image = TRY(GetString(object, "image"));
  event.number = static_cast<int>(TRY(GetInt(object, "number")));
  event.total = static_cast<int>(TRY(GetInt(object, "total")));
  event.text = TRY(GetString(object, "text"));
  event.cached = TRY(GetBool(object, "cached"));
  event.took = Milliseconds(TRY(GetInt(object, "took_ms")));
  return event;
}

Json ToJson(const build::BuiltImage& image) {
  return JsonObject{{"digest", image.manifest.Render()},
                    {"golden", image.golden},
                    {"cached", image.cached},
                    {"steps", image.steps},
                    {"cached_steps", image.cached_steps},
                    {"build_ms", image.took.count()}};
}

Result<build::BuiltImage> BuiltImageFromJson(const Json& json) {
  if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
  const JsonObject& object = json.get_object();
  build::BuiltImage image;
  image.manifest = TRY(oci::Digest::Parse(TRY(GetString(object, "digest"))));
  image.golden = TRY(GetBool(object, "golden"));
  image.cached = TRY(GetBool(object, "cached"));
  image.steps = static_cast<int>(TRY(GetInt(object, "steps")));
  image.cached_steps = static_cast<int>(TRY(GetInt(object, "cached_steps")));
  image.took = Milliseconds(TRY(GetInt(object, "build_ms")));
  return image;
}

}  // namespace ingot::app
