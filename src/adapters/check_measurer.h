// CheckMeasurer: one measurement of a canary's check, by a Prometheus, an HTTP request or a command.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "base/subprocess.h"
#include "platform/fleet.h"
#include "registry/client_http.h"
#include "rollout/check.h"

namespace ingot::adapters {

// Whom a measurement is about.
struct CheckTarget {
  platform::EnvironmentId environment;
  rollout::CheckKey key;
  uint64_t revision = 0;
  std::string service;
};

class CheckMeasurer {
 public:
  using Secret =
      std::function<Result<std::string>(const platform::EnvironmentId&, const platform::SecretRef&)>;
  // `http` outlives it; `secret` is called by any thread.
  CheckMeasurer(registry::ClientHttp& http, Secret secret) : http_(http), secret_(std::move(secret)) {}

  // Takes at most the check's timeout, and not much longer than a second once `cancelled` is true. Any
  // thread. What cannot be measured is inconclusive, with a message that names the cause. A command runs as
  // root in / with the daemon's environment and INGOT_PROJECT, INGOT_ENVIRONMENT, INGOT_SERVICE,
  // INGOT_REVISION, INGOT_ROLLOUT, INGOT_STEP and INGOT_CHECK.
  rollout::Measurement Measure(const CheckTarget& target, const definition::ResolvedCheck& check,
                               const std::atomic<bool>& cancelled);
  // The number itself, of a Prometheus or of the last line that a command prints; likewise, but without the
  // variables of a rollout. The error names the cause.
  Result<double> MeasureNumber(const CheckTarget& target, const definition::ResolvedCheck& check,
                               const std::atomic<bool>& cancelled);

 private:
  struct Answer;
  Result<Answer> Ask(const CheckTarget& target, const definition::ResolvedCheck& check,
                     registry::ClientRequest request, const std::atomic<bool>& cancelled);
  Result<double> Prometheus(const CheckTarget& target, const definition::ResolvedCheck& check,
                            const std::atomic<bool>& cancelled);
  rollout::Measurement Http(const CheckTarget& target, const definition::ResolvedCheck& check,
                            const std::atomic<bool>& cancelled);
  static Result<CommandResult> Execute(const CheckTarget& target, const definition::ResolvedCheck& check,
                                       const std::atomic<bool>& cancelled);
  static rollout::Measurement Run(const CheckTarget& target, const definition::ResolvedCheck& check,
                                  const std::atomic<bool>& cancelled);

  registry::ClientHttp& http_;
  const Secret secret_;
};

// The value of an Authorization header: "Basic …" of USER:PASSWORD, "Bearer …" of anything else. A newline at
// the secret's end is no part of it.
std::string AuthorizationOf(std::string_view secret);

}  // namespace ingot::adapters
