// Prober: the health gate. Probes instances from inside the router's network namespace, as the router will
// reach them, and says when one becomes ready or unhealthy.
//
// One thread owns every socket (epoll; thousands of targets); `run` probes go to a few worker threads. A peer
// can neither hold the thread nor make it buffer: an answer is judged by its status line, of which at most
// 256 bytes are read, within the probe's timeout.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "platform/fleet.h"

namespace ingot::adapters {

enum class Health {
  kReady,      // passed the ready probe (or has none), or passed the live probe again after kUnhealthy
  kUnhealthy,  // was ready, and failed the live probe `fails` times in a row
  kFailed,     // missed the deadline of its ready probe; it is no longer probed
};

struct ProbeTarget {
  platform::InstanceId instance;
  std::string address;         // IPv4 in the router's network namespace
  platform::Probe ready;       // kNone: ready at once
  platform::Probe live;        // kNone: never unhealthy
  bool already_ready = false;  // adopted after a restart of the daemon: begin with the live probe
  // It gets no requests yet, so that nobody would notice if it stopped answering: once it is ready, its ready
  // probe is asked on beside the live one (no more often than each second), and makes it unhealthy as that.
  bool held = false;
};

class Prober {
 public:
  // `reason` is for people: "GET /healthz: 503", "no answer within 1s". Called on the prober's thread, which
  // it must not block; it may call Watch and Unwatch.
  using OnChange = std::function<void(const platform::InstanceId&, Health health, const std::string& reason)>;
  // Runs a command inside an instance; its exit code.
  using Execute = std::function<Result<int>(const platform::InstanceId&, const std::vector<std::string>&,
                                            Milliseconds timeout)>;

  // The namespace's descriptor must outlive the prober; -1: the caller's own namespace.
  static Result<std::unique_ptr<Prober>> Start(int router_namespace, Execute execute, OnChange on_change);
  // Ends its threads; waits for `run` probes under way.
  ~Prober();

  // Starts probing at once. Watching an instance again replaces its target and starts over.
  Result<void> Watch(const ProbeTarget& target);
  // When it returns, no call of on_change for the instance is under way or will come (except when called from
  // on_change itself). Not watched is success.
  void Unwatch(const platform::InstanceId& instance);

 private:
  class Impl;
  explicit Prober(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
