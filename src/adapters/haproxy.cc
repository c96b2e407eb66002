#include "adapters/haproxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <thread>

#include "adapters/haproxy_cli.h"
#include "adapters/haproxy_config.h"
#include "adapters/haproxy_process.h"
#include "adapters/haproxy_state.h"
#include "adapters/listeners.h"
#include "base/sha256.h"
#include "base/sync.h"

namespace ingot::adapters {

namespace {

using platform::EnvironmentId;
using platform::FleetId;
using platform::InstanceId;

constexpr Milliseconds kAskTimeout{5000};
constexpr int kAttempts = 5;
// HAProxy takes at most tune.bufsize (16384) of a command with its payload.
constexpr size_t kCommandBytes = 12000;

std::string ServerName(const std::string& backend, size_t slot) {
  return backend + "/s" + std::to_string(slot + 1);
}

// Does `fd` listen where the socket should?
bool ListensAt(const Fd& fd, const RouterSocket& socket) {
  struct sockaddr_storage storage {};
  socklen_t size = sizeof storage;
  int listening = 0;
  socklen_t flag = sizeof listening;
  if (::getsockname(fd.get(), reinterpret_cast<struct sockaddr*>(&storage), &size) < 0 ||
      ::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &flag) < 0 || listening == 0)
    return false;
  if (socket.kind == RouterSocket::Kind::kEgress) {
    const auto* un = reinterpret_cast<const char*>(&storage) + sizeof(sa_family_t);
    return storage.ss_family == AF_UNIX && std::string(un).ends_with("/" + EgressSocketName(socket.number));
  }
  const auto* in = reinterpret_cast<const struct sockaddr_in*>(&storage);
  char text[INET_ADDRSTRLEN];
  auto address = ListenAddress::Parse(socket.address);
  return storage.ss_family == AF_INET && address &&
         ::inet_ntop(AF_INET, &in->sin_addr, text, sizeof text) != nullptr && address->address == text &&
         ntohs(in->sin_port) == address->port;
}

// Runs `attempt` again when the process dies under it: its successor is up in some 40 ms.
template <typename F>
auto Persistently(F attempt) -> decltype(attempt()) {
  for (int i = 1;; ++i) {
    auto result = attempt();
    if (result || result.error().code() != Code::kUnavailable || i == kAttempts) return result;
    std::this_thread::sleep_for(Milliseconds(10 * i));
  }
}

// What an instance has counted, by process: counters begin at zero in each.
struct Meter {
  struct Last {
    uint64_t total = 0;
    uint64_t errors = 0;
  };
  std::map<uint64_t, Last> last;
  uint64_t requests = 0;
  uint64_t errors = 0;
};

}  // namespace

class HaproxyRouter::Impl {
 public:
  explicit Impl(HaproxyOptions options) : options_(std::move(options)) {}

  Result<void> Open();
  Result<void> SetTopology(const EnvironmentId& environment, const platform::Topology& topology);
  Result<bool> TopologySettled();
  Result<std::string> VirtualAddress(const EnvironmentId& environment, const std::string& name);
  Result<void> SetServers(const FleetId& fleet, const std::vector<platform::Server>& servers);
  Result<void> ApplyRoutes(const EnvironmentId& environment, const platform::RouteTable& routes,
                           const std::map<FleetId, std::vector<platform::Server>>& askers);
  Result<std::map<InstanceId, platform::ServerCounters>> Counters();
  Result<bool> Drain(const InstanceId& instance);
  Result<void> Destroy();
  std::vector<int64_t> ProcessIds();

 private:
  using Sockets = std::map<std::string, std::shared_ptr<const Fd>>;
  struct Inner {
    RouterState state;
    Sockets sockets;
    std::map<InstanceId, Meter> meters;
    bool dirty = false;  // HAProxy may differ from the state: the last change of it failed
  };

