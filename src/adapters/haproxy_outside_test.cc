// A server elsewhere that gets a share of a route's requests, by two real HAProxies: it listens in this
// namespace, the fleets in the router's.
#include "adapters/haproxy_outside.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "adapters/haproxy.h"
#include "adapters/haproxy_config.h"
#include "adapters/haproxy_test_rig.h"
#include "platform/router_contract.h"

namespace ingot::adapters {
namespace {

using platform::RouteTable;
using platform::Topology;
using test::Answer;
using test::TestClient;
using test::TestServer;

class HaproxyOutsideTest : public test::WebRouterTest {
 protected:
  Topology WithServer(Topology::Sticky sticky = {}, Topology::Preview preview = {}) const {
    Topology::Service web = Service();
    web.sticky = std::move(sticky);
    web.preview = std::move(preview);
    Topology topology = Declared(std::move(web));
    topology.servers = {{Listen(), "", "", false, "127.0.0.1", away_}};
    return topology;
  }
  void Prepare(Topology::Sticky sticky = {}, Topology::Preview preview = {}) {
    Serve(WithServer(std::move(sticky), std::move(preview)));
  }
  void StartAway() { old_ = std::make_unique<TestServer>(-1, "127.0.0.1", away_, "old"); }
  // `split`: of what stays, so many to the second fleet.
  void Share(uint32_t per_mille, std::optional<uint32_t> split = {}) {
    RouteTable table;
    table.outside = {{Listen(), Web(1), 8080, platform::Protocol::kHttp}};
    table.outside[0].server = platform::ServerShare{"127.0.0.1", away_, per_mille};
    if (split) {
      table.outside[0].split = platform::Share{Web(2), *split};
      table.rollout = 1;
      table.step = 1;
    }
    ROUTER_OK(router().ApplyRoutes(kShop, table, {}));
  }
  std::map<std::string, int> Answers(int requests, size_t body = 0) {
    std::map<std::string, int> out;
    TestClient client("127.0.0.1", port_);
    for (int i = 0; i < requests; ++i) {
      const Answer answer = client.Ask(body);
      ++out[answer.status == 200 ? answer.body.substr(0, answer.body.find(' '))
                                 : std::to_string(answer.status)];
    }
    return out;
  }
  bool Up() {
    auto servers = router().ServersOf(kShop);
    return servers && servers->size() == 1 && servers->front().up;
  }
  template <typename F>
  static bool Within(F condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(Milliseconds(10));
    }
    return false;
  }

