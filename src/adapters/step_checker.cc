#include "adapters/step_checker.h"

#include <thread>

#include "adapters/repetition.h"

namespace ingot::adapters {

struct StepChecker::Work {
  Sync<rollout::CheckRun> run;
  Repetition repetition;
  std::atomic<size_t> going = 0;
  std::vector<std::thread> threads;

  void Join() {
    for (std::thread& thread : threads) thread.join();
  }
};

StepChecker::StepChecker(Measure measure, Clock& clock, std::function<void()> on_change)
    : measure_(std::move(measure)), clock_(clock), on_change_(std::move(on_change)) {}

StepChecker::~StepChecker() {
  Works works;
  std::swap(works, *works_.lock());
  for (auto& [environment, work] : works.present) work->repetition.Cancel();
  for (auto& [environment, work] : works.present) work->Join();
  for (const auto& work : works.ended) work->Join();
}

void StepChecker::Begin(const platform::EnvironmentId& environment, const rollout::CheckOrder& order) {
  auto works = works_.lock();
  if (const auto found = works->present.find(environment);
      found != works->present.end() && found->second->run.lock()->key == order.key)
    return;
  EndPresent(*works, environment);
  auto work = std::make_unique<Work>();
  work->run.lock()->key = order.key;
  for (const auto& [service, checks] : order.checks) work->going += checks.size();
  for (const auto& [service, checks] : order.checks)
    for (const definition::ResolvedCheck& check : checks)
      work->threads.emplace_back([this, &work = *work,
                                  target = CheckTarget{environment, order.key, order.revision, service},
                                  check] {
        Go(work, target, check);
        --work.going;
      });
  works->present[environment] = std::move(work);
}

void StepChecker::Go(Work& work, const CheckTarget& target, const definition::ResolvedCheck& check) {
  work.repetition.Run("check", clock_, check.interval, [&] {
    rollout::Measurement measured = measure_(target, check, work.repetition.cancelled());
    if (work.repetition.cancelled()) return;  // it was broken off, and says nothing
    work.run.lock()->tallies[{target.service, check.name}].Add(std::move(measured));
    on_change_();
  });
}

std::optional<rollout::CheckRun> StepChecker::Look(const platform::EnvironmentId& environment) {
  auto works = works_.lock();
  std::erase_if(works->ended, [](const std::unique_ptr<Work>& work) {
    if (work->going > 0) return false;
    work->Join();
    return true;
  });
  const auto found = works->present.find(environment);
  if (found == works->present.end()) return std::nullopt;
  return *found->second->run.lock();
}

void StepChecker::End(const platform::EnvironmentId& environment) {
  EndPresent(*works_.lock(), environment);
}

void StepChecker::EndPresent(Works& works, const platform::EnvironmentId& environment) {
  const auto found = works.present.find(environment);
  if (found == works.present.end()) return;
  found->second->repetition.Cancel();
  works.ended.push_back(std::move(found->second));
  works.present.erase(found);
}

}  // namespace ingot::adapters
