// What of the registry goes into the audit record (docs/formats/events.md). Internal to registry/.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "registry/message.h"
#include "registry/registry_state.h"

namespace ingot::registry {

// Who did it, and from where.
struct Doer {
  std::string who;   // as Request::who
  std::string peer;  // as Request::peer
  static Doer Of(const Request& request) { return {request.who, request.peer}; }
};

// After it was done, before it is acknowledged.
inline void RecordDone(const RegistryState& state, const Doer& doer, std::string_view kind,
                       JsonObject detail) {
  if (!state.options.record) return;
  detail["peer"] = doer.peer;
  audit::Draft draft;
  draft.kind = kind;
  draft.actor = doer.who.empty() ? "anonymous" : doer.who;
  draft.detail = std::move(detail);
  auto recorded = state.options.record(std::move(draft));
  if (!recorded && state.options.log)
    state.options.log("cannot record " + std::string(kind) + ": " + recorded.error().Render());
}

}  // namespace ingot::registry
