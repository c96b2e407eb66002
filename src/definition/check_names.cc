#include <algorithm>
#include <deque>
#include <set>

#include "definition/check.h"
#include "definition/endpoint_url.h"
#include "definition/overlay.h"
#include "definition/place.h"
#include "definition/scalars.h"
#include "definition/shape.h"

namespace ingot::definition {

namespace {

using Graph = std::map<std::string, std::vector<std::string>>;

template <typename T>
std::vector<std::string> KeysOf(const std::map<std::string, T>& map) {
  std::vector<std::string> keys;
  for (const auto& item : map) keys.push_back(item.first);
  return keys;
}

// One circle in the graph, from its least name around to it again; empty when there is none. Names that have
// no node are ends.
std::vector<std::string> FindCircle(const Graph& graph) {
  std::map<std::string, size_t> ends;  // node → edges to nodes not yet known to lead nowhere in a circle
  std::map<std::string, std::vector<std::string>> from;
  std::deque<std::string> done;
  for (const auto& [node, targets] : graph) {
    size_t count = 0;
    for (const std::string& target : targets) {
      if (!graph.contains(target)) continue;
      ++count;
      from[target].push_back(node);
    }
    ends[node] = count;
    if (count == 0) done.push_back(node);
  }
  while (!done.empty()) {
    const std::string node = done.front();
    done.pop_front();
    ends.erase(node);
    for (const std::string& source : from[node])
      if (--ends[source] == 0) done.push_back(source);
  }
  if (ends.empty()) return {};
  // Every node that is left has an edge to one that is left: walk until one comes again.
  std::vector<std::string> path = {ends.begin()->first};
  std::set<std::string> seen = {path[0]};
  while (true) {
    const std::vector<std::string>& targets = graph.at(path.back());
    const std::string next =
        *std::find_if(targets.begin(), targets.end(), [&](const std::string& t) { return ends.contains(t); });
    path.push_back(next);
    if (!seen.insert(next).second) break;
  }
  path.erase(path.begin(), std::find(path.begin(), path.end(), path.back()));
  path.pop_back();
  std::rotate(path.begin(), std::min_element(path.begin(), path.end()), path.end());
  path.push_back(path.front());
  return path;
}

// Circles that share no name, as many as anybody will read.
std::vector<std::vector<std::string>> FindCircles(Graph graph) {
  std::vector<std::vector<std::string>> circles;
  while (circles.size() < kMaxProblems) {
    std::vector<std::string> circle = FindCircle(graph);
    if (circle.empty()) break;
    for (const std::string& name : circle) graph.erase(name);
    circles.push_back(std::move(circle));
  }
  return circles;
}

std::string Arrows(const std::vector<std::string>& circle) {
  std::string out;
  for (size_t i = 0; i < circle.size(); ++i) out += (i > 0 ? " → " : "") + circle[i];
  return out;
}

class Checker {
 public:
  Checker(const Definition& definition, Problems& problems)
      : definition_(definition), problems_(problems), place_(definition, problems) {}

  void Run() {
    Images();
    Services();
    for (size_t i = 0; i < definition_.routes.size(); ++i)
      Need("routes[" + std::to_string(i) + "].to", definition_.routes[i].to, definition_.services, "service");
    for (const auto& [name, migration] : definition_.migrations) {
      Need("migrations." + name + ".endpoint", migration.endpoint, definition_.endpoints, "endpoint");
      Need("migrations." + name + ".image", migration.image, definition_.images, "image");
      Need("migrations." + name + ".secret", migration.secret, definition_.secrets, "secret");
      Database("migrations." + name + ".endpoint", migration);
      if (!migration.run.empty()) CommandName("migrations." + name, MigrationJob(name));
    }
    for (const auto& [name, job] : definition_.jobs) {
      const std::string path = "jobs." + name;
      Need(path + ".image", job.image, definition_.images, "image");
      Secrets(path, job.secrets);
      Uses(path, "", job.uses);
      if (definition_.services.contains(name))
        place_.Fail(path, "a service has this name already, and logs and instances are told apart by it");
    }
    Environments();
    for (const auto& [name, role] : definition_.access)
      Each("access." + name + ".in", role.in, definition_.environments, "environment");
    if (definition_.policy)
      for (size_t i = 0; i < definition_.policy->freeze.size(); ++i)
        Each("policy.freeze[" + std::to_string(i) + "].in", definition_.policy->freeze[i].in,
             definition_.environments, "environment");
    for (size_t i = 0; i < definition_.notify.size(); ++i)
      Need("notify[" + std::to_string(i) + "].secret", definition_.notify[i].secret, definition_.secrets,
           "secret");
    if (definition_.pipeline)
      Need("pipeline.deploy", definition_.pipeline->deploy, definition_.environments, "environment");
  }

