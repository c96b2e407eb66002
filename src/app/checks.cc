#include "app/checks.h"

#include "app/version.h"

namespace ingot::app {

namespace {

// Each measurement has a limit of its own, which is at most this.
constexpr Milliseconds kLongestMeasurement{600'000};

adapters::CurlHttp::Options CheckHttp() {
  adapters::CurlHttp::Options options;
  options.connect_timeout = kLongestMeasurement;
  options.answer_timeout = kLongestMeasurement;
  options.stall_timeout = kLongestMeasurement;
  options.user_agent = std::string("ingot/") + kVersion;
  return options;
}

}  // namespace

Checks::Checks(const secrets::SecretStore& secrets, Clock& clock, std::function<void()> on_change)
    : http_(CheckHttp()),
      measurer_(http_, [&secrets](const platform::EnvironmentId& environment,
                                  const platform::SecretRef& ref) { return secrets.Get(environment, ref); }),
      checker_([this](const auto& target, const auto& check,
                      const auto& cancelled) { return measurer_.Measure(target, check, cancelled); },
               clock, std::move(on_change)),
      queues_([this](const auto& target, const auto& source,
                     const auto& cancelled) { return measurer_.MeasureNumber(target, source, cancelled); },
              clock) {}

}  // namespace ingot::app
