#include "adapters/queue_watcher.h"

#include <thread>

#include "adapters/repetition.h"

namespace ingot::adapters {

struct QueueWatcher::Work {
  struct Seen {
    std::optional<Result<double>> last;
    SteadyTime at{};
  };
  definition::ResolvedCheck source;
  Sync<Seen> seen;
  Repetition repetition;
  std::atomic<bool> over = false;
  std::thread thread;
};

QueueWatcher::QueueWatcher(Measure measure, Clock& clock) : measure_(std::move(measure)), clock_(clock) {}

QueueWatcher::~QueueWatcher() {
  for (auto& [key, work] : works_) work->repetition.Cancel();
  for (auto& [key, work] : works_) work->thread.join();
  for (auto& work : ended_) work->thread.join();
}

void QueueWatcher::Watch(const std::map<Key, definition::ResolvedCheck>& sources) {
  std::erase_if(ended_, [](const std::unique_ptr<Work>& work) {
    if (work->over) work->thread.join();
    return work->over.load();
  });
  for (auto at = works_.begin(); at != works_.end();) {
    const auto still = sources.find(at->first);
    if (still != sources.end() && still->second == at->second->source) {
      ++at;
      continue;
    }
    at->second->repetition.Cancel();
    ended_.push_back(std::move(at->second));
    at = works_.erase(at);
  }
  for (const auto& [key, source] : sources) {
    if (works_.contains(key)) continue;
    auto work = std::make_unique<Work>();
    work->source = source;
    const CheckTarget target{key.first, {}, 0, key.second};
    work->thread = std::thread([this, &work = *work, target] {
      Go(work, target);
      work.over = true;
    });
    works_[key] = std::move(work);
  }
}

void QueueWatcher::Go(Work& work, const CheckTarget& target) {
  work.repetition.Run("queue", clock_, work.source.interval, [&] {
    Result<double> measured = measure_(target, work.source, work.repetition.cancelled());
    auto seen = work.seen.lock();
    seen->last = std::move(measured);
    seen->at = clock_.Steady();
  });
}

Result<double> QueueWatcher::Last(const Key& key) const {
  const auto found = works_.find(key);
  if (found == works_.end()) return Error(Code::kUnavailable, "it is not watched");
  auto seen = found->second->seen.lock();
  if (!seen->last) return Error(Code::kNotFound, "it has not been measured yet");
  const definition::ResolvedCheck& source = found->second->source;
  if (clock_.Steady() - seen->at > 2 * source.interval + source.timeout)
    return Error(Code::kUnavailable, "the last measurement is too long ago");
  return *seen->last;
}

}  // namespace ingot::adapters