  std::unique_ptr<TestServer> old_;
  uint16_t away_ = test::FreePort();
};

TEST_F(HaproxyOutsideTest, GetsItsShareAndAnotherShareIsNoReload) {
  StartAway();
  Prepare();
  Share(1000);
  EXPECT_EQ(Answers(50), (std::map<std::string, int>{{"old", 50}}));
  const auto processes = router().ProcessIds();
  Share(900);
  const auto most = Answers(1000);
  // 900 are expected, with a standard deviation of 9.5.
  EXPECT_NEAR(most.at("old"), 900, 50);
  EXPECT_EQ(most.at("old") + most.at("1"), 1000);
  Share(500, 500);
  const auto half = Answers(1000);
  EXPECT_NEAR(half.at("old"), 500, 80);  // 16
  EXPECT_NEAR(half.at("1"), 250, 70);    // 14
  EXPECT_EQ(half.at("old") + half.at("1") + half.at("2"), 1000);
  Share(0);
  EXPECT_EQ(Answers(50), (std::map<std::string, int>{{"1", 50}}));
  EXPECT_EQ(router().ProcessIds(), processes);
}

TEST_F(HaproxyOutsideTest, WhatItDoesNotTakeTheServiceGets) {
  Prepare();
  Share(1000);
  // Nobody listens there: not one request is lost, bodies arrive whole.
  const auto without = Answers(100, 5000);
  EXPECT_EQ(without, (std::map<std::string, int>{{"1", 100}}));
  EXPECT_TRUE(Within([&] {
    auto servers = router().ServersOf(kShop);
    return servers && servers->size() == 1 && !servers->front().up && !servers->front().why.empty();
  }));
  StartAway();
  EXPECT_TRUE(Within([&] { return Up(); }));
  EXPECT_EQ(Answers(50), (std::map<std::string, int>{{"old", 50}}));
  old_.reset();
  EXPECT_EQ(Answers(50), (std::map<std::string, int>{{"1", 50}}));
}

TEST_F(HaproxyOutsideTest, ADaemonThatComesBackFindsTheShare) {
  StartAway();
  Prepare();
  Share(1000);
  EXPECT_EQ(Answers(5), (std::map<std::string, int>{{"old", 5}}));
  const auto processes = router().ProcessIds();
  rig_.Open();
  EXPECT_EQ(router().ProcessIds(), processes);
  EXPECT_EQ(Answers(20), (std::map<std::string, int>{{"old", 20}}));
  EXPECT_TRUE(Within([&] { return Up(); }));
}

TEST_F(HaproxyOutsideTest, AUserStaysOnOneSideAndLeavesTheServerOnce) {
  StartAway();
  Prepare({"", "X-User"});
  std::map<int, std::string> before;
  int moved = 0;
  for (const uint32_t share : {1000u, 700u, 300u, 0u}) {
    Share(share);
    for (int user = 0; user < 40; ++user) {
      const std::string header = "X-User: u" + std::to_string(user);
      const std::string side = Side(header);
      EXPECT_EQ(Side(header), side);
      if (before.contains(user) && before[user] != side) {
        EXPECT_EQ(before[user], "old");
        ++moved;
      }
      before[user] = side;
    }
  }
  EXPECT_EQ(moved, 40);
}

TEST_F(HaproxyOutsideTest, ThePreviewComesFirst) {
  StartAway();
  Prepare({}, {"", "X-Preview", "yes"});
  Share(1000, 0);
  EXPECT_EQ(Side("X-Preview: yes"), "2");
  EXPECT_EQ(Side("X-Preview: no"), "old");
}

TEST_F(HaproxyOutsideTest, AServerThatIsThisRouterItselfIsNoCircle) {
  away_ = port_;
  Prepare();
  Share(1000);
  EXPECT_EQ(Answers(20), (std::map<std::string, int>{{"1", 20}}));
}

TEST_F(HaproxyOutsideTest, AnotherServerInItsPlaceHasItsSockets) {
  Prepare();
  Share(1000);
  away_ = test::FreePort();
  StartAway();
  ROUTER_OK(router().SetTopology(kShop, WithServer()));
  EXPECT_TRUE(Within([&] {
    auto settled = router().TopologySettled();
    return settled && *settled;
  }));
  Share(1000);
  EXPECT_TRUE(Within([&] { return Up(); }));
  EXPECT_EQ(Answers(20), (std::map<std::string, int>{{"old", 20}}));
}

TEST_F(HaproxyOutsideTest, WhatTheTopologyDoesNotNameIsRefused) {
  Prepare();
  RouteTable table;
  table.outside = {{Listen(), Web(1), 8080, platform::Protocol::kHttp}};
  table.outside[0].server = platform::ServerShare{"127.0.0.2", away_, 500};
  EXPECT_EQ(router().ApplyRoutes(kShop, table, {}).error().code(), Code::kNotFound);
  table.outside[0].server = platform::ServerShare{"127.0.0.1", away_, 1001};
  EXPECT_EQ(router().ApplyRoutes(kShop, table, {}).error().code(), Code::kNotFound);
  Topology topology = Declared(Service());
  for (const char* host : {"", "a b", "x\n  stats enable", "0.0.0.0", "300.1.1.1", "a,b"}) {
    topology.servers = {{Listen(), "", "", false, host, 80}};
    EXPECT_EQ(router().SetTopology(kShop, topology).error().code(), Code::kInvalid) << host;
  }
  topology.servers = {{":1", "", "", false, "10.0.0.7", 80}};
  EXPECT_EQ(router().SetTopology(kShop, topology).error().code(), Code::kInvalid);
  // By IPv6, and by a name that nobody has: neither keeps the egress process from starting.
  topology.servers = {{Listen(), "", "", false, "fd00::7", 80}, {Listen(), "", "", false, "old.invalid", 80}};
  ROUTER_OK(router().SetTopology(kShop, topology));
  EXPECT_TRUE(Within([&] {
    auto servers = router().ServersOf(kShop);
    return servers && servers->size() == 2 && !servers->front().up && !servers->back().up;
  }));
}

TEST(HaproxyOutside, WhatComesBackKeepsItsUserAndItsWayIsMarked) {
  Topology topology;
  topology.services = {{"web", {{"http", 8080, platform::Protocol::kHttp}}, 2, Topology::Sticky{"side", ""}}};
  topology.listeners = {{":8000", "web", platform::Protocol::kHttp}};
  HaproxyLimits limits;
  limits.outside_token = "abc";
  const auto config = [&] {
    auto state = WithTopology({}, {"shop", "local"}, topology);
    EXPECT_TRUE(state.has_value());
    return state ? RenderRouterConfig(*state, limits, Servers::kStructure) : "";
  };
  EXPECT_EQ(config().find("X-Ingot-Outside"), std::string::npos) << "without a server nothing of it is there";
  topology.servers = {{":8000", "", "", false, "10.0.0.7", 80}};
  const std::string text = config();
  EXPECT_NE(text.find("  http-request set-var(txn.o) int(0) if { req.hdr(X-Ingot-Outside) -m str abc }\n"),
            std::string::npos);
  EXPECT_NE(text.find("  http-request add-header X-Ingot-Outside abc\n  server o "), std::string::npos);
  const size_t begin = text.find("frontend return.");
  ASSERT_NE(begin, std::string::npos);
  const std::string returned = text.substr(begin, text.find("\nbackend ", begin) - begin);
  EXPECT_NE(returned.find("  http-request del-header X-Ingot-Outside\n"), std::string::npos);
  EXPECT_NE(returned.find("  http-request set-var(txn.k) var(txn.r),field(4,:) if split\n"
                          "  http-request set-var(txn.n) req.cook(side),concat(|,txn.k),crc32(1),mod(1000) "
                          "if split { req.cook(side) -m found }\n"),
            std::string::npos);
  EXPECT_EQ(returned.find("Set-Cookie"), std::string::npos);
}

TEST(HaproxyOutside, AShareIsTakenOutOfAValue) {
  EXPECT_EQ(WithoutServer("a.1::0::::outside.23:900"), "a.1::0");
  EXPECT_EQ(WithoutServer("a.1:a.2:50:7:1::outside.23:900"), "a.1:a.2:50:7:1");
  EXPECT_EQ(WithoutServer("a.1:a.2:0:7:1:20:outside.23:900"), "a.1:a.2:0:7:1:20");
  EXPECT_EQ(WithoutServer("a.1::0"), "a.1::0");
  EXPECT_EQ(ServerOf("a.1::0::::outside.23:900"), 23u);
  EXPECT_EQ(ServerOf("a.1::0"), 0u);
}

}  // namespace
}  // namespace ingot::adapters
