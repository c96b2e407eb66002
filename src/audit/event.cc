#include "audit/event.h"

#include "base/sha256.h"

namespace ingot::audit {

namespace {

JsonObject Body(const Event& event) {
  return JsonObject{{"sequence", event.sequence}, {"time", RenderTime(event.time)},
                    {"key", event.key},           {"environment", event.environment},
                    {"kind", event.kind},         {"actor", event.actor},
                    {"detail", event.detail},     {"previous", event.previous}};
}

Error Broken(const Event& event, const std::string& what) {
  return Error(Code::kCorrupt, "event " + std::to_string(event.sequence) + " (" + event.kind + ") " + what +
                                   "; the record was changed after it was written");
}

}  // namespace

std::string HashOf(const Event& event) {
  return Sha256Hex(RenderCanonical(Body(event)));
}

Event Chain(Draft draft, uint64_t sequence, const std::string& previous_hash, WallTime time) {
  Event event;
  event.sequence = sequence;
  event.time = time;
  event.key = std::move(draft.key);
  event.environment = std::move(draft.environment);
  event.kind = std::move(draft.kind);
  event.actor = std::move(draft.actor);
  event.detail = std::move(draft.detail);
  event.previous = previous_hash;
  event.hash = HashOf(event);
  return event;
}

Json ToJson(const Event& event) {
  JsonObject out = Body(event);
  out["hash"] = event.hash;
  return out;
}

Result<Event> EventFromJson(const Json& json) {
  if (!json.is_object()) return Error(Code::kInvalid, "event: expected an object");
  const JsonObject& object = json.get_object();
  Event event;
  const int64_t sequence = TRY(GetInt(object, "sequence"));
  if (sequence < 1) return Error(Code::kInvalid, "sequence: expected a positive integer");
  event.sequence = static_cast<uint64_t>(sequence);
  event.time = TRY(ParseTime(TRY(GetString(object, "time"))));
  event.key = TRY(GetString(object, "key"));
  event.environment = TRY(GetString(object, "environment"));
  event.kind = TRY(GetString(object, "kind"));
  event.actor = TRY(GetString(object, "actor"));
  event.detail = *TRY(GetObject(object, "detail"));
  event.previous = TRY(GetString(object, "previous"));
  event.hash = TRY(GetString(object, "hash"));
  return event;
}

Result<void> Verify(const std::vector<Event>& events, const std::string& previous, uint64_t first) {
  std::string expected = previous;
  uint64_t sequence = first;
  for (const Event& event : events) {
    if (event.sequence != sequence)
      return Broken(event, "stands where event " + std::to_string(sequence) + " belongs");
    if (event.previous != expected) return Broken(event, "does not follow from the event before it");
    if (event.hash != HashOf(event)) return Broken(event, "does not have the contents of its hash");
    expected = event.hash;
    ++sequence;
  }
  return {};
}

}  // namespace ingot::audit
