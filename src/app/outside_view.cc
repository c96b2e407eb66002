#include "app/outside_view.h"

#include <set>

#include "definition/outside_address.h"

namespace ingot::app {

void AddOutsideServers(Json& status, const Result<std::vector<platform::OutsideState>>& servers) {
  if (!status.is_object()) return;
  JsonObject& fields = status.get_object();
  Json* routes = fields.if_contains("routes");
  Json* problems = fields.if_contains("problems");
  if (routes == nullptr || !routes->is_array() || problems == nullptr || !problems->is_array()) return;
  std::set<std::string> told;
  for (Json& item : routes->get_array()) {
    Json* outside = item.is_object() ? item.get_object().if_contains("outside") : nullptr;
    if (outside == nullptr || !outside->is_object()) continue;
    JsonObject& server = outside->get_object();
    const std::string address = StringOr(server, "address", "");
    server["up"] = nullptr;
    std::string reason = servers ? "the router does not have it yet" : servers.error().message();
    if (servers)
      for (const platform::OutsideState& state : *servers)
        if (definition::OutsideAddress{state.host, state.port}.Render() == address) {
          server["up"] = state.up;
          reason = state.up ? "" : state.why.empty() ? "it takes no connection" : state.why;
        }
    server["reason"] = reason;
    if (reason.empty() || !told.insert(address).second) continue;
    const std::string share = std::to_string(IntOr(server, "percent", 0)) + " %";
    problems->get_array().emplace_back(
        server["up"].is_null()
            ? "whether " + address + " (outside, " + share + ") takes connections is unknown: " + reason
            : address + " (outside, " + share + ") takes no connection (" + reason + "); " +
                  StringOr(item.get_object(), "service", "") + " gets its requests until it does");
  }
}

void AddCertificates(Json& status, const std::vector<IssuedName>& issued, WallTime now) {
  if (!status.is_object() || issued.empty()) return;
  JsonObject& fields = status.get_object();
  Json* routes = fields.if_contains("routes");
  Json* problems = fields.if_contains("problems");
  if (routes == nullptr || !routes->is_array() || problems == nullptr || !problems->is_array()) return;
  std::set<std::string> told;
  for (Json& item : routes->get_array()) {
    if (!item.is_object() || !BoolOr(item.get_object(), "tls", false)) continue;
    const std::string host = StringOr(item.get_object(), "host", "");
    for (const IssuedName& name : issued) {
      if (name.name != host || !name.wanted) continue;
      const std::string waiting = name.Waiting(now);
      item.get_object()["certificate"] = JsonObject{
          {"ends", name.certificate ? Json(RenderTime(name.certificate->ends)) : Json(nullptr)},
          {"renews", name.certificate ? Json(RenderTime(RenewalOf(host, *name.certificate))) : Json(nullptr)},
          {"waiting", waiting},
          {"failures", name.failures},
          {"reason", name.reason}};
      if (!told.insert(host).second) continue;
      if (!waiting.empty())
        problems->get_array().emplace_back("route " + host + " with TLS: " + waiting);
      else if (name.failures > 0)
        problems->get_array().emplace_back(
            "the certificate of " + host + ", which ends at " + RenderTime(name.certificate->ends) +
            ", cannot be renewed: " + name.reason + "; next attempt at " + RenderTime(name.next));
    }
  }
}

void DescribeIssued(PrometheusText& text, const std::vector<IssuedName>& issued) {
  if (issued.empty()) return;
  text.Metric("ingot_certificate_ends_timestamp_seconds", "gauge",
              "When a certificate that an authority issued ends; 0: there is none.");
  for (const IssuedName& name : issued)
    if (name.wanted)
      text.Sample(name.certificate ? static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                                               name.certificate->ends.time_since_epoch())
                                                               .count())
                                   : 0,
                  {{"name", name.name}});
  text.Metric("ingot_certificate_failures", "gauge",
              "Attempts in a row to get or renew a certificate from an authority that failed.");
  for (const IssuedName& name : issued)
    if (name.wanted) text.Sample(name.failures, {{"name", name.name}});
}

}  // namespace ingot::app
