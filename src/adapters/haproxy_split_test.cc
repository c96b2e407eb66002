// Requests that are divided between two fleets, by the real HAProxy: by chance, by a header, by a cookie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "adapters/haproxy.h"
#include "adapters/haproxy_test_rig.h"
#include "adapters/listeners.h"
#include "platform/router_contract.h"

namespace ingot::adapters {
namespace {

using platform::FleetId;
using platform::RouteTable;
using platform::Topology;
using test::Answer;
using test::TestClient;

class HaproxySplitTest : public test::WebRouterTest {
 protected:
  void Prepare(Topology::Sticky sticky, Topology::Preview preview = {}) {
    Topology::Service web = Service();
    web.sticky = std::move(sticky);
    web.preview = std::move(preview);
    Serve(Declared(std::move(web)));
  }
  void Divide(uint32_t per_mille, uint64_t rollout, uint32_t step) {
    RouteTable table;
    table.outside = {{Listen(), Web(1), 8080, platform::Protocol::kHttp, platform::Share{Web(2), per_mille}}};
    table.rollout = rollout;
    table.step = step;
    ROUTER_OK(router().ApplyRoutes(kShop, table, {}));
  }
  std::set<int> OnTheNewSide(const std::string& header, int users) {
    std::set<int> out;
    for (int user = 0; user < users; ++user)
      if (Side(header + std::to_string(user)) == "2") out.insert(user);
    return out;
  }

