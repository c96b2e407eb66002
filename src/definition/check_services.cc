#include <algorithm>
#include <array>
#include <set>

#include "definition/check.h"
#include "definition/defaults.h"
#include "definition/overlay.h"
#include "definition/place.h"

namespace ingot::definition {

const std::pair<const std::string, Port>* PortOf(const Service& service, const std::string& name) {
  if (!service.ports || service.ports->empty()) return nullptr;
  const auto& ports = *service.ports;
  if (name.empty() && ports.size() == 1) return &*ports.begin();
  const auto found = ports.find(name.empty() ? "http" : name);
  return found == ports.end() ? nullptr : &*found;
}

namespace {

bool Within(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/");
}

class ServiceRules {
 public:
  ServiceRules(const Definition& definition, const std::map<std::string, Service>& services,
               const Place& place)
      : definition_(definition), services_(services), place_(place) {}

  void Check(const std::string& name, const Job& job) {
    path_ = "jobs." + name;
    Uses(job.uses);
    Paths(AsService(job), job.scratch.size());
  }

  void Check(const std::string& name) {
    path_ = "services." + name;
    const Service& service = services_.at(name);
    Kind(service);
    Ports(service);
    if (service.uses) Uses(*service.uses);
    if (service.health) {
      if (service.health->ready) Probe(service, path_ + ".health.ready", *service.health->ready);
      if (service.health->live) Probe(service, path_ + ".health.live", *service.health->live);
    }
    Paths(service);
    if (service.rollout) Rollout(service, *service.rollout);
    if (service.scale) Scale(service, *service.scale);
  }

 private:
  void Kind(const Service& service) {
    if (service.kind == Kind::kWorker && service.ports && !service.ports->empty())
      place_.Fail(path_ + ".kind", "a worker takes work, not requests; expected no port, or kind: service");
    if (service.max_age && *service.max_age < kLeastMaxAge)
      place_.Fail(path_ + ".max_age",
                  "an instance that is replaced so soon is hardly started; expected 10s or more");
    if (service.kind == Kind::kStateful && service.max_age)
      place_.Fail(path_ + ".max_age",
                  "a stateful service keeps its instances; expected no max_age beside it");
    Volumes(service);
  }

  void Volumes(const Service& service) {
    const bool has = service.volumes && !service.volumes->empty();
    if (service.kind != Kind::kStateful) {
      if (has)
        place_.Fail(path_ + ".volumes",
                    "instances of " + path_.substr(path_.find('.') + 1) +
                        " are alike and would share one volume; expected kind: stateful beside volumes, "
                        "whose members each have their own");
      return;
    }
    if (!has)
      place_.Fail(path_ + ".kind",
                  "a stateful service without data; expected volumes: with a volume's name and a path");
    if (service.rollout && service.rollout->strategy)
      place_.Fail(path_ + ".rollout.strategy",
                  "members of a stateful service are replaced one by one; expected no strategy");
    for (size_t i = 0; has && i < service.volumes->size(); ++i) {
      const std::string& name = (*service.volumes)[i].name;
      const std::string place = path_ + ".volumes[" + std::to_string(i) + "]";
      const auto [first, is_new] = volumes_.emplace(name, place);
      if (!is_new)
        place_.Fail(place + ".name",
                    "volume " + name + " is that of " + first->second + " already; expected one of its own");
    }
  }

  void Ports(const Service& service) {
    if (!service.ports) return;
    std::map<uint16_t, std::string> by_number;
    for (const auto& [name, port] : *service.ports) {
      const auto [first, is_new] = by_number.emplace(port.number, name);
      if (!is_new)
        place_.Fail(path_ + ".ports." + name,
                    "port " + std::to_string(port.number) + " is that of " + first->second + " already");
    }
  }

  void Uses(const std::vector<std::string>& uses) {
    for (size_t i = 0; i < uses.size(); ++i) {
      const auto used = services_.find(uses[i]);
      if (used != services_.end() && (!used->second.ports || used->second.ports->empty()))
        place_.Fail(path_ + ".uses[" + std::to_string(i) + "]",
                    uses[i] + " has no port to reach it by; give services." + uses[i] + " a port");
    }
  }