 private:
  // `name` stands at `path` and must be one of `map`; an empty one was not written, or not readable.
  template <typename T>
  void Need(const std::string& path, const std::string& name, const std::map<std::string, T>& map,
            const std::string& what) {
    if (!name.empty() && !map.contains(name)) Missing(place_, path, name, KeysOf(map), what);
  }

  template <typename T>
  void Each(const std::string& path, const std::vector<std::string>& names,
            const std::map<std::string, T>& map, const std::string& what) {
    std::set<std::string_view> seen;
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string item = path + "[" + std::to_string(i) + "]";
      Need(item, names[i], map, what);
      if (!names[i].empty() && !seen.insert(names[i]).second)
        place_.Fail(item, Quoted(names[i]) + " for the second time");
    }
  }

  static std::string SchemeOf(const Endpoint& endpoint) {
    const auto url = EndpointUrl::Parse(endpoint.url);
    return url ? url->scheme : "";
  }

  // Scripts are SQL of a database that is spoken to here; a command speaks for itself.
  void Database(const std::string& path, const Migration& migration) {
    const auto endpoint = definition_.endpoints.find(migration.endpoint);
    if (endpoint == definition_.endpoints.end()) return;
    const std::string scheme = SchemeOf(endpoint->second);
    if (!migration.run.empty() && scheme == "sqlite")
      place_.Fail(
          path,
          "a command runs in an instance, which has no file of the host; expected scripts in place of "
          "run, or an endpoint that is reached by the network");
    if (migration.scripts.empty()) return;
    if (scheme != "postgres" && scheme != "postgresql" && scheme != "sqlite")
      place_.Fail(path,
                  "scripts run on PostgreSQL and SQLite; expected an endpoint of postgres:// or sqlite://");
  }

  // Its runs are those of a job.
  void CommandName(const std::string& path, const std::string& job) {
    if (!IsName(job))
      place_.Fail(path,
                  "the name is too long: its runs are those of job " + job + ", of at most 40 characters");
    if (definition_.jobs.contains(job) || definition_.services.contains(job))
      place_.Fail(path, "its runs are those of job " + job + ", and there is a " +
                            (definition_.jobs.contains(job) ? "job" : "service") + " of this name");
  }

  static void Missing(const Place& place, const std::string& path, const std::string& name,
                      const std::vector<std::string>& candidates, const std::string& what) {
    constexpr size_t kListed = 8;
    std::string hint = DidYouMean(name, candidates);
    if (hint.empty() && candidates.empty()) hint = "; there is none";
    if (hint.empty() && candidates.size() <= kListed) hint = "; expected " + Enumerate(candidates, "or");
    place.Fail(path, "no " + what + " is named " + Quoted(name) + hint);
  }

  void Secrets(const std::string& path, const std::vector<std::string>& names) {
    Each(path + ".secrets", names, definition_.secrets, "secret");
  }

  void Uses(const std::string& path, const std::string& self, const std::vector<std::string>& uses) {
    std::map<std::string, int> both;
    for (const auto& service : definition_.services)
      if (service.first != self) both[service.first];
    for (const auto& endpoint : definition_.endpoints) both[endpoint.first];
    if (!self.empty()) both[self];  // named by the circle it makes
    Each(path + ".uses", uses, both, "service or endpoint");
    for (size_t i = 0; i < uses.size(); ++i) {
      const auto endpoint = definition_.endpoints.find(uses[i]);
      if (endpoint != definition_.endpoints.end() && SchemeOf(endpoint->second) == "sqlite")
        place_.Fail(path + ".uses[" + std::to_string(i) + "]",
                    Quoted(uses[i]) + " is a file, and no connection leads to it");
    }
  }

