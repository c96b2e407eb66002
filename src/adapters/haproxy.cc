#include "adapters/haproxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <thread>

#include "adapters/haproxy_impl.h"
#include "adapters/listeners.h"
#include "base/sha256.h"

namespace ingot::adapters {

using platform::EnvironmentId;
using platform::FleetId;
using platform::InstanceId;

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

// --- processes ---

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
  limits_.edge = options_.edge;
  // Other hosts have roots of the same name; a later daemon of this one has the same token.
  const std::string boot = TRY(ReadFile("/proc/sys/kernel/random/boot_id", 100));
  limits_.outside_token = Sha256Hex(options_.root_key + "|" + boot).substr(0, 16);
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
  inner->state.http = limits_.edge.http;
  inner->state.https = limits_.edge.https;
  TRY(CheckOwnListeners(inner->state));
  TRY(NumberSockets(inner->state));
  TRY(WriteMaintenance());
  TRY(WriteCertificates(limits_.edge.certificates));
  SocketChange change(TakeSockets(inner->state));
  const size_t taken = change.open().size();
  TRY(OpenSockets(inner->state, change));
  inner->sockets = change.wanted();
  TRY(RunPlans(inner->state, inner->sockets, change.open().size() > taken));
  change.Keep();
  if (inner->state.numbers.empty()) return {};
  inner->dirty = true;
  TRY(Follow(*inner, nullptr, true));
  // They may have been renewed while nobody was here to say so.
  if (UsesTls(inner->state)) TRY(TakeCertificates(*inner, true));
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
  SocketChange change(inner->sockets);
  TRY(OpenSockets(next, change));
  TRY(WriteState(next, Durability::kDurable));
  if (auto run = RunPlans(next, change.wanted(), false); !run) {
    // Back to what there was; the message that counts is the first.
    static_cast<void>(WriteState(inner->state, Durability::kDurable).has_value());
    static_cast<void>(RunPlans(inner->state, inner->sockets, false).has_value());
    return run;
  }
  change.Keep();
  // A number that was given back may be another's by now, whose socket has taken the name over.
  std::set<std::string> names;
  for (const auto& [key, socket] : wanted)
    if (socket.IsUnix()) names.insert(EgressSocketName(socket.number));
  for (const auto& [key, fd] : inner->sockets) {
    if (wanted.contains(key) ||
        !(key.starts_with("egress|") || key.starts_with("server|") || key.starts_with("return|")))
      continue;
    const std::string name = EgressSocketName(inner->state.numbers.at(key));
    if (!names.contains(name)) ::unlinkat(directory_.get(), name.c_str(), 0);
  }
  inner->state = std::move(next);
  inner->sockets = change.wanted();
  TellMirror(*inner);
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

Result<void> HaproxyRouter::Impl::Destroy() {
  auto inner = inner_.lock();
  router_->Kill();
  egress_->Kill();
  inner->state = {};
  inner->mirror.reset();
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
Result<std::map<FleetId, platform::FleetCounters>> HaproxyRouter::CountersOf(
    const std::vector<FleetId>& fleets, uint64_t rollout, uint32_t step) {
  return impl_->CountersOf(fleets, rollout, step);
}
Result<bool> HaproxyRouter::Drain(const InstanceId& instance) {
  return impl_->Drain(instance);
}
Result<void> HaproxyRouter::SetCertificates(const std::vector<std::string>& pems) {
  return impl_->SetCertificates(pems);
}
Result<void> HaproxyRouter::Destroy() {
  return impl_->Destroy();
}
std::vector<int64_t> HaproxyRouter::ProcessIds() {
  return impl_->ProcessIds();
}

}  // namespace ingot::adapters
