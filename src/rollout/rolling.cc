// Rolling: the new instances of a service take the places of the old ones in batches. What each side gets of
// the requests follows from how many instances it has, and moves before the old instances of a batch end.
#include <algorithm>

#include "rollout/members.h"
#include "rollout/phases.h"

namespace ingot::rollout {

namespace {

// Beside drain and grace, for the old instances of a batch to end.
constexpr Milliseconds kBatchSlack{30'000};

enum class Turn { kMoved, kWaits, kDone };

class Roll {
 public:
  Roll(Transition& t, const RollingService& service)
      : t_(t),
        service_(service),
        rollout_(*t.next.rollout),
        from_(t.next.live.at(*t.next.rollout->from)),
        to_(t.next.live.at(t.next.rollout->to)),
        all_new_(CountIn(to_)),
        all_old_(CountIn(from_)) {
    has_new_ = Limited(to_, all_new_);
    has_old_ = Limited(from_, all_old_);
  }

  bool Finished() const { return has_new_ == all_new_; }
  // How far it is, of 1.
  double Progress() const { return all_new_ == 0 ? 1 : static_cast<double>(has_new_) / all_new_; }

  // `held`: no further batch begins now.
  Turn Take(bool held) {
    if (CountReady(t_, service_.after) < has_new_) return Turn::kWaits;
    const uint32_t next = std::min(all_new_, has_new_ + service_.batch);
    const uint32_t keep = Kept(next);
    if (!Shared(keep)) return Turn::kMoved;
    if (!t_.RoutesInEffect()) return Turn::kWaits;
    if (has_old_ > keep) {
      from_.limits[service_.service] = keep;
      const plan::Fleet& fleet = *t_.next.RevisionOf(*rollout_.from).Find(service_.before);
      Extend(fleet.spec.drain + fleet.spec.grace + kBatchSlack);
      return Turn::kMoved;
    }
    if (Finished()) return Turn::kDone;
    if (held || Present(service_.before) > has_old_) return Turn::kWaits;
    if (next == all_new_)
      to_.limits.erase(service_.service);
    else
      to_.limits[service_.service] = next;
    AddInstances(t_, service_.after);
    Extend(StartLimit(*Target(t_.next).Find(service_.after), service_.batch));
    return Turn::kMoved;
  }

 private:
  uint32_t CountIn(const LiveRevision& live) const {
    const auto count = live.replicas.find(service_.service);
    return count == live.replicas.end() ? 0 : count->second;
  }
  uint32_t Limited(const LiveRevision& live, uint32_t count) const {
    const auto limit = live.limits.find(service_.service);
    return limit == live.limits.end() ? count : std::min(count, limit->second);
  }

  // How many old instances stay once the present new ones are ready, before there are `next`.
  uint32_t Kept(uint32_t next) const {
    if (Finished()) return 0;
    const auto less = [](uint32_t a, uint32_t b) { return a > b ? a - b : 0; };
    // The old ones keep the lowest members, and leave to the new ones as many as these are to be.
    if (service_.stateful) return std::min(has_old_, less(all_new_, next));
    const uint32_t count = std::max(all_new_, all_old_);
    // Without a surge the old ones make room first; of a service that is scaled to a batch none would serve.
    const uint32_t most = count + std::max(service_.surge, service_.batch >= count ? 1u : 0u);
    return std::min({has_old_, less(count, has_new_), less(most, next)});
  }

  // The share of the new ones beside so many old ones is journalled. False: it is now.
  bool Shared(uint32_t keep) {
    const uint32_t share = Finished()      ? 1000
                           : has_new_ == 0 ? 0
                                           : std::min(999u, 1000 * has_new_ / (has_new_ + keep));
    const auto [weight, fresh] = rollout_.weights.try_emplace(service_.service, 0);
    if (fresh) t_.Changed();
    if (weight->second == share) return true;
    weight->second = share;
    JsonObject detail = Describe(rollout_);
    detail["service"] = service_.service;
    detail["new"] = has_new_;
    detail["old"] = keep;
    detail["summary"] = std::to_string(has_new_) + " new, " + std::to_string(keep) + " old";
    t_.Record("rollout.batch", std::move(detail));
    Extend(kShiftLimit);
    return false;
  }

  uint32_t Present(const platform::FleetId& fleet) const {
    if (!t_.view.looked || t_.view.stale) return UINT32_MAX;
    uint32_t present = 0;
    for (auto it = t_.view.observed.lower_bound(platform::InstanceId(fleet, 0));
         it != t_.view.observed.end() && it->first.fleet() == fleet; ++it)
      ++present;
    return present;
  }

  void Extend(Milliseconds limit) {
    rollout_.deadline = std::max(rollout_.deadline, t_.now + limit);
    t_.Changed();
  }

  Transition& t_;
  const RollingService& service_;
  Rollout& rollout_;
  LiveRevision& from_;
  LiveRevision& to_;
  uint32_t all_new_;
  uint32_t all_old_;
  uint32_t has_new_ = 0;
  uint32_t has_old_ = 0;
};

}  // namespace

bool Rolling(Transition& t) {
  const Verdict verdict = Judge(t.next, t.view);
  if (!verdict.failure.empty()) return Fail(t, verdict.failure);
  if (const std::string why = t.RoutesHopeless(); !why.empty())
    return Fail(t, "traffic cannot be shifted: " + why);
  const std::vector<RollingService> services = RollingOf(t.next);
  for (const RollingService& service : services)
    if (const std::string why = Unstartable(t, service.after); !why.empty()) return Fail(t, why);
  const bool paused = !t.next.rollout->paused.empty();
  // Services that roll together keep step: requests that came to a new instance of one ask new ones of the
  // other.
  double slowest = 1;
  for (const RollingService& service : services) slowest = std::min(slowest, Roll(t, service).Progress());
  bool done = true;
  for (const RollingService& service : services) {
    Roll roll(t, service);
    const Turn turn = roll.Take(paused || roll.Progress() > slowest);
    if (turn == Turn::kMoved) return true;
    done = done && turn == Turn::kDone;
  }
  if (done && verdict.ready && !paused) return AfterRolling(t);
  if (paused) return false;
  return Late(t) && Fail(t, "a batch was not replaced in time" +
                                (verdict.waiting.empty() ? std::string() : ": " + verdict.waiting));
}

bool Unroll(Transition& t) {
  Rollout& rollout = *t.next.rollout;
  if (rollout.weights.empty()) return true;
  if (!t.view.looked) return false;
  for (const RollingService& service : RollingOf(t.next)) {
    const auto weight = rollout.weights.find(service.service);
    if (weight == rollout.weights.end()) continue;
    bool back = service.stateful && PutBack(t, service);
    const size_t old_ready = CountReady(t, service.before);
    const size_t new_ready = CountReady(t, service.after);
    if (!service.stateful)
      back = old_ready >= CountOf(t.next, service.before) || (old_ready > 0 && Late(t)) || new_ready == 0;
    if (back) {
      rollout.weights.erase(weight);
      t.Changed();
      continue;
    }
    const auto share =
        new_ready == 0 ? 0u : static_cast<uint32_t>(1000 * new_ready / (new_ready + old_ready));
    if (share == weight->second) continue;
    weight->second = share;
    t.Changed();
  }
  if (!rollout.weights.empty()) return false;
  LetGo(t.next, t.now, t.events);
  t.Changed();
  return true;
}

}  // namespace ingot::rollout
