#include "definition/event_names.h"

#include <algorithm>

namespace ingot::definition {

const std::vector<std::string>& EventNames() {
  static const std::vector<std::string> names = {
      "certificate.failed",
      "certificate.issued",
      "certificate.refused",
      "certificate.renewed",
      "environment.destroyed",
      "environment.destroying",
      "freeze.overridden",
      "host.restored",
      "image.promoted",
      "image.received",
      "image.tagged",
      "instance.aged",
      "instance.lost",
      "instance.promoted",
      "instance.ready",
      "instance.starting",
      "instance.stopping",
      "job.cancelled",
      "job.failed",
      "job.lost",
      "job.missed",
      "job.queued",
      "job.retrying",
      "job.skipped",
      "job.started",
      "job.succeeded",
      "job.timed_out",
      "migration.applied",
      "migration.contracting",
      "migration.failed",
      "notify.failed",
      "registry.blob_deleted",
      "registry.deleted",
      "registry.pushed",
      "registry.untagged",
      "revision.created",
      "revision.keep_old",
      "revision.max_age",
      "revision.retired",
      "revision.retiring",
      "revision.rules",
      "revision.scale",
      "revision.verified",
      "revision.verify_failed",
      "rollout.advanced",
      "rollout.analysis",
      "rollout.approval_awaited",
      "rollout.approved",
      "rollout.baking",
      "rollout.batch",
      "rollout.completed",
      "rollout.held",
      "rollout.migrating",
      "rollout.paused",
      "rollout.planned",
      "rollout.preparing",
      "rollout.replacing",
      "rollout.resumed",
      "rollout.reverted",
      "rollout.reverting",
      "rollout.rolling",
      "rollout.shadow",
      "rollout.shifting",
      "rollout.starting",
      "rollout.step",
      "rollout.stepping",
      "rollout.stopping",
      "rollout.verifying",
      "secret.key_rotated",
      "secret.removed",
      "secret.set",
      "service.degraded",
      "service.recovered",
      "service.scaled",
      "store.collected",
      "store.damaged",
      "store.lost",
      "store.repaired",
      "store.unknown",
      "token.created",
      "token.removed",
      "volume.created",
      "volume.kept",
      "volume.removed",
      "volume.restored",
      "volume.snapshot",
  };
  return names;
}

bool IsAskedFor(std::string_view asked, std::string_view kind) {
  return kind.starts_with(asked) && (kind.size() == asked.size() || kind[asked.size()] == '.');
}

bool IsEventName(std::string_view text) {
  return !text.empty() && std::any_of(EventNames().begin(), EventNames().end(),
                                      [&](const std::string& name) { return IsAskedFor(text, name); });
}

}  // namespace ingot::definition
