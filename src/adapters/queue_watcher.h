// QueueWatcher: measures the numbers that services are scaled by, each on a thread of its own, so that a peer
// that hangs delays nobody but itself.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/check_measurer.h"
#include "base/clock.h"
#include "base/sync.h"

namespace ingot::adapters {

class QueueWatcher {
 public:
  // One measurement, which ends soon after `cancelled` is true; any thread.
  using Measure = std::function<Result<double>(const CheckTarget&, const definition::ResolvedCheck&,
                                               const std::atomic<bool>& cancelled)>;
  using Key = std::pair<platform::EnvironmentId, std::string>;  // a service

  // `clock` outlives it.
  QueueWatcher(Measure measure, Clock& clock);
  // Breaks off what is measured, and waits for it.
  ~QueueWatcher();
  QueueWatcher(const QueueWatcher&) = delete;
  QueueWatcher& operator=(const QueueWatcher&) = delete;

  // From now on these, each at once and then each `interval`, and no others. One thread.
  void Watch(const std::map<Key, definition::ResolvedCheck>& sources);
  // The number of the last measurement, or why there was none. kNotFound: nothing was measured yet;
  // kUnavailable: not for two intervals and a timeout. Of the same thread.
  Result<double> Last(const Key& key) const;

 private:
  struct Work;
  void Go(Work& work, const CheckTarget& target);

  const Measure measure_;
  Clock& clock_;
  std::map<Key, std::unique_ptr<Work>> works_;
  std::vector<std::unique_ptr<Work>> ended_;  // whose last measurements are not waited for yet
};

}  // namespace ingot::adapters
