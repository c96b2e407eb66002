#include "audit/event.h"

#include <gtest/gtest.h>

#include "audit/sink.h"

namespace ingot::audit {
namespace {

Draft MakeDraft(std::string kind, std::string key = "") {
  return Draft{.key = std::move(key),
               .environment = "shop/local",
               .kind = std::move(kind),
               .actor = "uid:0",
               .detail = {{"to", "r2"}, {"n", 3}}};
}

std::vector<Event> ThreeEvents() {
  FakeClock clock;
  MemorySink sink(clock);
  EXPECT_TRUE(sink.Append({MakeDraft("a"), MakeDraft("b")}));
  clock.Advance(Milliseconds(5));
  EXPECT_TRUE(sink.Append({MakeDraft("c")}));
  return *sink.Read({});
}

TEST(Event, RoundTripsThroughJson) {
  for (const Event& event : ThreeEvents()) {
    auto parsed = EventFromJson(ToJson(event));
    ASSERT_TRUE(parsed) << parsed.error().Render();
    EXPECT_EQ(*parsed, event);
    // What was written as text and read again has the same hash: integers stay integers.
    auto again = EventFromJson(*ParseJson(RenderJson(ToJson(event))));
    ASSERT_TRUE(again);
    EXPECT_EQ(HashOf(*again), event.hash);
  }
}

TEST(Event, JsonWithoutAMemberIsInvalid) {
  const Event event = ThreeEvents()[0];
  for (const char* key :
       {"sequence", "time", "key", "environment", "kind", "actor", "detail", "previous", "hash"}) {
    Json json = ToJson(event);
    json.get_object().erase(key);
    auto parsed = EventFromJson(json);
    ASSERT_FALSE(parsed) << key;
    EXPECT_EQ(parsed.error().code(), Code::kInvalid);
  }
}

TEST(Chain, AnUntouchedOneVerifies) {
  const auto events = ThreeEvents();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].previous, kFirstPrevious);
  EXPECT_EQ(events[2].sequence, 3u);
  EXPECT_TRUE(Verify(events));
  EXPECT_TRUE(Verify({events[1], events[2]}, events[0].hash, 2));
}

TEST(Chain, EveryChangeIsFound) {
  const auto events = ThreeEvents();
  const auto corrupt = [](const std::vector<Event>& chain, uint64_t at) {
    auto verified = Verify(chain);
    ASSERT_FALSE(verified);
    EXPECT_EQ(verified.error().code(), Code::kCorrupt);
    EXPECT_NE(verified.error().message().find("event " + std::to_string(at) + " "), std::string::npos)
        << verified.error().message();
  };
  auto changed = events;
  changed[1].actor = "uid:1";
  corrupt(changed, 2);
  changed = events;
  changed[1].detail.get_object()["to"] = "r3";
  corrupt(changed, 2);
  changed[1].hash = HashOf(changed[1]);  // a forger who also computes the hash breaks the next link
  corrupt(changed, 3);
  changed = events;
  changed[0].time += Milliseconds(1);
  corrupt(changed, 1);
  corrupt({events[0], events[2]}, 3);
  corrupt({events[1], events[0], events[2]}, 2);
}

TEST(MemorySink, AnEventWithAKnownKeyIsLeftOut) {
  FakeClock clock;
  MemorySink sink(clock);
  ASSERT_TRUE(sink.Append({MakeDraft("a", "1.0"), MakeDraft("b", "1.1")}));
  ASSERT_TRUE(sink.Append({MakeDraft("b", "1.1"), MakeDraft("c", "2.0")}));
  auto events = *sink.Read({});
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].kind, "c");
  EXPECT_TRUE(Verify(events));
}

TEST(MemorySink, ReadsFromASequenceOnAndByEnvironment) {
  FakeClock clock;
  MemorySink sink(clock);
  Draft other = MakeDraft("x");
  other.environment = "shop/staging";
  ASSERT_TRUE(sink.Append({MakeDraft("a"), other, MakeDraft("b"), MakeDraft("c")}));
  auto events = *sink.Read({.after = 1, .limit = 1, .environment = "shop/local"});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, "b");
  EXPECT_EQ(*sink.Last(), 4u);
}

}  // namespace
}  // namespace ingot::audit
