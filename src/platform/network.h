// Network slots: a network namespace per instance, joined to the router's by a point-to-point link made ahead
// of need.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "platform/ids.h"

namespace ingot::platform {

struct Slot {
  uint32_t index = 0;
  std::string address;      // the instance's end, IPv4: how the router and the health gate reach it
  fs::path namespace_path;  // to enter with setns(2) or to hand to a runtime
};

class Network {
 public:
  virtual ~Network() = default;
  // A free slot for the instance, or the one it holds already. kNoSpace when the pool cannot grow.
  virtual Result<Slot> Acquire(const InstanceId& instance) = 0;
  // Gives it back; no process may be left in it. Not holding one is success.
  virtual Result<void> Release(const InstanceId& instance) = 0;
  virtual Result<std::vector<std::pair<InstanceId, Slot>>> Held() = 0;
  // A descriptor of the router's network namespace, where 198.18.0.0/15 is local; owned by the Network.
  virtual int router_namespace() const = 0;
};

}  // namespace ingot::platform