  Result<void> ReadState(Inner& inner);
  Result<void> WriteState(const RouterState& state, Durability durability);
  Result<std::shared_ptr<const Fd>> OpenSocket(const RouterSocket& socket);
  HaproxyPlan PlanOf(const RouterState& state, const Sockets& sockets, bool egress) const;
  Result<void> RunPlans(const RouterState& state, const Sockets& sockets, bool force);
  // Makes the files, then HAProxy, follow inner.state: the servers of one service, the map, or both;
  // everything when an earlier change failed.
  Result<void> Follow(Inner& inner, const RouterService* only, bool map);
  Result<void> PushServers(const RouterState& state, const RouterService* only);
  Result<void> PushMap(const RouterState& state);
  Result<void> StartMeters(Inner& inner, RouterState& state, const std::vector<InstanceId>& added);
  std::vector<std::string> Backends(const SlotPlace& place, const FleetId& fleet) const;

  HaproxyOptions options_;
  HaproxyLimits limits_;
  Fd directory_;
  std::unique_ptr<HaproxyProcess> router_;
  std::unique_ptr<HaproxyProcess> egress_;
  Sync<Inner> inner_;
};

// --- state on disk ---

Result<void> HaproxyRouter::Impl::WriteState(const RouterState& state, Durability durability) {
  const std::string boot = TRY(ReadFile("/proc/sys/kernel/random/boot_id", 100));
  JsonObject file = ToJson(state).as_object();
  file["boot_id"] = boot.substr(0, boot.find('\n'));
  return WriteFileAtomic(options_.directory / "state.json", RenderJson(file), 0600, durability);
}

Result<void> HaproxyRouter::Impl::ReadState(Inner& inner) {
  auto text = ReadFile(options_.directory / "state.json", size_t{64} << 20);
  if (!text && text.error().code() == Code::kNotFound) return {};
  if (!text) return std::move(text).error();
  auto json = ParseJson(*text);
  auto state = json ? RouterStateFromJson(*json) : Result<RouterState>(json.error());
  if (!state) {
    // After a power cut the file may be torn; nothing runs then that it would describe.
    if (!router_->Running() && !egress_->Running()) return {};
    return Error(Code::kCorrupt, "the router's state " + (options_.directory / "state.json").string() +
                                     " is unreadable (" + state.error().message() +
                                     ") while HAProxy runs; end HAProxy and remove the file");
  }
  const std::string boot = TRY(ReadFile("/proc/sys/kernel/random/boot_id", 100));
  if (StringOr(json->get_object(), "boot_id", "") != boot.substr(0, boot.find('\n'))) {
    // No instance lives through a reboot, and its address may be another's by now.
    for (auto& [id, environment] : state->environments) {
      environment.entries.clear();
      for (auto& [name, service] : environment.services)
        for (RouterSet& set : service.sets) set = RouterSet{{}, std::vector<RouterSlot>(set.slots.size())};
    }
  }
  inner.state = std::move(*state);
  return {};
}

// --- sockets and processes ---

Result<std::shared_ptr<const Fd>> HaproxyRouter::Impl::OpenSocket(const RouterSocket& socket) {
  if (socket.kind == RouterSocket::Kind::kEgress)
    return std::make_shared<const Fd>(
        TRY(OpenUnixListener(directory_.get(), EgressSocketName(socket.number), options_.uid, options_.gid)));
  const ListenAddress address = TRY(ListenAddress::Parse(socket.address));
  const int where = socket.kind == RouterSocket::Kind::kInside ? options_.router_namespace : -1;
  // A process that was told to finish closes its listeners first of all, but not within our call.
  for (int i = 0;; ++i) {
    const bool old = router_->HasOld();
    auto fd = OpenListener(address, where);
    if (fd) return std::make_shared<const Fd>(std::move(*fd));
    if (fd.error().code() != Code::kConflict || !old || i == 20) return std::move(fd).error();
    std::this_thread::sleep_for(Milliseconds(20));
  }
}

