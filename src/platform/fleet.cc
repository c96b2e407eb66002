#include "platform/fleet.h"

#include <array>
#include <utility>

namespace ingot::platform {

namespace {
constexpr std::array<std::pair<InstanceState, std::string_view>, 8> kNames = {
    {{InstanceState::kStarting, "starting"},
     {InstanceState::kRunning, "running"},
     {InstanceState::kReady, "ready"},
     {InstanceState::kUnhealthy, "unhealthy"},
     {InstanceState::kExited, "exited"},
     {InstanceState::kFailed, "failed"},
     {InstanceState::kStopping, "stopping"},
     {InstanceState::kUnknown, "unknown"}}};
}  // namespace

std::string VolumeName(const std::string& volume, uint32_t member) {
  return volume + "-" + std::to_string(member);
}

std::vector<std::string> VolumesOf(const FleetSpec& fleet) {
  std::vector<std::string> out;
  if (!fleet.member) return out;
  for (const VolumeMount& volume : fleet.volumes) out.push_back(VolumeName(volume.name, *fleet.member));
  return out;
}

std::string_view StateName(InstanceState state) {
  for (const auto& [value, name] : kNames)
    if (value == state) return name;
  return "unknown";
}

Result<InstanceState> ParseState(std::string_view name) {
  for (const auto& [value, candidate] : kNames)
    if (candidate == name) return value;
  return Error(Code::kInvalid, "\"" + std::string(name) + "\" is not an instance state");
}

}  // namespace ingot::platform
