#include "audit/sink.h"

#include <algorithm>

namespace ingot::audit {

Result<void> MemorySink::Append(std::vector<Draft> drafts) {
  if (failure_) return *failure_;
  auto state = state_.lock();
  for (Draft& draft : drafts) {
    if (!draft.key.empty() && !state->keys.emplace(draft.environment, draft.key).second) continue;
    Event event = Chain(std::move(draft), state->last + 1, state->last_hash, clock_.Now());
    state->last = event.sequence;
    state->last_hash = event.hash;
    state->events.push_back(std::move(event));
  }
  return {};
}

Result<std::vector<Event>> MemorySink::Read(const EventQuery& query) {
  auto state = state_.lock();
  std::vector<Event> out;
  for (const Event& event : state->events) {
    if (out.size() >= query.limit) break;
    if (event.sequence <= query.after) continue;
    if (!query.environment.empty() && event.environment != query.environment) continue;
    out.push_back(event);
  }
  return out;
}

Result<uint64_t> MemorySink::Last() {
  return state_.lock()->last;
}

void MemorySink::Trim(size_t keep) {
  auto state = state_.lock();
  if (state->events.size() > keep)
    state->events.erase(state->events.begin(), state->events.end() - static_cast<std::ptrdiff_t>(keep));
}

}  // namespace ingot::audit
