// Copies of requests to a fleet that serves nobody, by the real HAProxy.
#include "adapters/haproxy_mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <functional>
#include <thread>

#include "adapters/haproxy.h"
#include "adapters/haproxy_config.h"
#include "adapters/haproxy_test_rig.h"
#include "adapters/mirror_rules.h"
#include "platform/router_contract.h"

namespace ingot::adapters {
namespace {

using platform::RouteTable;
using platform::ShadowCounters;
using platform::Topology;
using test::TestClient;

class HaproxyMirrorTest : public test::WebRouterTest {
 protected:
  void Prepare(Topology::Shadow shadow, const std::string& name_of_new = "1") {
    Topology::Service web = Service();
    web.shadow = std::move(shadow);
    Serve(Declared(std::move(web)), "1", name_of_new);
    RouteTable table;
    table.outside = {{Listen(), Web(1), 8080, platform::Protocol::kHttp}};
    ROUTER_OK(router().ApplyRoutes(kShop, table, {}));
  }
  void CopyShare(uint32_t per_mille, uint32_t step = 1) {
    RouteTable table;
    table.outside = {
        {Listen(), Web(1), 8080, platform::Protocol::kHttp, platform::Share{Web(2), 0, per_mille}}};
    table.rollout = 5;
    table.step = step;
    ROUTER_OK(router().ApplyRoutes(kShop, table, {}));
  }
  // So many requests, each of which has to be answered by the first fleet.
  void Ask(int requests, size_t body_bytes = 0) {
    TestClient client("127.0.0.1", port_);
    for (int i = 0; i < requests; ++i) {
      const auto answer = client.Ask(body_bytes);
      EXPECT_EQ(answer.status, rig_.server(0).status.load());
      EXPECT_EQ(answer.body, "1 " + std::to_string(body_bytes));
    }
  }
  // The counts, once they are as wanted, or after 3 s.
  ShadowCounters WaitFor(const std::function<bool(const ShadowCounters&)>& wanted, uint32_t step = 1) {
    for (int i = 0;; ++i) {
      auto counted = router().CountersOf({Web(1), Web(2)}, 5, step);
      EXPECT_TRUE(counted.has_value()) << counted.error().Render();
      if (!counted) return {};
      EXPECT_EQ(counted->at(Web(1)).shadow, ShadowCounters{});
      if (wanted(counted->at(Web(2)).shadow) || i == 150) return counted->at(Web(2)).shadow;
      std::this_thread::sleep_for(Milliseconds(20));
    }
  }
  static Topology::Shadow Gets(bool bodies = true, Milliseconds timeout = Milliseconds(2'000)) {
    return {{"GET", "HEAD", "OPTIONS"}, bodies, timeout};
  }
};

TEST_F(HaproxyMirrorTest, EqualAnswersAreCountedAsTheSame) {
  Prepare(Gets());
  Ask(5);
  CopyShare(1000);
  Ask(40);
  const ShadowCounters counted = WaitFor([](const auto& now) { return now.same >= 40; });
  EXPECT_EQ(counted.same, 40u);
  EXPECT_EQ(counted.Over(), 40u);
  EXPECT_EQ(counted.skipped, 0u);
  EXPECT_EQ(rig_.server(0).served, 45u);
  EXPECT_EQ(rig_.server(1).served, 40u);
}

TEST_F(HaproxyMirrorTest, AnotherStatusAndAnotherBodyAreDifferences) {
  Prepare(Gets(), "2");
  CopyShare(1000);
  Ask(10);
  ShadowCounters counted = WaitFor([](const auto& now) { return now.other_body >= 10; });
  EXPECT_EQ(counted.other_body, 10u);
  EXPECT_THAT(counted.examples, ::testing::Contains("GET /: 200, another body"));
  rig_.server(1).status = 500;
  // The next step counts anew.
  CopyShare(1000, 2);
  Ask(10);
  counted = WaitFor([](const auto& now) { return now.other_status >= 10; }, 2);
  EXPECT_EQ(counted.other_status, 10u);
  EXPECT_EQ(counted.other_body, 0u);
  EXPECT_THAT(counted.examples, ::testing::Contains("GET /: 200, new 500"));
}

TEST_F(HaproxyMirrorTest, StatusesAloneWhereThatIsSaid) {
  Prepare(Gets(false), "2");
  CopyShare(1000);
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 10; }).same, 10u);
}

TEST_F(HaproxyMirrorTest, AShareIsAShare) {
  Prepare(Gets());
  CopyShare(250);
  Ask(400);
  const ShadowCounters counted =
      WaitFor([](const auto& now) { return now.same >= 60 && now.in_flight == 0; });
  EXPECT_GT(counted.same, 55u);  // 100 are expected, with a standard deviation of 8.7
  EXPECT_LT(counted.same, 145u);
}

TEST_F(HaproxyMirrorTest, WhatChangesSomethingIsNotCopiedUnlessItIsAskedFor) {
  Prepare(Gets());
  CopyShare(1000);
  Ask(10, 20);
  Ask(1);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 1; }).Over(), 1u);
  EXPECT_EQ(rig_.server(1).served, 1u);
}

