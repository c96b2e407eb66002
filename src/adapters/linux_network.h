// The Network of a host: a router namespace and a pool of slots made ahead of need, by netlink, without a
// process.
//
// Slot n: a network namespace with lo and eth0 = 10.128.0.0 + 2n + 1 (/31), the other end "s<n>" = 10.128.0.0
// + 2n in the router namespace. The only route out of a slot is 198.18.0.0/15 via the router's end; the
// router namespace has no other interface and does not forward. All of it lives in namespaces, so several
// roots use the same addresses.
#pragma once

#include <memory>

#include "base/clock.h"
#include "base/file.h"
#include "platform/network.h"

namespace ingot::adapters {

class LinuxNetwork final : public platform::Network {
 public:
  struct Options {
    fs::path run_dir;         // namespaces are pinned in run_dir/ns
    uint32_t spare = 8;       // slots kept ready by a background thread
    uint32_t largest = 8192;  // slots in all
  };
  // Finds the router namespace and the slots that a former process made, or makes them. Slots are usable at
  // once; the pool fills in the background. kPermission when not root.
  static Result<std::unique_ptr<LinuxNetwork>> Open(const Options& options);
  // Whether a router namespace of this root is there.
  static bool IsThere(const fs::path& run_dir);
  // Removes every namespace of this root. No process may be left in one.
  static Result<void> Teardown(const fs::path& run_dir);
  // Ends the background thread; everything stays for the next process.
  ~LinuxNetwork() override;

  // Safe for several threads. Acquire makes a slot itself when none is ready.
  Result<platform::Slot> Acquire(const platform::InstanceId& instance) override;
  // Returns at once; the slot's namespace is destroyed and made anew before it is given to anybody else.
  Result<void> Release(const platform::InstanceId& instance) override;
  Result<std::vector<std::pair<platform::InstanceId, platform::Slot>>> Held() override;
  int router_namespace() const override;
  // Blocks until `spare` slots are ready; for benches and tests.
  Result<void> WaitUntilFilled(Milliseconds timeout);

 private:
  class Impl;
  explicit LinuxNetwork(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