HaproxyPlan HaproxyRouter::Impl::PlanOf(const RouterState& state, const Sockets& sockets, bool egress) const {
  HaproxyPlan plan;
  plan.config =
      egress ? RenderEgressConfig(state, limits_) : RenderRouterConfig(state, limits_, Servers::kNow);
  if (!egress) plan.map = RenderMap(state);
  plan.digest =
      Sha256Hex(egress ? plan.config : RenderRouterConfig(state, limits_, Servers::kStructure)).substr(0, 16);
  for (const auto& [key, socket] : WantedSockets(state))
    if ((socket.kind == RouterSocket::Kind::kEgress) == egress)
      plan.sockets.push_back({sockets.at(key), socket.number});
  return plan;
}

Result<void> HaproxyRouter::Impl::RunPlans(const RouterState& state, const Sockets& sockets, bool force) {
  HaproxyPlan egress = PlanOf(state, sockets, true);
  HaproxyPlan router = PlanOf(state, sockets, false);
  if (egress.config.empty())
    egress_->Stop();
  else
    // Not waited for: its sockets take connections already, and a slow name server must not hold up the rest.
    TRY(egress_->Run(std::move(egress), false, force));
  if (router.config.empty())
    router_->Stop();
  else
    TRY(router_->Run(std::move(router), true, force));
  return {};
}

Result<void> HaproxyRouter::Impl::Open() {
  if (options_.uid == 0) {
    struct passwd entry {};
    struct passwd* found = nullptr;
    std::vector<char> buffer(16384);
    ::getpwnam_r("haproxy", &entry, buffer.data(), buffer.size(), &found);
    options_.uid = found != nullptr ? found->pw_uid : 65534;
    options_.gid = found != nullptr ? found->pw_gid : 65534;
  }
  limits_.threads =
      options_.threads != 0 ? options_.threads : std::max(1u, std::thread::hardware_concurrency());
  limits_.hard_stop_after = options_.hard_stop_after;
  limits_.keep_alive_timeout = options_.keep_alive_timeout;
  struct rlimit files {};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0)
    // Two descriptors per connection, and some for checks and listeners.
    limits_.max_connections =
        static_cast<uint32_t>(std::clamp<rlim_t>(files.rlim_max / 2 - files.rlim_max / 16, 200, 20000));
  TRY(MakeDirectories(options_.directory));
  directory_ = TRY(OpenFile(options_.directory, O_PATH | O_DIRECTORY));
  if (::chmod(options_.directory.c_str(), 0711) < 0)
    return ErrnoError(errno, "set the mode of " + options_.directory.string());
  HaproxyProcess::Options process{options_.directory, directory_.get(),          options_.root_key,
                                  "router",           options_.router_namespace, options_.uid,
                                  options_.gid,       options_.start_timeout,    options_.hard_stop_after};
  router_ = TRY(HaproxyProcess::Open(process));
  process.role = "egress";
  process.network_namespace = -1;
  egress_ = TRY(HaproxyProcess::Open(process));
  auto inner = inner_.lock();
  TRY(ReadState(*inner));
  bool opened_any = false;
  for (const auto& [key, socket] : WantedSockets(inner->state)) {
    HaproxyProcess& holder = socket.kind == RouterSocket::Kind::kEgress ? *egress_ : *router_;
    auto taken = holder.Take(socket.number);
    if (taken && ListensAt(*taken, socket)) {
      inner->sockets[key] = std::make_shared<const Fd>(std::move(*taken));
    } else {
      inner->sockets[key] = TRY(OpenSocket(socket));
      opened_any = true;
    }
  }
  TRY(RunPlans(inner->state, inner->sockets, opened_any));
  if (inner->state.numbers.empty()) return {};
  inner->dirty = true;
  TRY(Follow(*inner, nullptr, true));
  std::vector<InstanceId> all;
  for (const auto& [id, environment] : inner->state.environments)
    for (const auto& [name, service] : environment.services)
      for (const RouterSet& set : service.sets)
        for (const RouterSlot& slot : set.slots)
          if (slot.instance) all.push_back(*slot.instance);
  return StartMeters(*inner, inner->state, all);
}