TEST_F(HaproxyMirrorTest, ABodyIsCopiedWithIt) {
  Prepare({{"GET", "POST"}, true, Milliseconds(2'000)});
  CopyShare(1000);
  Ask(10, 20);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 10; }).same, 10u);
  // Too large: said, and not sent.
  Ask(3, 20'000);
  const ShadowCounters counted = WaitFor([](const auto& now) { return now.skipped >= 3; });
  EXPECT_EQ(counted.skipped, 3u);
  EXPECT_EQ(rig_.server(1).served, 10u);
}

TEST_F(HaproxyMirrorTest, AFleetThatHangsHoldsUpNobody) {
  Prepare(Gets(true, Milliseconds(200)));
  rig_.server(1).delay_ms = 1'000;
  CopyShare(1000);
  const auto begin = std::chrono::steady_clock::now();
  Ask(300);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, Milliseconds(20'000));
  const ShadowCounters counted =
      WaitFor([](const auto& now) { return now.timed_out > 50 && now.in_flight == 0; });
  EXPECT_GT(counted.timed_out, 50u);
  EXPECT_EQ(counted.same, 0u);
  EXPECT_EQ(counted.timed_out + counted.skipped, 300u) << "each is accounted for";
}

TEST_F(HaproxyMirrorTest, AFleetThatIsGoneFailsOrIsSkipped) {
  Prepare(Gets());
  CopyShare(1000);
  rig_.EndServer(1);
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.failed >= 10; }).failed, 10u);
  ROUTER_OK(router().SetServers(Web(2), {}));
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.skipped >= 10; }).skipped, 10u);
}

TEST_F(HaproxyMirrorTest, CopiesGoOnAfterHaproxyAndItsDaemonDied) {
  Prepare(Gets());
  CopyShare(1000);
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 10; }).same, 10u);
  const std::vector<int64_t> pids = router().ProcessIds();
  ASSERT_FALSE(pids.empty());
  ::kill(static_cast<pid_t>(pids[0]), SIGKILL);
  while (router().ProcessIds().empty() || router().ProcessIds()[0] == pids[0])
    std::this_thread::sleep_for(Milliseconds(5));
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 20; }).same, 20u);
  // Nobody counts for a while, and nobody is held up.
  rig_.Close();
  Ask(10);
  rig_.Open();
  Ask(7);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 7; }).same, 7u);
}

// One that cannot be opened is said to who wants copies, and forgotten with the shadow.
TEST_F(HaproxyMirrorTest, WithoutASocketTheCountsAreUnknownAndNotZero) {
  const fs::path in_the_way = rig_.directory() / "ha" / kMirrorSocket;
  fs::create_directory(in_the_way);
  Prepare(Gets());
  CopyShare(1000);
  Ask(3);
  const auto counted = router().CountersOf({Web(1), Web(2)}, 5, 1);
  ASSERT_FALSE(counted.has_value());
  EXPECT_EQ(counted.error().code(), Code::kUnavailable);
  EXPECT_THAT(counted.error().message(), ::testing::HasSubstr("no request can be copied: "));
  Topology topology;
  topology.services = {{"web", {{"http", 8080, platform::Protocol::kHttp}}, 2}};
  topology.listeners = {{Listen(), "web", platform::Protocol::kHttp}};
  ROUTER_OK(router().SetTopology(kShop, topology));
  ROUTER_OK(router().CountersOf({Web(1), Web(2)}, 5, 1));
  fs::remove(in_the_way);
  topology.services[0].shadow = Gets();
  ROUTER_OK(router().SetTopology(kShop, topology));
  ROUTER_OK(router().CountersOf({Web(1), Web(2)}, 5, 1));
  EXPECT_TRUE(fs::is_socket(in_the_way));
  topology.services[0].shadow = {};
  ROUTER_OK(router().SetTopology(kShop, topology));
  EXPECT_FALSE(fs::exists(in_the_way));
}

TEST(MirrorRules, WithoutAShadowTheRouterIsAsItWas) {
  const platform::EnvironmentId id{"shop", "local"};
  Topology topology;
  topology.services = {{"web", {{"http", 8080, platform::Protocol::kHttp}}, 2}};
  topology.listeners = {{":8000", "web", platform::Protocol::kHttp}};
  const auto config = [&] {
    auto state = WithTopology({}, id, topology);
    EXPECT_TRUE(state.has_value());
    return RenderRouterConfig(*state, {}, Servers::kStructure);
  };
  const std::string without = config();
  EXPECT_EQ(without.find("mirror"), std::string::npos);
  EXPECT_EQ(without.find("log"), std::string::npos);
  topology.services[0].shadow.methods = {"GET"};
  const std::string with = config();
  EXPECT_NE(with.find(kMirrorSocket), std::string::npos);
  EXPECT_NE(with.find("{ method GET }"), std::string::npos);
  topology.services[0].shadow.methods = {"GET }\n  bind *:1"};
  EXPECT_FALSE(WithTopology({}, id, topology).has_value());
}

}  // namespace
}  // namespace ingot::adapters