  void Probe(const Service& service, const std::string& path, const definition::Probe& probe) {
    if (probe.timeout && probe.deadline && *probe.timeout > *probe.deadline)
      place_.Fail(path + ".timeout", "longer than the deadline, so no probe could ever pass in time");
    if (probe.run) return;
    const std::string what = probe.http ? ".http" : ".tcp";
    if (!service.ports || service.ports->empty()) {
      place_.Fail(path + what, "the service has no port to probe; give it a port, or probe with run:");
    } else if (PortOf(service, probe.port.value_or("")) == nullptr) {
      std::vector<std::string> names;
      for (const auto& port : *service.ports) names.push_back(port.first);
      if (probe.port) {
        place_.Fail(path + ".port",
                    "the service has no port named " + Quoted(*probe.port) + DidYouMean(*probe.port, names));
      } else {
        place_.Fail(path + what, "the service has several ports; expected port: and the name of one");
      }
    }
  }

  // Scratch and volumes are mounted into the root: each path once, and not over what the runtime itself
  // mounts. Scratch from `declared` on is a job's artifacts.
  void Paths(const Service& service, size_t declared = SIZE_MAX) {
    std::map<std::string, std::string> taken;
    const auto claim = [&](const std::string& place, const std::string& path) {
      static constexpr std::array<const char*, 7> kReserved = {
          "/proc", "/sys", "/dev", "/run/secrets", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname"};
      for (const char* reserved : kReserved)
        if (Within(path, reserved)) place_.Fail(place, path + " belongs to the runtime (" + reserved + ")");
      if (path == "/")
        place_.Fail(place, "the root of an instance is never writable; expected a directory in it");
      const auto [first, is_new] = taken.emplace(path, place);
      if (!is_new) place_.Fail(place, path + " is taken by " + first->second + " already");
    };
    for (size_t i = 0; service.scratch && i < service.scratch->size(); ++i)
      claim(path_ + (i < declared ? ".scratch[" + std::to_string(i) + "]" : ".artifacts"),
            (*service.scratch)[i].path);
    for (size_t i = 0; service.volumes && i < service.volumes->size(); ++i)
      claim(path_ + ".volumes[" + std::to_string(i) + "]", (*service.volumes)[i].path);
  }

  void Rollout(const Service& service, const definition::Rollout& rollout) {
    const Strategy strategy = rollout.strategy.value_or(Strategy::kBlueGreen);
    const auto speaks_http = [](const std::pair<const std::string, Port>& port) {
      return port.second.protocol == Protocol::kHttp;
    };
    if (strategy == Strategy::kCanary &&
        (!service.ports || std::none_of(service.ports->begin(), service.ports->end(), speaks_http)))
      place_.Fail(
          path_ + ".rollout.strategy",
          "a canary is a share of HTTP requests; expected a port with protocol http, or another strategy");
    const auto only_beside = [&](bool written, const char* key, Strategy wanted) {
      if (written && strategy != wanted)
        place_.Fail(path_ + ".rollout." + key,
                    std::string("only the strategy ") + std::string(NameOf(wanted)) + " has " + key +
                        "; expected it beside strategy: " + std::string(NameOf(wanted)));
    };
    only_beside(rollout.analysis.has_value(), "analysis", Strategy::kCanary);
    only_beside(rollout.sticky.has_value(), "sticky", Strategy::kCanary);
    only_beside(rollout.preview.has_value(), "preview", Strategy::kCanary);
    if (rollout.preview && rollout.preview->port != 0 && service.ports && !service.ports->empty()) {
      const auto* port = PortOf(service, "");
      if (port == nullptr || !speaks_http(*port))
        place_.Fail(path_ + ".rollout.preview.port",
                    "which port of the service it leads to is not clear; expected one named http that speaks "
                    "http");
    }
    only_beside(rollout.batch.has_value(), "batch", Strategy::kRolling);
    only_beside(rollout.surge.has_value(), "surge", Strategy::kRolling);
    const auto count = static_cast<uint32_t>(service.replicas.value_or(1));
    if (strategy == Strategy::kRolling && rollout.surge == 0u && rollout.batch.value_or(1) >= count &&
        count > 0)
      place_.Fail(path_ + ".rollout.surge",
                  "with surge: 0 a batch of " + std::to_string(rollout.batch.value_or(1)) + " of " +
                      std::to_string(count) +
                      " leaves none that serves; expected a smaller batch or a surge");
    if (strategy == Strategy::kCanary && !rollout.steps)
      place_.Fail(path_ + ".rollout.strategy",
                  "a canary needs steps, such as steps: [{ weight: 10%, for: 1m }, { weight: 100% }]");
    if (strategy != Strategy::kCanary && rollout.steps)
      place_.Fail(path_ + ".rollout.steps", "only a canary has steps; expected strategy: canary beside them");
  }

  void Scale(const Service& service, const definition::Scale& scale) {
    const std::string path = path_ + ".scale";
    const int min = scale.min.value_or(1);
    const bool target = scale.target && scale.target->Any();
    if (scale.spares.value_or(0) > 0) Spares(service);
    // Spares alone leave the count to `replicas` and to people.
    if (scale.spares && !target && !scale.schedules && !scale.min && !scale.max && !scale.cooldown) return;
    if (scale.schedules) Schedules(scale, *scale.schedules, min, target);
    if (scale.schedules && !target) return;
    if (!scale.max) {
      place_.Fail(path, "missing key \"max\": the most instances");
      return;
    }
    if (min > *scale.max)
      place_.Fail(path + ".min",
                  "min " + std::to_string(min) + " is more than max " + std::to_string(*scale.max));
    else if (service.replicas && (*service.replicas < min || *service.replicas > *scale.max))
      place_.Fail(path_ + ".replicas", std::to_string(*service.replicas) +
                                           " replicas are outside scale, which says " + std::to_string(min) +
                                           " to " + std::to_string(*scale.max));
    if (!target)
      place_.Fail(path, "nothing to scale by; expected target: with cpu, memory, requests or queue");
    else if (scale.target->memory && !(service.resources && service.resources->memory_bytes))
      place_.Fail(path + ".target.memory",
                  "a share of nothing; expected resources: with memory beside scale");
    else if (scale.target->requests && (!service.ports || service.ports->empty()))
      place_.Fail(path + ".target.requests", "no request can come; expected a port beside scale");
  }

  // What is held out of the router alone is no spare: its work would begin when it starts.
  void Spares(const Service& service) {
    const std::string at = path_ + ".scale.spares";
    if (service.kind == Kind::kWorker)
      place_.Fail(at, "a worker takes work as soon as it runs; expected no spares, or kind: service");
    else if (service.kind == Kind::kStateful)
      place_.Fail(at, "each instance of a stateful service has volumes of its own; expected no spares");
    else if (!service.ports || service.ports->empty())
      place_.Fail(at, "without a port no request is kept from it; expected a port beside scale");
    else if (service.rollout && service.rollout->strategy == Strategy::kRecreate)
      place_.Fail(at,
                  "with strategy: recreate there is never one beside another; expected no spares, or another "
                  "strategy");
  }

  void Schedules(const definition::Scale& scale, const std::vector<ScaleSchedule>& schedules, int min,
                 bool target) {
    const std::string path = path_ + ".scale";
    // Without a target there is nothing to decide between min and max; max is what nobody may go beyond.
    if (!target && scale.max && min > *scale.max)
      place_.Fail(path + ".min",
                  "min " + std::to_string(min) + " is more than max " + std::to_string(*scale.max));
    for (size_t i = 0; i < schedules.size(); ++i) {
      const std::string at = path + ".schedules[" + std::to_string(i) + "]";
      const int least = schedules[i].min.value_or(min);
      const std::optional<int> most = schedules[i].max ? schedules[i].max : scale.max;
      if (!target && schedules[i].max)
        place_.Fail(at + ".max", "without a target the count is min; expected no max here, or a target");
      else if (most && least > *most)
        place_.Fail(at + (schedules[i].min ? ".min" : ".max"),
                    "min " + std::to_string(least) + " is more than max " + std::to_string(*most));
    }
  }

  const Definition& definition_;
  const std::map<std::string, Service>& services_;
  const Place& place_;
  std::string path_;
  std::map<std::string, std::string> volumes_;  // by name: where it is mounted
};

}  // namespace

void CheckServices(const Definition& definition, Problems& problems) {
  const auto check = [&](const std::map<std::string, Service>& services, const std::string& environment) {
    const Place place(definition, problems, environment);
    ServiceRules rules(definition, services, place);
    for (const auto& service : services) rules.Check(service.first);
    if (environment.empty())
      for (const auto& [name, job] : definition.jobs) rules.Check(name, job);
  };
  check(definition.services, "");
  for (const auto& [name, environment] : definition.environments)
    if (!environment.services.empty()) check(OverlaidServices(definition, name), name);
}

}  // namespace ingot::definition
