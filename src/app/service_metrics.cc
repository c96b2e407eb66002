#include "app/service_metrics.h"

#include <string>
#include <utility>
#include <vector>

namespace ingot::app {

namespace {

// By environment: the members of "services".
std::vector<std::pair<std::string, JsonObject>> ServicesNow(Daemon& daemon) {
  return daemon.Ask([](rollout::Controller& controller) {
    std::vector<std::pair<std::string, JsonObject>> out;
    for (const platform::EnvironmentId& id : controller.Environments()) {
      const Result<Json> status = controller.Status(id);
      const Json* services = status ? status->as_object().if_contains("services") : nullptr;
      if (services == nullptr || !services->is_array()) continue;
      for (const Json& service : services->get_array()) out.emplace_back(id.Render(), service.as_object());
    }
    return out;
  });
}

// A metric of what `object` says under `key`, of those that say it.
template <typename Find>
void Describe(PrometheusText& text, const char* name, const char* about,
              const std::vector<std::pair<std::string, JsonObject>>& services, const char* key, Find find) {
  bool begun = false;
  for (const auto& [environment, service] : services) {
    const JsonObject* object = find(service);
    const int64_t value = object == nullptr ? -1 : IntOr(*object, key, -1);
    if (value < 0) continue;
    if (!std::exchange(begun, true)) text.Metric(name, "gauge", about);
    text.Sample(static_cast<uint64_t>(value),
                {{"environment", environment}, {"service", StringOr(service, "name", "")}});
  }
}

}  // namespace

void DescribeServices(PrometheusText& text, Daemon& daemon) {
  const auto services = ServicesNow(daemon);
  const auto itself = [](const JsonObject& service) { return &service; };
  const auto spares = [](const JsonObject& service) -> const JsonObject* {
    const Json* found = service.if_contains("spares");
    return found != nullptr && found->is_object() ? &found->get_object() : nullptr;
  };
  Describe(text, "ingot_service_instances_desired", "Instances that shall serve.", services, "desired",
           itself);
  Describe(text, "ingot_service_instances_ready", "Of these, those that do.", services, "ready", itself);
  Describe(text, "ingot_service_spares_desired", "Ready instances beyond the count that there shall be.",
           services, "desired", spares);
  Describe(text, "ingot_service_spares_ready", "Of these, those that there are.", services, "ready", spares);
}

}  // namespace ingot::app
