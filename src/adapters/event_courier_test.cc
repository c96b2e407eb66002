#include "adapters/event_courier.h"

#include <gtest/gtest.h>

#include "adapters/sqlite_subscribers.h"

namespace ingot::adapters {
namespace {

TEST(EventCourierTest, SignsAsTheSpecificationsExample) {
  // The example of the specification's reference libraries.
  EXPECT_EQ(SignWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
                        "1614265330", R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(EventCourierTest, ACommandGetsTheEventAndMustEndWell) {
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "courier");
  SystemClock clock;
  class NoHttp final : public registry::ClientHttp {
    Result<registry::ClientResponse> Send(const registry::ClientRequest&, const Body&) override {
      return Error(Code::kInternal, "not asked for");
    }
  } http;
  EventCourier courier(http, clock, {});
  observe::Subscriber to;
  to.to.command = {"/bin/sh", "-c", "cat > " + (directory.path() / "got").string()};
  ASSERT_TRUE(courier.Deliver(to, {}, "{}").has_value());
  EXPECT_EQ(*ReadFile(directory.path() / "got"), "{}\n");
  to.to.command = {"/bin/false"};
  EXPECT_FALSE(courier.Deliver(to, {}, "{}").has_value());
}

TEST(StateDbSubscribers, AreThereWhenItIsOpenedAgain) {
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "subscribers");
  observe::Subscriber one{"shop/local", "1", {}, 7};
  one.to.webhook = "https://chat.example/hook";
  one.to.on = {"rollout"};
  one.to.secret = "hook";
  one.to.secret_version = "3";
  observe::Subscriber two{"shop/local", "2", {}, 8};
  two.to.command = {"/bin/true", "x"};
  two.to.on = {"rollout.reverted", "service"};
  {
    auto open = *SqliteSubscribers::Open(directory.path() / "state.db");
    ASSERT_TRUE(open->Replace("shop/local", {one, two}).has_value());
    ASSERT_TRUE(open->Replace("shop/other", {}).has_value());
    two.delivered = 9;
    ASSERT_TRUE(open->SetDelivered(two).has_value());
  }
  auto open = *SqliteSubscribers::Open(directory.path() / "state.db");
  const auto all = *open->List();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].to, one.to);
  EXPECT_EQ(all[1].to, two.to);
  EXPECT_EQ(all[1].delivered, 9u);
  ASSERT_TRUE(open->Replace("shop/local", {one}).has_value());
  EXPECT_EQ(open->List()->size(), 1u);
}

}  // namespace
}  // namespace ingot::adapters
