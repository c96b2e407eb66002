// RenderPlan: a plan for people.
#include <map>
#include <set>

#include "base/units.h"
#include "plan/plan.h"

namespace ingot::plan {

namespace {

std::string Instances(uint32_t count) {
  return std::to_string(count) + (count == 1 ? " instance" : " instances");
}

// "2 instances + 1 spare"
std::string Instances(const FleetChange& change) {
  if (change.spares == 0) return Instances(change.replicas);
  return Instances(change.replicas) + " + " + std::to_string(change.spares) +
         (change.spares == 1 ? " spare" : " spares");
}

std::string Line(char mark, const std::string& text) {
  return std::string("  ") + mark + " " + text + "\n";
}

// `first`: nothing serves yet, so that nothing is replaced in any order.
std::string FleetLine(const FleetChange& change, bool first) {
  const std::string name = change.fleet.service() + "@" + change.fleet.digest();
  switch (change.action) {
    case FleetChange::Action::kStart: {
      std::string out =
          Line('+', "start  " + name + ", " + Instances(change) +
                        (first ? std::string()
                         : change.strategy == definition::Strategy::kRecreate
                             ? std::string(" (recreate: after the old ones have ended)")
                         : change.by_member ? std::string(" (member by member: each takes over its volumes)")
                         : change.strategy == definition::Strategy::kRolling
                             ? " (rolling: " + std::to_string(change.batch) + " at a time, at most " +
                                   std::to_string(change.surge) + " beyond the count)"
                             : ""));
      for (const std::string& difference : change.differences) out += "             " + difference + "\n";
      return out;
    }
    case FleetChange::Action::kKeep:
      return Line('=', "keep   " + name + ", " + Instances(change));
    case FleetChange::Action::kRetire:
      return Line('-', "retire " + name + ", " + Instances(change));
  }
  return "";
}

std::string RouteLines(const Plan& plan) {
  std::map<std::string, std::string> before;
  std::map<std::string, std::string> after;
  const auto shown = [](const platform::RouteTable::Outside& route) {
    const std::string target = route.fleet.service() + ":" + std::to_string(route.port);
    return route.server ? target + ", " + Render(*route.server) : target;
  };
  const auto from = [](const platform::RouteTable::Outside& route) {
    const std::string tls = route.tls ? " (TLS)" : "";
    return (route.listen.empty() ? route.host + route.path : route.listen) + tls;
  };
  for (const auto& route : plan.routes_before.outside) before[from(route)] = shown(route);
  for (const auto& route : plan.routes_after.outside) after[from(route)] = shown(route);
  std::string out;
  for (const auto& [listen, target] : after) {
    const auto former = before.find(listen);
    if (former == before.end())
      out += Line('+', "route  " + listen + " to " + target);
    else if (former->second != target)
      out += Line('~', "route  " + listen + " to " + target + " (was " + former->second + ")");
  }
  for (const auto& [listen, target] : before)
    if (!after.contains(listen)) out += Line('-', "route  " + listen + " (was to " + target + ")");
  return out;
}

std::string MigrationLines(const MigrationPlan& migration) {
  std::string out;
  if (!migration.command.empty()) {
    std::string words;
    for (const std::string& word : migration.command) words += " " + word;
    out += Line('>', "migrate " + migration.name + ": runs" + words);
  }
  for (const migrate::Step& step : migration.steps) {
    const std::string what = migration.name + ": " + step.script.file;
    switch (step.state) {
      case migrate::Step::State::kApplied:
        break;
      case migrate::Step::State::kPartial:
        out += Line('>', "migrate " + what + " (was begun, goes on)");
        break;
      case migrate::Step::State::kPending:
        out += Line('>', "migrate " + what + (step.late ? " (older than one that was applied)" : ""));
        break;
      case migrate::Step::State::kWaits:
        out += Line('>', "migrate " + what + " (contract: when no revision is left that does not know it)");
        break;
    }
  }
  return out;
}

std::string Tenths(uint32_t millicpus) {
  const uint32_t tenths = millicpus / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

std::string CpusFree(const Plan& plan) {
  if (!plan.millicpus_free) return "";
  return " of " + Tenths(*plan.millicpus_free) +
         (plan.peak_millicpus > *plan.millicpus_free ? " (they will share)" : "");
}

}  // namespace

std::string RenderPlan(const Plan& plan) {
  std::string out;
  for (const Conflict& conflict : plan.conflicts)
    out += Line('!', std::string(conflict.by_host ? "host name " : "listener ") + conflict.what +
                         " belongs to " + conflict.owner);
  for (const std::string& why : plan.unreachable) out += Line('!', why);
  if (plan.frozen)
    out += Line('!', "frozen until " + RenderTime(plan.frozen->until) + ": " + plan.frozen->reason);
  for (const MigrationPlan& migration : plan.migrations)
    for (const std::string& why : migration.problems)
      out += Line('!', "migration " + migration.name + ": " + why);
  if (!plan.moved_volume.empty()) out += Line('!', plan.moved_volume);
  for (const std::string& warning : plan.warnings) out += "  warning: " + warning + "\n";
  const std::string active = plan.active ? "r" + std::to_string(*plan.active) : "";
  if (plan.NothingToDo())
    return out + "Nothing to do: " + plan.environment.Render() + " is as declared (" + active + ").\n";

  std::string migrations;
  for (const MigrationPlan& migration : plan.migrations) migrations += MigrationLines(migration);

  uint32_t start = 0;
  uint32_t keep = 0;
  uint32_t retire = 0;
  std::string lines;
  for (const FleetChange& change : plan.fleets) {
    if (change.action == FleetChange::Action::kStart) ++start;
    if (change.action == FleetChange::Action::kKeep) ++keep;
    if (change.action == FleetChange::Action::kRetire) ++retire;
    lines += FleetLine(change, !plan.active);
  }
  for (const ScaleChange& scale : plan.scales)
    lines += Line('~', "scale  " + scale.service + " from " + std::to_string(scale.from) + " to " +
                           std::to_string(scale.to));
  for (const ScaleChange& change : plan.spares)
    lines += Line('~', "spares " + change.service + " from " + std::to_string(change.from) + " to " +
                           std::to_string(change.to));
  for (const BoundsNow& now : plan.bounds)
    lines += "    " + definition::Render(now.service, now.bounds, now.until) + "\n";
  if (plan.options_changed && plan.spares.empty())
    lines += Line('~', "change of how long old fleets are kept, by what they scale, or who may do what");
  if (plan.new_revision) lines += RouteLines(plan);
  if (!plan.steps.empty()) {
    size_t number = 0;
    lines += "\nTraffic moves in steps:\n";
    for (const ShiftStep& step : plan.steps)
      lines += "  " + std::to_string(++number) + ". " + Render(step) + "\n";
    lines += "  " + std::to_string(++number) + ". everything\n";
    if (!plan.checks.empty()) lines += "Each step is judged by checks:\n";
    for (const PlannedCheck& check : plan.checks) lines += "  " + Render(check) + "\n";
  }

  std::string waits;
  for (const auto& [role, within] : plan.approval)
    waits += Line('?', "wait for somebody of " + role + " to approve, at most " + RenderDuration(within));
  migrations = waits + migrations;

  out += plan.environment.Render() + ": " +
         (plan.new_revision ? (plan.active ? "a new revision after " + active : "the first revision")
                            : active + " stays") +
         "\n\n" + migrations + lines + "\nFleets: " + std::to_string(start) + " to start, " +
         std::to_string(keep) + " to keep, " + std::to_string(retire) + " to retire.";
  if (!plan.scales.empty()) out += " Scale: " + std::to_string(plan.scales.size()) + ".";
  out += " Peak while both run: " + RenderSize(plan.peak_memory_bytes) +
         (plan.memory_free_bytes ? " of " + RenderSize(*plan.memory_free_bytes) : "") + " memory" +
         (plan.peak_unbounded ? " and what services without a limit take" : "");
  if (plan.peak_millicpus > 0) out += ", " + Tenths(plan.peak_millicpus) + CpusFree(plan) + " CPUs";
  return out + ".\n";
}

}  // namespace ingot::plan
