// What measures for this daemon: the checks of canaries, and the numbers that services are scaled by.
#pragma once

#include <functional>
#include <memory>

#include "adapters/curl.h"
#include "adapters/queue_watcher.h"
#include "adapters/step_checker.h"
#include "secrets/secret_store.h"

namespace ingot::app {

class Checks {
 public:
  // All of them outlive it. `on_change` is called, from any thread, when something was measured.
  Checks(const secrets::SecretStore& secrets, Clock& clock, std::function<void()> on_change);
  rollout::Checker& checker() { return checker_; }
  adapters::QueueWatcher& queues() { return queues_; }

 private:
  adapters::CurlHttp http_;
  adapters::CheckMeasurer measurer_;
  adapters::StepChecker checker_;
  adapters::QueueWatcher queues_;
};

}  // namespace ingot::app
