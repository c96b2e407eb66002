#include "rollout/journal.h"

#include <algorithm>

namespace ingot::rollout {

Result<std::vector<EnvironmentState>> MemoryJournal::Load() {
  std::vector<EnvironmentState> out;
  for (const auto& [id, environment] : environments_)
    out.push_back(TRY(StateFromJson(TRY(ParseJson(environment.state)))));
  return out;
}

Result<void> MemoryJournal::Commit(const JournalStep& step) {
  Environment& environment = environments_[step.state->id];
  environment.state = RenderJson(ToJson(*step.state));
  if (step.new_revision) environment.revisions[step.new_revision->number] = step.new_revision;
  environment.finished.insert(environment.finished.end(), step.finished.begin(), step.finished.end());
  ++commits_;
  return {};
}

Result<plan::Revision> MemoryJournal::ReadRevision(const platform::EnvironmentId& environment,
                                                   uint64_t number) {
  const auto found = environments_.find(environment);
  if (found != environments_.end()) {
    const auto revision = found->second.revisions.find(number);
    if (revision != found->second.revisions.end()) return *revision->second;
  }
  return Error(Code::kNotFound, environment.Render() + " has no revision r" + std::to_string(number) +
                                    "; see `ingot history`");
}

Result<std::vector<plan::Revision>> MemoryJournal::ReadRevisions(const platform::EnvironmentId& environment,
                                                                 size_t limit) {
  std::vector<plan::Revision> out;
  const auto found = environments_.find(environment);
  if (found == environments_.end()) return out;
  const auto& revisions = found->second.revisions;
  for (auto it = revisions.rbegin(); it != revisions.rend() && out.size() < limit; ++it)
    out.push_back(*it->second);
  return out;
}

Result<std::vector<Rollout>> MemoryJournal::ReadHistory(const platform::EnvironmentId& environment,
                                                        size_t limit) {
  std::vector<Rollout> out;
  const auto found = environments_.find(environment);
  if (found == environments_.end()) return out;
  const auto& finished = found->second.finished;
  for (auto it = finished.rbegin(); it != finished.rend() && out.size() < limit; ++it) out.push_back(*it);
  return out;
}

void MemoryJournal::Trim(size_t keep) {
  for (auto& [id, environment] : environments_) {
    auto& finished = environment.finished;
    if (finished.size() > keep)
      finished.erase(finished.begin(), finished.end() - static_cast<std::ptrdiff_t>(keep));
    while (environment.revisions.size() > keep) environment.revisions.erase(environment.revisions.begin());
  }
}

}  // namespace ingot::rollout