Result<void> HaproxyRouter::Impl::SetTopology(const EnvironmentId& environment,
                                              const platform::Topology& topology) {
  auto inner = inner_.lock();
  RouterState next = TRY(WithTopology(inner->state, environment, topology));
  if (next == inner->state && !inner->dirty) return {};
  const auto wanted = WantedSockets(next);
  Sockets sockets;
  for (const auto& [key, socket] : wanted) {
    const auto held = inner->sockets.find(key);
    sockets[key] = held != inner->sockets.end() ? held->second : TRY(OpenSocket(socket));
  }
  TRY(WriteState(next, Durability::kDurable));
  if (auto run = RunPlans(next, sockets, false); !run) {
    // Back to what there was; the message that counts is the first.
    static_cast<void>(WriteState(inner->state, Durability::kDurable).has_value());
    static_cast<void>(RunPlans(inner->state, inner->sockets, false).has_value());
    return run;
  }
  for (const auto& [key, fd] : inner->sockets)
    if (!wanted.contains(key) && key.starts_with("egress|"))
      ::unlinkat(directory_.get(), EgressSocketName(inner->state.numbers.at(key)).c_str(), 0);
  inner->state = std::move(next);
  inner->sockets = std::move(sockets);
  if (inner->state.numbers.empty()) return {};
  inner->dirty = true;
  return Follow(*inner, nullptr, true);
}

Result<bool> HaproxyRouter::Impl::TopologySettled() {
  const bool settled = TRY(router_->Settled());
  // An old egress process has no routes of its own; only its failure matters.
  TRY(egress_->Settled());
  return settled;
}

Result<std::string> HaproxyRouter::Impl::VirtualAddress(const EnvironmentId& environment,
                                                        const std::string& name) {
  auto inner = inner_.lock();
  const auto found = inner->state.environments.find(environment);
  if (found != inner->state.environments.end())
    if (const auto address = found->second.addresses.find(name); address != found->second.addresses.end())
      return address->second;
  return Error(Code::kNotFound, "the router knows no service or endpoint " + name.substr(0, 100) + " of " +
                                    environment.Render());
}

// --- run-time changes ---

Result<void> HaproxyRouter::Impl::PushServers(const RouterState& state, const RouterService* only) {
  struct Wanted {
    const RouterSlot* slot;
    uint16_t port;
  };
  std::map<std::string, Wanted> wanted;
  std::string question;
  for (const auto& [id, environment] : state.environments)
    for (const auto& service : environment.topology.services) {
      const RouterService& slots = environment.services.at(service.name);
      if (only != nullptr && only != &slots) continue;
      for (const auto& port : service.ports)
        for (size_t set = 0; set < kSetsPerService; ++set) {
          const std::string backend = BackendName(id, service.name, port.number, set);
          if (only != nullptr) question += "show servers state " + backend + ";";
          for (size_t i = 0; i < slots.sets[set].slots.size(); ++i)
            wanted[ServerName(backend, i)] = {&slots.sets[set].slots[i], port.number};
        }
    }
  if (wanted.empty()) return {};
  if (only == nullptr) question = "show servers state";
  const auto servers = TRY(ParseServersState(TRY(router_->Ask(question, kAskTimeout))));
  std::vector<std::string> commands;
  for (const auto& [name, want] : wanted) {
    const auto have = servers.find(name);
    if (have == servers.end()) return Error(Code::kInternal, "HAProxy has no server " + name);
    const ServerState& now = have->second;
    const std::string set = "set server " + name + " ";
    if (!want.slot->instance) {
      if (!now.maintenance) commands.push_back(set + "state maint");
      continue;
    }
    const bool moved = now.address != want.slot->address || now.port != want.port;
    if (moved) {
      if (!now.maintenance) commands.push_back(set + "state maint");
      commands.push_back(set + "addr " + want.slot->address + " port " + std::to_string(want.port));
    }
    if (want.slot->draining) {
      if (moved || now.maintenance || !now.drain) commands.push_back(set + "state drain");
    } else if (moved || now.maintenance || now.drain) {
      commands.push_back(set + "state ready");
      // It passed the health gate: three failed checks in a row are needed to doubt it, not one.
      commands.push_back(set + "health up");
    }
  }
  std::string line;
  for (size_t i = 0; i <= commands.size(); ++i) {
    if (!line.empty() && (i == commands.size() || line.size() + commands[i].size() > kCommandBytes)) {
      TRY(CheckChanged(TRY(router_->Ask(line, kAskTimeout))));
      line.clear();
    }
    if (i < commands.size()) line += (line.empty() ? "" : ";") + commands[i];
  }
  return {};
}