  void Images() {
    Graph graph;
    for (const auto& [name, image] : definition_.images) {
      if (!image.from.empty() && image.from.find(':') == std::string::npos) {
        Need("images." + name + ".from", image.from, definition_.images, "image");
        graph[name] = {image.from};
      }
      if (image.build)
        Each("images." + name + ".build.secrets", image.build->secrets, definition_.secrets, "secret");
    }
    for (const auto& circle : FindCircles(std::move(graph)))
      place_.Fail("images." + circle[0] + ".from", "circular: " + Arrows(circle));
  }

  void OneService(const std::string& path, const std::string& name, const Service& service) {
    Need(path + ".image", service.image, definition_.images, "image");
    if (service.secrets) Secrets(path, *service.secrets);
    if (service.uses) Uses(path, name, *service.uses);
    if (service.volumes) {
      for (size_t i = 0; i < service.volumes->size(); ++i)
        Need(path + ".volumes[" + std::to_string(i) + "].name", (*service.volumes)[i].name,
             definition_.volumes, "volume");
    }
    if (service.rollout && service.rollout->analysis)
      for (const auto& [check_name, check] : service.rollout->analysis->checks)
        Need(path + ".rollout.analysis.checks." + check_name + ".secret", check.secret, definition_.secrets,
             "secret");
    if (service.scale && service.scale->target && service.scale->target->queue)
      Need(path + ".scale.target.queue.secret", service.scale->target->queue->secret, definition_.secrets,
           "secret");
    if (service.rollout && service.rollout->steps) {
      for (size_t i = 0; i < service.rollout->steps->size(); ++i)
        Need(path + ".rollout.steps[" + std::to_string(i) + "].approve", (*service.rollout->steps)[i].approve,
             definition_.access, "role of access");
    }
  }

  void Circles(const std::map<std::string, Service>& services, const std::string& environment) {
    Graph graph;
    for (const auto& [name, service] : services)
      if (service.uses) graph[name] = *service.uses;
    for (const auto& circle : FindCircles(graph)) {
      const std::vector<std::string>& uses = graph.at(circle[0]);
      const auto index = std::find(uses.begin(), uses.end(), circle[1]) - uses.begin();
      Place(definition_, problems_, environment)
          .Fail("services." + circle[0] + ".uses[" + std::to_string(index) + "]",
                "circular: " + Arrows(circle));
    }
  }

  void Services() {
    for (const auto& [name, service] : definition_.services) {
      OneService("services." + name, name, service);
      if (definition_.endpoints.contains(name))
        place_.Fail("endpoints." + name, "a service has this name already, and uses: tells them apart by it");
    }
    Circles(definition_.services, "");
  }

  void Environments() {
    Graph promotions;
    for (const auto& [name, environment] : definition_.environments) {
      const std::string path = "environments." + name;
      for (const auto& [service, over] : environment.services) {
        Need(path + ".services." + service, service, definition_.services, "service");
        OneService(path + ".services." + service, service, over);
      }
      Need(path + ".promote_from", environment.promote_from, definition_.environments, "environment");
      if (environment.approval) {
        const bool named =
            definition_.Where(path + ".approval.role") != definition_.Where(path + ".approval");
        Need(path + (named ? ".approval.role" : ".approval"), environment.approval->role, definition_.access,
             "role of access");
      }
      if (!environment.promote_from.empty()) promotions[name] = {environment.promote_from};
      if (!environment.services.empty()) Circles(OverlaidServices(definition_, name), name);
    }
    const std::vector<std::string> circle = FindCircle(promotions);
    if (!circle.empty())
      place_.Fail("environments." + circle[0] + ".promote_from", "circular: " + Arrows(circle));
  }

  const Definition& definition_;
  Problems& problems_;
  Place place_;
};

}  // namespace

void CheckNames(const Definition& definition, Problems& problems) {
  Checker(definition, problems).Run();
}

}  // namespace ingot::definition
