#include "jobs/journal.h"

namespace ingot::jobs {

Result<std::vector<State>> MemoryJournal::Load() {
  std::vector<State> out;
  for (const auto& [id, environment] : environments_) {
    if (environment.state.empty()) continue;  // it was only asked about
    State state = TRY(StateFromJson(TRY(ParseJson(environment.state))));
    for (const auto& [number, text] : environment.runs) {
      Run run = TRY(RunFromJson(TRY(ParseJson(text))));
      if (run.open()) state.runs.emplace(number, std::move(run));
    }
    out.push_back(std::move(state));
  }
  return out;
}

Result<void> MemoryJournal::Commit(const JournalStep& step) {
  Environment& environment = environments_[step.state->id];
  environment.state = RenderJson(ToJson(*step.state));
  for (const Run* run : step.changed) environment.runs[run->id] = RenderJson(ToJson(*run));
  return {};
}

Result<Run> MemoryJournal::Read(const platform::EnvironmentId& environment, uint64_t run) {
  const auto& runs = environments_[environment].runs;
  const auto found = runs.find(run);
  if (found == runs.end()) return Error(Code::kNotFound, "no run " + std::to_string(run));
  return RunFromJson(TRY(ParseJson(found->second)));
}

Result<std::vector<Run>> MemoryJournal::List(const platform::EnvironmentId& environment,
                                             const std::string& job, size_t limit) {
  std::vector<Run> out;
  const auto& runs = environments_[environment].runs;
  for (auto it = runs.rbegin(); it != runs.rend() && out.size() < limit; ++it) {
    Run run = TRY(RunFromJson(TRY(ParseJson(it->second))));
    if (job.empty() || run.job == job) out.push_back(std::move(run));
  }
  return out;
}

Result<std::vector<Run>> MemoryJournal::Old(const platform::EnvironmentId& environment,
                                            const std::string& job, size_t keep) {
  std::vector<Run> out;
  size_t newer = 0;
  for (Run& run : TRY(List(environment, job, SIZE_MAX)))
    if (!run.open() && newer++ >= keep && out.size() < 100) out.push_back(std::move(run));
  return out;
}

Result<void> MemoryJournal::Forget(const platform::EnvironmentId& environment,
                                   const std::vector<uint64_t>& runs) {
  for (const uint64_t run : runs) environments_[environment].runs.erase(run);
  return {};
}

}  // namespace ingot::jobs
