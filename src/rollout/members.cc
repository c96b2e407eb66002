#include "rollout/members.h"

#include <algorithm>
#include <set>

#include "rollout/phases.h"

namespace ingot::rollout {

namespace {

// Beside drain and grace, for an instance to give its volumes back.
constexpr Milliseconds kGiveBackSlack{30'000};

const plan::Fleet* FleetIn(const EnvironmentState& state, const platform::FleetId& fleet) {
  const auto owner = OwnerOf(state, fleet);
  return owner ? state.RevisionOf(*owner).Find(fleet) : nullptr;
}

// The least one that no desired instance of the service is, in any of its fleets.
std::optional<uint32_t> FreeMember(const EnvironmentState& state, const platform::FleetId& id) {
  std::set<uint32_t> taken;
  for (const auto& [other, fleet] : state.fleets)
    if (other.service() == id.service())
      for (const DesiredInstance& instance : fleet.instances)
        if (instance.member) taken.insert(*instance.member);
  const uint32_t members = MembersOf(state, id);
  for (uint32_t member = 0; member < members; ++member)
    if (!taken.contains(member)) return member;
  return std::nullopt;
}

bool IsReady(const Transition& t, const platform::FleetId& id, const DesiredInstance& instance) {
  const platform::InstanceStatus* status = t.Observed(platform::InstanceId(id, instance.ordinal));
  return status != nullptr && status->state == platform::InstanceState::kReady;
}

void NoteStopping(Transition& t, const platform::FleetId& id, const DesiredInstance& instance) {
  t.Record("instance.stopping", {{"instance", platform::InstanceId(id, instance.ordinal).Render()}});
}

// "20261126T141026Z"
std::string Compact(WallTime time) {
  std::string out;
  for (const char c : RenderTime(time)) {
    if (c == '.') break;
    if (c != '-' && c != ':' && c != 'Z') out += c;
  }
  return out + "Z";
}

// The limits of both sides while members go back: what the new fleet has, and what it leaves to the old one.
void Divide(Transition& t, const RollingService& service, const FleetState& after) {
  LiveRevision& from = t.next.live.at(*t.next.rollout->from);
  LiveRevision& to = t.next.live.at(t.next.rollout->to);
  const uint32_t members = MembersOf(t.next, service.before);
  uint32_t held = 0;
  for (const DesiredInstance& instance : after.instances)
    if (instance.member && *instance.member < members) ++held;
  const auto set = [&](LiveRevision& live, uint32_t limit) {
    const auto [entry, is_new] = live.limits.try_emplace(service.service, limit);
    if (!is_new && entry->second == limit) return;
    entry->second = limit;
    t.Changed();
  };
  set(to, static_cast<uint32_t>(after.instances.size()));
  set(from, members - held);
}

}  // namespace

bool IsStateful(const EnvironmentState& state, const platform::FleetId& fleet) {
  const plan::Fleet* found = FleetIn(state, fleet);
  return found != nullptr && found->Stateful();
}

uint32_t MembersOf(const EnvironmentState& state, const platform::FleetId& fleet) {
  return UnlimitedCountOf(state, fleet);
}

bool AddInstance(Transition& t, const platform::FleetId& id) {
  const plan::Fleet* fleet = FleetIn(t.next, id);
  DesiredInstance instance;
  JsonObject detail;
  if (fleet != nullptr && fleet->Stateful()) {
    instance.member = FreeMember(t.next, id);
    if (!instance.member) return false;
    detail["member"] = *instance.member;
  }
  instance.ordinal = t.next.next_ordinal++;
  instance.asked = instance.since = t.now;
  detail["instance"] = platform::InstanceId(id, instance.ordinal).Render();
  t.next.fleets[id].instances.push_back(instance);
  t.Record("instance.starting", std::move(detail));
  return true;
}

void DropMembers(Transition& t, const platform::FleetId& id, FleetState& fleet, uint32_t count) {
  const uint32_t members = MembersOf(t.next, id);
  const plan::Fleet* found = FleetIn(t.next, id);
  const bool serves = t.next.active && t.next.RevisionOf(*t.next.active).Find(id) != nullptr;
  std::sort(fleet.instances.begin(), fleet.instances.end(),
            [](const DesiredInstance& a, const DesiredInstance& b) { return a.member < b.member; });
  while (!fleet.instances.empty()) {
    const DesiredInstance& last = fleet.instances.back();
    const bool beyond = last.member && *last.member >= members;
    if (fleet.instances.size() <= count && !beyond) break;
    NoteStopping(t, id, last);
    if (beyond && serves && found != nullptr)
      for (const platform::VolumeMount& volume : found->spec.volumes)
        t.Record("volume.kept", {{"service", id.service()},
                                 {"volume", platform::VolumeName(volume.name, *last.member)},
                                 {"summary", "its member is gone, its data stays"}});
    fleet.instances.pop_back();
    t.changed = true;
  }
}

platform::FleetSpec SpecOf(const Transition& t, const plan::Fleet& fleet, const DesiredInstance& instance) {
  platform::FleetSpec spec = fleet.spec;
  spec.held = instance.spare;
  if (!fleet.Stateful()) return spec;
  spec.member = instance.member;
  const auto& rollout = t.next.rollout;
  if (!rollout || rollout->phase == Phase::kReverting || rollout->phase == Phase::kBaking) return spec;
  const bool comes = t.next.RevisionOf(rollout->to).Find(spec.id) != nullptr;
  const bool was = rollout->from && t.next.live.contains(*rollout->from) &&
                   t.next.RevisionOf(*rollout->from).Find(spec.id) != nullptr;
  // One per rollout and member, however often its instance has to be started. The time tells it from one of
  // an environment of the same name that was destroyed.
  if (comes && !was && !fleet.rollout.snapshot.empty())
    spec.snapshot = {"before-r" + std::to_string(rollout->to) + "-" + Compact(rollout->created),
                     fleet.rollout.snapshot};
  return spec;
}

bool VolumesTaken(const Transition& t, const platform::FleetSpec& spec,
                  const platform::InstanceId& instance) {
  const std::vector<std::string> needed = platform::VolumesOf(spec);
  if (needed.empty()) return false;
  // What was started since the last look may have them.
  if (!t.view.looked || t.view.stale) return true;
  return std::any_of(t.view.observed.begin(), t.view.observed.end(), [&](const auto& entry) {
    return entry.first != instance &&
           std::any_of(entry.second.volumes.begin(), entry.second.volumes.end(), [&](const auto& volume) {
             return std::find(needed.begin(), needed.end(), volume) != needed.end();
           });
  });
}

bool PutBack(Transition& t, const RollingService& service) {
  FleetState& after = t.next.fleets[service.after];
  std::erase_if(after.instances, [&](const DesiredInstance& instance) {
    if (IsReady(t, service.after, instance)) return false;
    NoteStopping(t, service.after, instance);
    t.changed = true;
    return true;
  });
  Divide(t, service, after);
  const bool back = CountReady(t, service.before) >= CountOf(t.next, service.before);
  if (!back && !Late(t)) return false;
  if (after.instances.empty()) {
    t.next.live.at(*t.next.rollout->from).limits.erase(service.service);
    t.Changed();
    return true;
  }
  // The last that was replaced comes back first.
  const auto next = std::min_element(
      after.instances.begin(), after.instances.end(),
      [](const DesiredInstance& a, const DesiredInstance& b) { return a.member < b.member; });
  NoteStopping(t, service.after, *next);
  after.instances.erase(next);
  Divide(t, service, after);
  const plan::Fleet& before = *t.next.RevisionOf(*t.next.rollout->from).Find(service.before);
  const plan::Fleet& gone = *Target(t.next).Find(service.after);
  t.next.rollout->deadline = std::max(t.next.rollout->deadline, t.now + gone.spec.drain + gone.spec.grace +
                                                                    kGiveBackSlack + StartLimit(before, 1));
  t.Changed();
  return false;
}

void AwaitCopies(Transition& t) {
  const bool copies = std::any_of(t.view.observed.begin(), t.view.observed.end(),
                                  [](const auto& entry) { return entry.second.copying; });
  if (!copies) return;
  Milliseconds longest{0};
  for (const plan::Fleet& fleet : Target(t.next).fleets)
    longest = std::max(longest, fleet.spec.ready.deadline);
  const WallTime least = t.now + kStartSlack + longest;
  if (t.next.rollout->deadline >= least) return;
  // More than is needed now, so that it is not journalled at each look.
  t.next.rollout->deadline = least + kStartSlack;
  t.changed = true;
}

}  // namespace ingot::rollout
