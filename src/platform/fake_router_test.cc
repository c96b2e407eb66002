#include "platform/fake_router.h"

#include "platform/router_contract.h"

namespace ingot::platform {
namespace {

struct FakeHarness {
  FakeRouter fake;
  int used = 0;
  Router& router() { return fake; }
  std::string Listen() { return ":" + std::to_string(8000 + ++used); }
  Server Serve(const InstanceId& instance) { return {instance, "10.0.0." + std::to_string(++used)}; }
  std::string Asker() { return "10.1.0." + std::to_string(++used); }
  std::optional<InstanceId> Request(const std::string& listen) { return fake.Request(listen); }
  std::optional<InstanceId> RequestFrom(const std::string& address, const std::string& service) {
    return fake.RequestFrom(address, service);
  }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Fake, RouterContract, FakeHarness);

TEST(FakeRouter, FailsWhenTold) {
  FakeRouter router;
  router.Fail("Counters", Error(Code::kUnavailable, "gone"));
  EXPECT_EQ(router.Counters().error().code(), Code::kUnavailable);
  router.Fail("Counters", std::nullopt);
  EXPECT_TRUE(router.Counters());
}

}  // namespace
}  // namespace ingot::platform