Result<void> HaproxyRouter::Impl::PushMap(const RouterState& state) {
  const std::string path = kMapPath;
  const std::string prepared = TRY(router_->Ask("prepare map " + path, kAskTimeout));
  constexpr std::string_view kCreated = "New version created: ";
  uint64_t version = 0;
  if (!prepared.starts_with(kCreated) ||
      std::from_chars(prepared.data() + kCreated.size(), prepared.data() + prepared.size(), version).ec !=
          std::errc())
    return Error(Code::kFailed, "HAProxy refuses a new route map: " + prepared.substr(0, 300));
  const std::string at = "@" + std::to_string(version) + " " + path;
  const std::string map = RenderMap(state);
  size_t begin = 0;
  while (begin < map.size()) {
    size_t end = std::min(begin + kCommandBytes, map.size());
    if (end < map.size()) end = map.rfind('\n', end - 1) + 1;
    TRY(CheckChanged(
        TRY(router_->Ask("add map " + at + " <<\n" + map.substr(begin, end - begin), kAskTimeout))));
    begin = end;
  }
  return CheckChanged(TRY(router_->Ask("commit map " + at, kAskTimeout)));
}

Result<void> HaproxyRouter::Impl::Follow(Inner& inner, const RouterService* only, bool map) {
  const bool all = inner.dirty;
  inner.dirty = true;
  router_->Update(RenderRouterConfig(inner.state, limits_, Servers::kNow), RenderMap(inner.state));
  TRY(Persistently([&]() -> Result<void> {
    if (all || only != nullptr) TRY(PushServers(inner.state, all ? nullptr : only));
    return map || all ? PushMap(inner.state) : Result<void>();
  }));
  inner.dirty = false;
  return {};
}

std::vector<std::string> HaproxyRouter::Impl::Backends(const SlotPlace& place, const FleetId& fleet) const {
  std::vector<std::string> names;
  if (place.service != nullptr)
    for (const auto& port : place.service->ports)
      names.push_back(BackendName(fleet.environment(), fleet.service(), port.number, place.set));
  return names;
}

Result<void> HaproxyRouter::Impl::StartMeters(Inner& inner, RouterState& state,
                                              const std::vector<InstanceId>& added) {
  if (added.empty()) return {};
  const uint64_t generation = router_->generation();
  const auto stats = TRY(Persistently([&]() -> Result<std::map<std::string, ServerStat>> {
    return ParseServerStats(TRY(router_->Ask("show stat -1 4 -1", kAskTimeout)));
  }));
  for (const InstanceId& instance : added) {
    const SlotPlace place = FindSlot(state, instance);
    Meter meter;
    Meter::Last& last = meter.last[generation];
    for (const std::string& backend : Backends(place, instance.fleet()))
      if (const auto stat = stats.find(ServerName(backend, place.index)); stat != stats.end()) {
        last.total += stat->second.total;
        last.errors += stat->second.responses_5xx;
      }
    inner.meters[instance] = std::move(meter);
  }
  return {};
}

