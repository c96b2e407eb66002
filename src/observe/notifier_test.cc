#include "observe/notifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::observe {
namespace {

using testing::ElementsAre;

class MemorySubscribers final : public Subscribers {
 public:
  Result<std::vector<Subscriber>> List() override { return *all_.lock(); }
  Result<void> Replace(const std::string& environment, const std::vector<Subscriber>& all) override {
    auto kept = all_.lock();
    std::erase_if(*kept, [&](const Subscriber& one) { return one.environment == environment; });
    kept->insert(kept->end(), all.begin(), all.end());
    return {};
  }
  Result<void> SetDelivered(const Subscriber& subscriber) override {
    auto kept = all_.lock();
    for (Subscriber& one : *kept)
      if (one.environment == subscriber.environment && one.id == subscriber.id)
        one.delivered = subscriber.delivered;
    return {};
  }

 private:
  Sync<std::vector<Subscriber>> all_;
};

class FakeCourier final : public Courier {
 public:
  Result<void> Deliver(const Subscriber& to, const audit::Event& event, const std::string&) override {
    auto state = state_.lock();
    if (state->failures > 0) {
      --state->failures;
      ++state->failed;
      changed_.notify_all();
      return Error(Code::kUnavailable, "nobody answers");
    }
    state->got.push_back(to.to.webhook + " " + event.kind);
    changed_.notify_all();
    return {};
  }
  void Fail(size_t times) { state_.lock()->failures = times; }
  std::vector<std::string> WaitFor(size_t count, size_t failed = 0) {
    auto state = state_.lock();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while ((state->got.size() < count || state->failed < failed) && std::chrono::steady_clock::now() < until)
      state.WaitFor(changed_, std::chrono::milliseconds(100));
    return state->got;
  }

 private:
  struct State {
    std::vector<std::string> got;
    size_t failures = 0;
    size_t failed = 0;
  };
  Sync<State> state_;
  std::condition_variable changed_;
};

class NotifierTest : public testing::Test {
 protected:
  void Start(Milliseconds give_up = std::chrono::hours(1)) {
    notifier_.reset();
    Notifier::Options options;
    options.first_retry = Milliseconds(1);
    options.give_up_after = give_up;
    auto started = Notifier::Start(events_, subscribers_, courier_, clock_, options);
    ASSERT_TRUE(started.has_value());
    notifier_ = std::move(*started);
  }
  void Happen(const std::string& kind, const std::string& environment = "shop/local") {
    audit::Draft draft;
    draft.environment = environment;
    draft.kind = kind;
    ASSERT_TRUE(events_.Append({draft}).has_value());
    if (notifier_) notifier_->Poke();
  }
  void Subscribe(std::vector<definition::ResolvedNotify> all) {
    ASSERT_TRUE(notifier_->Subscribe("shop/local", all).has_value());
  }
  static definition::ResolvedNotify Hook(const std::string& url, std::vector<std::string> on) {
    definition::ResolvedNotify to;
    to.webhook = url;
    to.on = std::move(on);
    return to;
  }

  SystemClock clock_;
  audit::MemorySink events_{clock_};
  MemorySubscribers subscribers_;
  FakeCourier courier_;
  std::unique_ptr<Notifier> notifier_;
};

TEST_F(NotifierTest, OnlyWhatWasAskedForInOrderFromThenOn) {
  Start();
  Happen("rollout.completed");
  Subscribe({Hook("a", {"rollout.reverted", "service"})});
  Happen("rollout.planned");
  Happen("rollout.reverted");
  Happen("rollout.reverted", "shop/other");
  Happen("service.degraded");
  EXPECT_THAT(courier_.WaitFor(2), ElementsAre("a rollout.reverted", "a service.degraded"));
}

TEST_F(NotifierTest, IsTriedUntilItIsTaken) {
  Start();
  Subscribe({Hook("a", {"rollout"})});
  courier_.Fail(5);
  Happen("rollout.planned");
  Happen("rollout.completed");
  EXPECT_THAT(courier_.WaitFor(2, 5), ElementsAre("a rollout.planned", "a rollout.completed"));
}

TEST_F(NotifierTest, WhatIsNotTakenForTooLongIsAnEventAndTheNextComes) {
  Start(Milliseconds(20));
  Subscribe({Hook("a", {"rollout", "notify"})});
  courier_.Fail(1000);
  Happen("rollout.planned");
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::vector<audit::Event> events;
  while (events.size() < 2 && std::chrono::steady_clock::now() < until) events = *events_.Read({});
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].kind, "notify.failed");
  courier_.Fail(0);
  Happen("rollout.completed");
  // And it is not told that it was not told.
  EXPECT_THAT(courier_.WaitFor(1), ElementsAre("a rollout.completed"));
}

TEST_F(NotifierTest, GoesOnAfterARestartWhereItWas) {
  Start();
  Subscribe({Hook("a", {"rollout"})});
  Happen("rollout.planned");
  EXPECT_EQ(courier_.WaitFor(1).size(), 1u);
  notifier_.reset();
  Happen("rollout.completed");
  Start();
  EXPECT_THAT(courier_.WaitFor(2), ElementsAre("a rollout.planned", "a rollout.completed"));
}

TEST_F(NotifierTest, WhoIsNoLongerNamedIsToldNoMoreAndTheOthersMissNothing) {
  Start();
  Subscribe({Hook("a", {"rollout"}), Hook("b", {"rollout"})});
  Happen("rollout.planned");
  EXPECT_EQ(courier_.WaitFor(2).size(), 2u);
  courier_.Fail(1'000'000);
  Happen("rollout.starting");
  Subscribe({Hook("b", {"rollout"}), Hook("c", {"rollout"})});
  courier_.Fail(0);
  Happen("rollout.completed");
  const auto got = courier_.WaitFor(5);
  EXPECT_THAT(got, testing::Contains("b rollout.starting"));
  EXPECT_THAT(got, testing::Contains("b rollout.completed"));
  EXPECT_THAT(got, testing::Contains("c rollout.completed"));
  EXPECT_THAT(got, testing::Not(testing::Contains("a rollout.completed")));
}

TEST(NotifierPayload, HasALineForPeople) {
  audit::Event event;
  event.environment = "shop/local";
  event.kind = "rollout.reverted";
  event.detail = JsonObject{{"rollout", 7}, {"reason", "web is not healthy"}};
  const Json json = *ParseJson(PayloadOf(event));
  EXPECT_EQ(StringOr(json.as_object(), "text", ""),
            "shop/local rollout.reverted rollout=7 reason=web is not healthy");
  EXPECT_EQ(StringOr(json.at("event").as_object(), "kind", ""), "rollout.reverted");
}

}  // namespace
}  // namespace ingot::observe
