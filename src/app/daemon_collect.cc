// What the daemon does for its store: it records what has been proven, collects garbage every hour, and warns
// before the disk's limit is reached.
#include <cstdlib>

#include "app/collect.h"
#include "app/daemon.h"
#include "app/signals.h"
#include "base/units.h"

namespace ingot::app {

namespace {

constexpr auto kCollectEvery = std::chrono::hours(1);
constexpr auto kWatchEvery = std::chrono::seconds(30);
// Of the limit, from when on it is said.
constexpr uint64_t kWarnPercent = 90;

// INGOT_GC_INTERVAL, for tests and for hosts that fill quickly.
Milliseconds CollectInterval() {
  const char* text = std::getenv("INGOT_GC_INTERVAL");
  if (text == nullptr || *text == '\0') return kCollectEvery;
  auto interval = ParseDuration(text);
  if (interval && *interval >= std::chrono::seconds(1)) return *interval;
  LogToStderr("INGOT_GC_INTERVAL=" + std::string(text) + " is no time of at least 1s; collecting every hour");
  return kCollectEvery;
}

}  // namespace

void Daemon::NoteProofs() {
  std::vector<store::Proof> proofs;
  for (const platform::EnvironmentId& environment : controller_->Environments()) {
    const rollout::EnvironmentState* state = controller_->State(environment);
    if (state == nullptr || !state->active || state->Busy()) continue;
    // What is still to be verified proves nothing yet.
    if (state->unverified.contains(*state->active)) continue;
    const auto known = proven_.find(environment);
    if (known != proven_.end() && known->second == *state->active) continue;
    proven_[environment] = *state->active;
    const definition::Resolved& resolved = state->RevisionOf(*state->active).resolved;
    for (const definition::ResolvedService& service : resolved.services)
      proofs.push_back({environment.Render(), service.image, clock_.Now()});
    for (const definition::ResolvedJob& job : resolved.jobs)
      proofs.push_back({environment.Render(), job.instance.image, clock_.Now()});
  }
  if (proofs.empty()) return;
  auto queue = queue_.lock();
  queue->proofs.insert(queue->proofs.end(), proofs.begin(), proofs.end());
  queue_changed_.notify_all();
}

Result<void> Daemon::RecordProofs(const std::vector<store::Proof>& proofs) {
  return opened_.store->catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
    for (const store::Proof& proof : proofs) TRY(rows.PutProof(proof));
    return {};
  });
}

void Daemon::CollectorLoop() {
  const Milliseconds interval = CollectInterval();
  const Milliseconds step = std::min<Milliseconds>(interval, kWatchEvery);
  auto collect = clock_.Steady() + interval;
  while (true) {
    const auto due = clock_.Steady() + step;
    {
      auto queue = queue_.lock();
      while (!queue->closing && clock_.Steady() < due) queue.WaitFor(queue_changed_, due - clock_.Steady());
      if (queue->closing) return;
    }
    WatchDisk();
    if (clock_.Steady() < collect) continue;
    Collect();
    CollectSecrets();
    collect = clock_.Steady() + interval;
  }
}

void Daemon::Collect() {
  auto collection = CollectAll(opened_, false, store::CollectOptions().keep_cache);
  // Another process collects: then it is done.
  if (!collection && collection.error().code() == Code::kConflict) return;
  if (!collection) {
    LogToStderr("cannot collect garbage: " + collection.error().Render());
    return;
  }
  const uint64_t removed = collection->store.images + collection->repositories.removed.size();
  if (removed == 0 && collection->store.freed_bytes() == 0) return;
  audit::Draft draft;
  draft.kind = "store.collected";
  draft.actor = "ingot";
  draft.detail = JsonObject{{"images", collection->store.images},
                            {"manifests", collection->repositories.removed.size()},
                            {"freed_bytes", collection->store.freed_bytes()}};
  if (auto recorded = events_->Append({std::move(draft)}); !recorded)
    LogToStderr("cannot record a collection: " + recorded.error().Render());
  // The log of events shows it.
  ++*changes_.lock();
  changed_.notify_all();
}

void Daemon::WatchDisk() {
  const auto limit = opened_.store->budget().limit_bytes();
  if (!limit) return;
  auto usage = opened_.store->budget().Look();
  if (!usage) {
    LogToStderr("cannot say what the store takes: " + usage.error().Render());
    return;
  }
  const uint64_t taken = usage->used_bytes + usage->reserved_bytes;
  const bool high = taken / 100 >= *limit / 10'000 * kWarnPercent;
  if (high && !disk_warned_)
    LogToStderr("warning: the store takes " + RenderSize(taken) + " of its disk_limit of " +
                RenderSize(*limit) +
                "; at the limit builds, pulls and pushes are refused; `ingot gc` frees "
                "what nothing needs");
  disk_warned_ = high;
}

}  // namespace ingot::app