Result<void> HaproxyRouter::Impl::SetServers(const FleetId& fleet,
                                             const std::vector<platform::Server>& servers) {
  auto inner = inner_.lock();
  RouterState next = inner->state;
  std::vector<InstanceId> added;
  TRY(AssignServers(next, fleet, servers, &added));
  if (next == inner->state && !inner->dirty) return {};
  if (router_->Running()) TRY(StartMeters(*inner, next, added));
  TRY(WriteState(next, Durability::kNone));
  inner->state = std::move(next);
  const auto environment = inner->state.environments.find(fleet.environment());
  if (environment == inner->state.environments.end()) return {};
  std::erase_if(inner->meters, [&](const auto& meter) {
    return meter.first.fleet() == fleet && FindSlot(inner->state, meter.first).slot == nullptr;
  });
  const auto service = environment->second.services.find(fleet.service());
  if (service == environment->second.services.end()) return {};
  return Follow(*inner, &service->second, false);
}

Result<void> HaproxyRouter::Impl::ApplyRoutes(
    const EnvironmentId& environment, const platform::RouteTable& routes,
    const std::map<FleetId, std::vector<platform::Server>>& askers) {
  auto inner = inner_.lock();
  auto entries = TRY(RouteEntries(inner->state, environment, routes, askers));
  const auto found = inner->state.environments.find(environment);
  if (found == inner->state.environments.end()) {
    if (entries.empty()) return {};
    return Error(Code::kNotFound, "the router has no topology of " + environment.Render());
  }
  if (found->second.entries == entries && !inner->dirty) return {};
  RouterState next = inner->state;
  next.environments[environment].entries = std::move(entries);
  TRY(WriteState(next, Durability::kNone));
  inner->state = std::move(next);
  return Follow(*inner, nullptr, true);
}

// --- observing ---

Result<std::map<InstanceId, platform::ServerCounters>> HaproxyRouter::Impl::Counters() {
  auto inner = inner_.lock();
  std::map<InstanceId, platform::ServerCounters> out;
  for (const auto& [id, environment] : inner->state.environments)
    for (const auto& [name, service] : environment.services)
      for (const RouterSet& set : service.sets)
        for (const RouterSlot& slot : set.slots)
          if (slot.instance) out[*slot.instance] = {};
  if (out.empty()) return out;
  std::vector<std::pair<uint64_t, std::map<std::string, ServerStat>>> processes;
  const uint64_t generation = router_->generation();
  processes.emplace_back(generation, TRY(Persistently([&]() -> Result<std::map<std::string, ServerStat>> {
                           return ParseServerStats(TRY(router_->Ask("show stat -1 4 -1", kAskTimeout)));
                         })));
  for (auto& [old, answer] : router_->AskOld("show stat -1 4 -1", kAskTimeout))
    if (auto stats = ParseServerStats(answer); stats) processes.emplace_back(old, std::move(*stats));
  for (auto& [instance, counters] : out) {
    const SlotPlace place = FindSlot(inner->state, instance);
    Meter& meter = inner->meters[instance];
    for (const auto& [process, stats] : processes) {
      Meter::Last sum;
      for (const std::string& backend : Backends(place, instance.fleet()))
        if (const auto stat = stats.find(ServerName(backend, place.index)); stat != stats.end()) {
          sum.total += stat->second.total;
          sum.errors += stat->second.responses_5xx;
          counters.in_flight += stat->second.current + stat->second.queued;
        }
      // An old process that the meter has not met had counted before the instance was set, or was read until
      // now.
      const auto last = meter.last.find(process);
      if (last != meter.last.end() || process == generation) {
        const Meter::Last before = last != meter.last.end() ? last->second : Meter::Last{};
        meter.requests += sum.total - std::min(sum.total, before.total);
        meter.errors += sum.errors - std::min(sum.errors, before.errors);
      }
      meter.last[process] = sum;
    }
    counters.requests = meter.requests;
    counters.errors_5xx = meter.errors;
  }
  return out;
}

