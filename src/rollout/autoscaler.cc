#include "rollout/autoscaler.h"

#include <algorithm>
#include <cmath>

namespace ingot::rollout {

namespace {

// Rates are over so long: shorter is noise, longer is late.
constexpr Milliseconds kRateWindow{5'000};
// A rate needs two looks that are so far apart.
constexpr Milliseconds kLeastRateWindow{900};
// Between two looks.
constexpr Milliseconds kLongestGap{5'000};
// So near to a target nothing is changed, else counts would swing.
constexpr double kScaleTolerance = 0.1;

// What one instance takes of each target, in the target's unit.
struct InstanceLoad {
  std::optional<double> cpu;       // percent
  std::optional<double> memory;    // percent
  std::optional<double> requests;  // per second
};

std::optional<double> PerSecond(const std::optional<uint64_t>& from, const std::optional<uint64_t>& to,
                                double seconds) {
  // A counter that runs backwards has begun anew.
  if (!from || !to || *to < *from) return std::nullopt;
  return static_cast<double>(*to - *from) / seconds;
}

std::string WholeNumber(double value) {
  return std::to_string(std::lround(value));
}

std::string SoManyInstances(size_t count) {
  return std::to_string(count) + (count == 1 ? " instance" : " instances");
}

}  // namespace

void Autoscaler::Remember(const ScaledService& service,
                          const std::map<platform::InstanceId, platform::InstanceUsage>& usage,
                          SteadyTime now) {
  std::erase_if(seen_, [&](const auto& entry) { return !service.ready.contains(entry.first); });
  for (const platform::InstanceId& id : service.ready) {
    const auto found = usage.find(id);
    if (found == usage.end()) {
      seen_.erase(id);
      continue;
    }
    std::deque<Seen>& seen = seen_[id];
    // The first of those that are older than the window is where it begins.
    while (seen.size() > 1 && now - seen[1].at >= kRateWindow) seen.pop_front();
    seen.push_back({now, found->second});
  }
}

Autoscaler::Load Autoscaler::LoadOf(const ScaledService& service) const {
  std::vector<InstanceLoad> shares;
  for (const auto& [id, seen] : seen_) {
    const std::chrono::duration<double> window = seen.back().at - seen.front().at;
    if (window < kLeastRateWindow) continue;
    const platform::InstanceUsage& from = seen.front().usage;
    const platform::InstanceUsage& to = seen.back().usage;
    InstanceLoad share;
    const double cpus = service.limits.millicpus == 0 ? 1 : service.limits.millicpus / 1000.0;
    if (const auto rate = PerSecond(from.cpu_us, to.cpu_us, window.count())) share.cpu = *rate / 1e4 / cpus;
    if (to.memory_bytes && service.limits.memory_bytes > 0)
      share.memory =
          100.0 * static_cast<double>(*to.memory_bytes) / static_cast<double>(service.limits.memory_bytes);
    share.requests = PerSecond(from.requests, to.requests, window.count());
    shares.push_back(share);
  }
  Load load;
  // Who is scaled by a queue alone need not be measured himself.
  const bool by_load = service.scale.HasLoadTarget() || !service.scale.queue;
  load.known = by_load && !shares.empty();
  load.blind = by_load && shares.size() < service.ready.size();
  // `sum` of something of which `target` is one instance's.
  const auto need = [&](double sum, uint32_t target, const std::string& reason) {
    const double fair = sum / target;  // instances at the target exactly
    // Many more are asked for only in several looks.
    auto needed = static_cast<uint32_t>(std::ceil(std::clamp(fair, 0.0, 1e6) - 1e-9));
    // As it is now, when that is near enough.
    if (std::abs(fair / service.count - 1) <= kScaleTolerance) needed = service.count;
    if (needed <= load.needed) return;
    load.needed = needed;
    load.reason = reason;
  };
  const auto judge = [&](uint32_t target, std::optional<double> InstanceLoad::*member,
                         const std::string& name, const std::string& unit) {
    if (target == 0) return;
    double sum = 0;
    size_t known = 0;
    for (const InstanceLoad& share : shares)
      if (const auto& value = share.*member) {
        sum += *value;
        ++known;
      }
    load.blind = load.blind || known < shares.size();
    if (known == 0) return;
    need(sum, target,
         name + " " + WholeNumber(sum / static_cast<double>(known)) + unit + " where " +
             std::to_string(target) + unit + " are wanted, over " + SoManyInstances(known));
  };
  judge(service.scale.cpu, &InstanceLoad::cpu, "cpu", " %");
  judge(service.scale.memory, &InstanceLoad::memory, "memory", " %");
  judge(service.scale.requests, &InstanceLoad::requests, "requests", "/s");
  if (const auto& queue = service.scale.queue) {
    load.known = load.known || service.queue;
    load.blind = load.blind || !service.queue;
    if (service.queue)
      need(*service.queue, queue->each,
           "queue " + WholeNumber(*service.queue) + ", of which " + std::to_string(queue->each) +
               " are one instance's");
  }
  if (load.reason.empty()) load.reason = "no load";
  return load;
}

std::optional<ScaleVerdict> Autoscaler::Look(
    const ScaledService& service, const std::map<platform::InstanceId, platform::InstanceUsage>& usage,
    SteadyTime now) {
  const definition::ResolvedScale& scale = service.scale;
  const uint32_t bounded = std::clamp(service.count, scale.min, scale.max);
  if (bounded != service.count) {
    std::string reason = "the bounds are " + std::to_string(scale.min) + " to " + std::to_string(scale.max);
    if (!service.schedule.empty()) reason += " by \"" + service.schedule + "\"";
    return ScaleVerdict{bounded, std::move(reason)};
  }
  // Nobody looked for a while, or could: what was enough meanwhile is not known.
  if (looked_ && now - *looked_ > kLongestGap) {
    since_.reset();
    needs_.clear();
    seen_.clear();
  }
  looked_ = now;
  Remember(service, usage, now);
  const Load load = LoadOf(service);
  if (!load.known || load.blind || service.ready.size() < service.count) {
    // Nobody knows that fewer would be enough: the cooldown begins anew.
    since_.reset();
    needs_.clear();
  } else {
    if (!since_) since_ = now;
    while (!needs_.empty() && now - needs_.front().at > scale.cooldown) needs_.pop_front();
    needs_.push_back({now, load.needed});
  }
  if (!load.known) return std::nullopt;
  // At most twice as many at once, and four: what the first of them take off is not known yet.
  const uint32_t most = std::max(2 * service.count, service.count + 4);
  const uint32_t up = std::min({load.needed, most, scale.max});
  if (up > service.count) return ScaleVerdict{up, load.reason};
  if (!since_ || now - *since_ < scale.cooldown) return std::nullopt;
  uint32_t enough = scale.min;
  for (const Need& need : needs_) enough = std::max(enough, need.count);
  if (enough >= service.count) return std::nullopt;
  return ScaleVerdict{enough, load.reason};
}

}  // namespace ingot::rollout
