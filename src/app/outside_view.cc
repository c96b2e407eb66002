#include "app/outside_view.h"

#include <future>
#include <map>
#include <set>

#include "adapters/tcp_reach.h"
#include "definition/outside_address.h"

namespace ingot::app {

namespace {

constexpr Milliseconds kAnswerWithin{1000};

JsonArray* ProblemsOf(Json& status) {
  Json* problems = status.is_object() ? status.get_object().if_contains("problems") : nullptr;
  return problems != nullptr && problems->is_array() ? &problems->get_array() : nullptr;
}

// What a route does whose server elsewhere does not answer.
std::string Unknown(const std::string& address, int64_t percent, const std::string& why) {
  return "whether " + address + " (outside, " + std::to_string(percent) +
         " %) takes connections is unknown: " + why;
}

std::string TakesNone(const std::string& address, int64_t percent, const std::string& why,
                      const std::string& service) {
  return address + " (outside, " + std::to_string(percent) + " %) takes no connection (" + why + "); " +
         service + " gets its requests until it does";
}

}  // namespace

void AddOutsideServers(Json& status, const Result<std::vector<platform::OutsideState>>& servers) {
  if (!status.is_object()) return;
  Json* routes = status.get_object().if_contains("routes");
  JsonArray* problems = ProblemsOf(status);
  if (routes == nullptr || !routes->is_array() || problems == nullptr) return;
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
    const int64_t percent = IntOr(server, "percent", 0);
    problems->emplace_back(server["up"].is_null() ? Unknown(address, percent, reason)
                                                  : TakesNone(address, percent, reason,
                                                              StringOr(item.get_object(), "service", "")));
  }
}

std::vector<std::string> SilentServers(const platform::RouteTable& routes) {
  struct Asked {
    std::string service;
    uint32_t per_mille = 0;
    std::future<Result<void>> answer;
  };
  std::map<std::string, Asked> asked;
  for (const auto& route : routes.outside) {
    if (!route.server || route.server->per_mille == 0) continue;
    const platform::ServerShare& server = *route.server;
    const std::string address = definition::OutsideAddress{server.host, server.port}.Render();
    if (asked.contains(address)) continue;
    asked[address] = {route.fleet.service(), server.per_mille, std::async(std::launch::async, [server] {
                        return adapters::TakesConnections(server.host, server.port, kAnswerWithin);
                      })};
  }
  std::vector<std::string> out;
  for (auto& [address, one] : asked) {
    const Result<void> answer = one.answer.get();
    if (answer) continue;
    const Error& error = answer.error();
    const bool looked = error.code() == Code::kUnavailable || error.code() == Code::kNotFound;
    out.push_back(looked ? TakesNone(address, one.per_mille / 10, error.message(), one.service)
                         : Unknown(address, one.per_mille / 10, error.message()));
  }
  return out;
}

void AddHostCertificates(Json& status, const std::vector<SeenCertificate>& seen, WallTime now,
                         bool with_files) {
  JsonArray* problems = ProblemsOf(status);
  if (problems == nullptr) return;
  for (const SeenCertificate& one : seen)
    if (const auto problem = with_files ? one.Problem(now) : one.ProblemWithoutFiles(now))
      problems->emplace_back("certificate of host.yaml: " + *problem + "; clients refuse it");
}

void AddCertificates(Json& status, const std::vector<IssuedName>& issued, WallTime now) {
  if (!status.is_object() || issued.empty()) return;
  Json* routes = status.get_object().if_contains("routes");
  JsonArray* problems = ProblemsOf(status);
  if (routes == nullptr || !routes->is_array() || problems == nullptr) return;
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
        problems->emplace_back("route " + host + " with TLS: " + waiting);
      else if (name.failures > 0)
        problems->emplace_back("the certificate of " + host + ", which ends at " +
                               RenderTime(name.certificate->ends) + ", cannot be renewed: " + name.reason +
                               "; next attempt at " + RenderTime(name.next));
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
