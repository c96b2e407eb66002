// Makes the next start of a container quicker. Moving a process into a cgroup makes the kernel wait until all
// processors have passed a quiet point (an RCU grace period: 11 ms measured), unless another move has just
// waited for one. So such a move is made as a start begins, while mounts and conmon are made, and crun's own
// comes after it.
#pragma once

#include <condition_variable>
#include <thread>

#include "adapters/cgroup.h"
#include "base/sync.h"

namespace ingot::adapters {

class AttachHurry {
 public:
  explicit AttachHurry(CgroupHost host);
  AttachHurry(const AttachHurry&) = delete;
  AttachHurry& operator=(const AttachHurry&) = delete;
  ~AttachHurry();  // waits for a move under way
  // A container is going to be started within some 10 ms. Returns at once; what fails costs only time. Any
  // thread.
  void Announce();

 private:
  struct State {
    bool announced = false;
    bool closing = false;
  };
  void Loop(const CgroupHost& host);

  Sync<State> state_;
  std::condition_variable wanted_;
  std::thread thread_;
};

}  // namespace ingot::adapters
