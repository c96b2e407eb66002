// Where events go and are read from.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "audit/event.h"
#include "base/sync.h"

namespace ingot::audit {

struct EventQuery {
  uint64_t after = 0;         // only events with a greater sequence
  size_t limit = 1000;        // at most so many, the earliest first
  std::string environment{};  // empty: all
};

// Safe to use from several threads.
class Sink {
 public:
  virtual ~Sink() = default;
  // Appends the events in order, all or none; durable when it returns. One whose (environment, key) is there
  // already is left out.
  virtual Result<void> Append(std::vector<Draft> drafts) = 0;
  virtual Result<std::vector<Event>> Read(const EventQuery& query) = 0;
  // The sequence of the last event; 0 when there is none.
  virtual Result<uint64_t> Last() = 0;
};

class MemorySink final : public Sink {
 public:
  // Times come from `clock`, which outlives the sink.
  explicit MemorySink(Clock& clock) : clock_(clock) {}
  Result<void> Append(std::vector<Draft> drafts) override;
  Result<std::vector<Event>> Read(const EventQuery& query) override;
  Result<uint64_t> Last() override;
  // --- for tests ---
  // The next calls of Append fail with it, until cleared.
  void FailAppend(std::optional<Error> error) { failure_ = std::move(error); }
  // Forgets all but the newest `keep` events (their keys stay).
  void Trim(size_t keep);

 private:
  struct State {
    std::vector<Event> events;
    std::set<std::pair<std::string, std::string>> keys;
    std::string last_hash = kFirstPrevious;
    uint64_t last = 0;
  };
  Clock& clock_;
  std::optional<Error> failure_;
  Sync<State> state_;
};

}  // namespace ingot::audit
