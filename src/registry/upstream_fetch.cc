#include "registry/upstream_fetch.h"

#include <algorithm>

namespace ingot::registry {

void UpstreamFetch::Begin(Fd fd, uint64_t size_bytes) {
  fd_ = std::move(fd);
  state_.lock()->size_bytes = size_bytes;
  Tell();
}

void UpstreamFetch::Grow(size_t bytes) {
  state_.lock()->written_bytes += bytes;
  Tell();
}

void UpstreamFetch::End(Result<void> outcome) {
  {
    auto state = state_.lock();
    state->ended = true;
    if (!outcome) state->error = std::move(outcome).error();
  }
  Tell();
}

void UpstreamFetch::Tell() {
  std::vector<std::function<void()>> waiting;
  waiting.swap(state_.lock()->waiting);
  changed_.notify_all();
  for (const auto& wake : waiting) wake();
}

Result<uint64_t> UpstreamFetch::WaitForSize() {
  auto state = state_.lock();
  while (!state->size_bytes && !state->ended) state.Wait(changed_);
  if (state->error && !state->size_bytes) return *state->error;
  return state->size_bytes.value_or(0);
}

GrowingFile::Grown UpstreamFetch::Look(uint64_t beyond, std::function<void()> wake) {
  auto state = state_.lock();
  Grown grown;
  grown.failed = state->error.has_value();
  const bool whole = state->ended && !grown.failed;
  const uint64_t size_bytes = state->size_bytes.value_or(0);
  grown.size_bytes =
      whole ? size_bytes : std::min(state->written_bytes, size_bytes - std::min<uint64_t>(size_bytes, 1));
  if (grown.size_bytes <= beyond && !state->ended) state->waiting.push_back(std::move(wake));
  return grown;
}

}  // namespace ingot::registry
