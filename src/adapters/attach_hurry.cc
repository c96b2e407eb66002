#include "adapters/attach_hurry.h"

#include <fcntl.h>

#include <sstream>

namespace ingot::adapters {

namespace {

std::vector<std::string> SplitAt(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) out.push_back(word);
  return out;
}

// This process, to where it is already.
void MoveOurselves(const CgroupHost& host) {
  if (host.hierarchies.empty()) return;
  const CgroupHost::Hierarchy& hierarchy = host.hierarchies.front();
  const auto memberships = ReadFile("/proc/self/cgroup", 1 << 20);
  if (!memberships) return;
  // "4:pids:/group", or "0::/group" of cgroup v2.
  for (const std::string& line : SplitAt(*memberships, '\n')) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool found = host.mode == CgroupMode::kV2 ? controllers.empty()
                                                    : !hierarchy.controllers.empty() &&
                                                          SplitAt(controllers, ',') == hierarchy.controllers;
    if (!found) continue;
    const auto procs =
        OpenFile(hierarchy.mount.string() + line.substr(second + 1) + "/cgroup.procs", O_WRONLY);
    if (procs) static_cast<void>(WriteAll(procs->get(), "0").has_value());
    return;
  }
}

}  // namespace

AttachHurry::AttachHurry(CgroupHost host) : thread_([this, host = std::move(host)] { Loop(host); }) {}

AttachHurry::~AttachHurry() {
  state_.lock()->closing = true;
  wanted_.notify_all();
  thread_.join();
}

void AttachHurry::Announce() {
  state_.lock()->announced = true;
  wanted_.notify_one();
}

void AttachHurry::Loop(const CgroupHost& host) {
  while (true) {
    {
      auto state = state_.lock();
      while (!state->announced && !state->closing) state.Wait(wanted_);
      if (state->closing) return;
      state->announced = false;
    }
    MoveOurselves(host);
  }
}

}  // namespace ingot::adapters
