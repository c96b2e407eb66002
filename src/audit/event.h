// The record of what happened: an append-only chain of events in which each holds the hash of the one before,
// so that nothing can be changed or taken out of the middle unseen. docs/formats/events.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace ingot::audit {

// What somebody wants recorded; the Sink adds place, time and hash.
struct Draft {
  // Names this event among all of its environment: a second Append of an equal (environment, key) does
  // nothing, so that a writer can repeat itself after a crash. Empty: always appended.
  std::string key;
  std::string environment;  // "shop/local"; empty: the host
  std::string kind;         // "rollout.shifting"
  std::string actor;        // who asked: "uid:0", "api:ops"; "ingot" for what it does by itself
  JsonObject detail;
  bool operator==(const Draft&) const = default;
};

struct Event {
  uint64_t sequence = 0;  // 1, 2, … without a gap, over all environments
  WallTime time{};
  std::string key;
  std::string environment;
  std::string kind;
  std::string actor;
  Json detail;
  std::string previous;  // hash of the event before; 64 zeros for the first
  std::string hash;      // 64 hexadecimal digits
  bool operator==(const Event&) const = default;
};

// SHA-256 of the canonical JSON of the event without `hash`.
std::string HashOf(const Event& event);
// The event that follows `previous_hash` as number `sequence`.
Event Chain(Draft draft, uint64_t sequence, const std::string& previous_hash, WallTime time);

// Inverses. kInvalid names the member.
Json ToJson(const Event& event);
Result<Event> EventFromJson(const Json& json);

inline constexpr const char* kFirstPrevious =
    "0000000000000000000000000000000000000000000000000000000000000000";

// That `events` is an unbroken piece of a chain, beginning after `previous` with number `first`. kCorrupt
// names the first event that does not fit. A chain whose end was cut off can only be told by a hash kept
// elsewhere.
Result<void> Verify(const std::vector<Event>& events, const std::string& previous = kFirstPrevious,
                    uint64_t first = 1);

}  // namespace ingot::audit
