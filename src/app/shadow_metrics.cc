#include "app/shadow_metrics.h"

#include <string>
#include <utility>
#include <vector>

namespace ingot::app {

namespace {

// By environment: the members of "shadows".
std::vector<std::pair<std::string, JsonObject>> ShadowsNow(Daemon& daemon) {
  return daemon.Ask([](rollout::Controller& controller) {
    std::vector<std::pair<std::string, JsonObject>> out;
    for (const platform::EnvironmentId& id : controller.Environments()) {
      const rollout::EnvironmentState* state = controller.State(id);
      if (state == nullptr || !state->rollout) continue;
      const Result<Json> status = controller.RolloutStatus(id);
      const Json* shadows = status ? status->as_object().if_contains("shadows") : nullptr;
      if (shadows == nullptr || !shadows->is_array()) continue;
      for (const Json& shadow : shadows->get_array()) out.emplace_back(id.Render(), shadow.as_object());
    }
    return out;
  });
}

}  // namespace

void DescribeShadows(PrometheusText& text, Daemon& daemon) {
  const auto shadows = ShadowsNow(daemon);
  if (shadows.empty()) return;
  text.Metric("ingot_shadow_requests", "gauge",
              "Requests copied to a new fleet in the present step, by what became of the copy.");
  for (const auto& [environment, shadow] : shadows)
    for (const char* outcome : {"same", "other_status", "other_body", "body_unknown", "failed", "timed_out",
                                "skipped", "in_flight"})
      text.Sample(
          static_cast<uint64_t>(IntOr(shadow, outcome, 0)),
          {{"environment", environment}, {"service", StringOr(shadow, "service", "")}, {"outcome", outcome}});
}

}  // namespace ingot::app