Result<bool> HaproxyRouter::Impl::Drain(const InstanceId& instance) {
  auto inner = inner_.lock();
  const SlotPlace place = FindSlot(inner->state, instance);
  if (place.slot == nullptr) return true;
  if (!place.slot->draining || inner->dirty) {
    if (!place.slot->draining) {
      RouterState next = inner->state;
      FindSlot(next, instance).slot->draining = true;
      TRY(WriteState(next, Durability::kNone));
      place.slot->draining = true;
    }
    const auto& environment = inner->state.environments.at(instance.fleet().environment());
    TRY(Follow(*inner, &environment.services.at(instance.fleet().service()), false));
  }
  const auto backends = Backends(place, instance.fleet());
  if (backends.empty()) return true;
  if (router_->HasOld()) return false;
  std::string question;
  for (const std::string& backend : backends) question += "show stat " + backend + " 4 -1;";
  const auto stats = TRY(Persistently([&]() -> Result<std::map<std::string, ServerStat>> {
    return ParseServerStats(TRY(router_->Ask(question, kAskTimeout)));
  }));
  for (const std::string& backend : backends) {
    const auto stat = stats.find(ServerName(backend, place.index));
    if (stat == stats.end()) return Error(Code::kInternal, "HAProxy has no server of " + backend);
    if (stat->second.current + stat->second.queued != 0) return false;
  }
  return true;
}

Result<void> HaproxyRouter::Impl::Destroy() {
  auto inner = inner_.lock();
  router_->Kill();
  egress_->Kill();
  inner->state = {};
  inner->sockets.clear();
  inner->meters.clear();
  for (const std::string& name : TRY(ListDirectory(options_.directory)))
    TRY(RemoveTree(options_.directory / name));
  return {};
}

std::vector<int64_t> HaproxyRouter::Impl::ProcessIds() {
  std::vector<int64_t> pids = router_->Pids();
  for (const int64_t pid : egress_->Pids()) pids.push_back(pid);
  return pids;
}

// --- the class itself ---

HaproxyRouter::HaproxyRouter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HaproxyRouter::~HaproxyRouter() = default;

Result<std::unique_ptr<HaproxyRouter>> HaproxyRouter::Open(HaproxyOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  TRY(impl->Open());
  return std::unique_ptr<HaproxyRouter>(new HaproxyRouter(std::move(impl)));
}

Result<void> HaproxyRouter::SetTopology(const EnvironmentId& environment,
                                        const platform::Topology& topology) {
  return impl_->SetTopology(environment, topology);
}
Result<bool> HaproxyRouter::TopologySettled() {
  return impl_->TopologySettled();
}
Result<std::string> HaproxyRouter::VirtualAddress(const EnvironmentId& environment, const std::string& name) {
  return impl_->VirtualAddress(environment, name);
}
Result<void> HaproxyRouter::SetServers(const FleetId& fleet, const std::vector<platform::Server>& servers) {
  return impl_->SetServers(fleet, servers);
}
Result<void> HaproxyRouter::ApplyRoutes(const EnvironmentId& environment, const platform::RouteTable& routes,
                                        const std::map<FleetId, std::vector<platform::Server>>& askers) {
  return impl_->ApplyRoutes(environment, routes, askers);
}
Result<std::map<InstanceId, platform::ServerCounters>> HaproxyRouter::Counters() {
  return impl_->Counters();
}
Result<bool> HaproxyRouter::Drain(const InstanceId& instance) {
  return impl_->Drain(instance);
}
Result<void> HaproxyRouter::Destroy() {
  return impl_->Destroy();
}
std::vector<int64_t> HaproxyRouter::ProcessIds() {
  return impl_->ProcessIds();
}

}  // namespace ingot::adapters