  // The counters, when so many latencies of the step have been counted: HAProxy counts a moment after a
  // client has its answer.
  Result<std::map<FleetId, platform::FleetCounters>> WaitForCounts(uint32_t step, uint64_t wanted) {
    for (int i = 0;; ++i) {
      auto counted = router().CountersOf({Web(1), Web(2)}, 5, step);
      uint64_t all = 0;
      if (counted)
        for (const auto& [ms, count] : counted->at(Web(2)).latency_ms) all += count;
      if (!counted || all >= wanted || i == 100) return counted;
      std::this_thread::sleep_for(Milliseconds(20));
    }
  }
};

TEST_F(HaproxySplitTest, AHeaderKeepsAUserOnOneSideAndHeMovesOnlyForward) {
  Prepare({"", "X-User"});
  Divide(200, 7, 1);
  const std::set<int> first = OnTheNewSide("X-User: u", 200);
  EXPECT_GT(first.size(), 15u);  // 40 are expected, with a standard deviation of 5.7
  EXPECT_LT(first.size(), 75u);
  EXPECT_EQ(OnTheNewSide("X-User: u", 200), first);
  Divide(600, 7, 2);
  const std::set<int> second = OnTheNewSide("X-User: u", 200);
  EXPECT_TRUE(std::includes(second.begin(), second.end(), first.begin(), first.end()));
  EXPECT_GT(second.size(), 85u);
  // Another rollout begins with other users.
  Divide(200, 8, 1);
  EXPECT_NE(OnTheNewSide("X-User: u", 200), first);
}

TEST_F(HaproxySplitTest, ACookieIsGivenOnceAndKeepsAUserOnOneSide) {
  Prepare({"side", ""});
  RouteTable whole;
  whole.outside = {{Listen(), Web(1), 8080, platform::Protocol::kHttp}};
  ROUTER_OK(router().ApplyRoutes(kShop, whole, {}));
  TestClient client("127.0.0.1", port_);
  EXPECT_EQ(client.Ask().head.find("set-cookie"), std::string::npos) << "nothing is divided";
  Divide(500, 3, 1);
  std::set<char> sides;
  for (int i = 0; i < 40; ++i) {
    TestClient user("127.0.0.1", port_);
    const Answer answer = user.Ask();
    const size_t at = answer.head.find("set-cookie: side=");
    ASSERT_NE(at, std::string::npos) << answer.head;
    const std::string cookie = answer.head.substr(at + 12, answer.head.find(';', at) - at - 12);
    user.SetHeader("Cookie: a=b; " + cookie);
    for (int k = 0; k < 5; ++k) {
      const Answer again = user.Ask();
      EXPECT_EQ(again.body[0], answer.body[0]);
      EXPECT_EQ(again.head.find("set-cookie"), std::string::npos);
    }
    sides.insert(answer.body[0]);
  }
  EXPECT_EQ(sides.size(), 2u);
}

TEST_F(HaproxySplitTest, WhoKnowsThePreviewSeesTheNewSideBeforeAnybodyElse) {
  Prepare({"", "X-User"}, {"", "X-Preview", "secret-7"});
  Divide(0, 7, 1);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Side("X-User: u" + std::to_string(i)), "1");
  EXPECT_EQ(Side("X-Preview: secret-7"), "2");
  EXPECT_EQ(Side("X-Preview: secret-8"), "1");
  // Nothing is divided: there is no other side.
  RouteTable whole;
  whole.outside = {{Listen(), Web(1), 8080, platform::Protocol::kHttp}};
  ROUTER_OK(router().ApplyRoutes(kShop, whole, {}));
  EXPECT_EQ(Side("X-Preview: secret-7"), "1");
}

TEST_F(HaproxySplitTest, APreviewByCookie) {
  Prepare({}, {"preview", "", "-on"});  // no option of HAProxy's
  Divide(0, 7, 1);
  EXPECT_EQ(Side("Cookie: a=b; preview=-on"), "2");
  EXPECT_EQ(Side("Cookie: preview=-onward"), "1");
}

TEST_F(HaproxySplitTest, CountsAnswersErrorsAndLatenciesOfTheStep) {
  Prepare({});
  Divide(1000, 5, 1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Side("X: y"), "2");
  rig_.server(1).delay_ms = 130;
  rig_.server(1).status = 503;
  for (int i = 0; i < 4; ++i) Side("X: y");
  auto counted = WaitForCounts(1, 14);
  ROUTER_OK(counted);
  const platform::FleetCounters& counters = counted->at(Web(2));
  EXPECT_EQ(counters.answered, 14u);
  EXPECT_EQ(counters.errors_5xx, 4u);
  uint64_t all = 0;
  uint64_t slow = 0;
  for (const auto& [ms, count] : counters.latency_ms) {
    all += count;
    if (ms >= 130) {
      slow += count;
      EXPECT_EQ(ms % 10, 0u) << "in tens from 100 ms on";
    }
  }
  EXPECT_EQ(all, 14u);
  EXPECT_GE(slow, 4u);
  EXPECT_EQ(counted->at(Web(1)), platform::FleetCounters{});
  // The next step counts its own latencies; the totals go on.
  Divide(1000, 5, 2);
  Side("X: y");
  counted = WaitForCounts(2, 1);
  ROUTER_OK(counted);
  EXPECT_EQ(counted->at(Web(2)).answered, 15u);
  EXPECT_EQ(counted->at(Web(2)).latency_ms.size(), 1u);
  // What the router answers in a fleet's name is its fleet's.
  ROUTER_OK(router().SetServers(Web(2), {}));
  Side("X: y");
  counted = WaitForCounts(2, 1);
  ROUTER_OK(counted);
  EXPECT_EQ(counted->at(Web(2)).errors_5xx, 6u);
  // Those of the step before are gone by now, so that the table does not grow with every release.
  const auto former = router().CountersOf({Web(1), Web(2)}, 5, 1);
  ROUTER_OK(former);
  EXPECT_TRUE(former->at(Web(2)).latency_ms.empty());
}

// An answer that takes from one second of the clock to the next takes no less time for that.
TEST_F(HaproxySplitTest, ALatencyOverTheTurnOfASecondIsCountedAsSuch) {
  Prepare({});
  Divide(1000, 5, 1);
  rig_.server(1).delay_ms = 1100;
  Side("X: y");
  const auto counted = WaitForCounts(1, 1);
  ROUTER_OK(counted);
  const auto& latencies = counted->at(Web(2)).latency_ms;
  ASSERT_EQ(latencies.size(), 1u);
  EXPECT_GE(latencies.begin()->first, 1100u);
}

TEST_F(HaproxySplitTest, NothingCanBeSmuggledInByANameOfACookieOrHeader) {
  for (const Topology::Sticky& sticky :
       {Topology::Sticky{"a b", ""}, Topology::Sticky{"", "X\n  bind *:1"}}) {
    Topology topology;
    topology.services = {{"web", {{"http", 8080, platform::Protocol::kHttp}}, 2, sticky}};
    topology.listeners = {{Listen(), "web", platform::Protocol::kHttp}};
    ROUTER_FAILS(Code::kInvalid, router().SetTopology(kShop, topology));
  }
  Topology topology;
  topology.services = {
      {"web", {{"http", 8080, platform::Protocol::kHttp}}, 2, {}, {"", "X", "a }\n  bind *:1"}}};
  topology.listeners = {{Listen(), "web", platform::Protocol::kHttp}};
  ROUTER_FAILS(Code::kInvalid, router().SetTopology(kShop, topology));
}

}  // namespace
}  // namespace ingot::adapters
