// What every Router keeps, as tests: instantiated for the fake here and for the real one in adapters/.
//
// #include it in a *_test.cc and INSTANTIATE_TYPED_TEST_SUITE_P(Name, RouterContract, Harness), where Harness
// is default-constructible and has:
//   Router& router();
//   std::string Listen();                        // a listener nobody uses, another one at each call
//   Server Serve(const InstanceId&);             // an address at which the instance answers with its name
//   std::string Asker();                         // an address to ask from, another one at each call
//   std::optional<InstanceId> Request(const std::string& listen);
//   std::optional<InstanceId> RequestFrom(const std::string& address, const std::string& service);
//                                                // at the service's only port; nullopt: nothing serves
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "platform/router.h"

namespace ingot::platform {

template <typename Harness>
class RouterContract : public ::testing::Test {
 protected:
  static constexpr uint16_t kPort = 8080;

  static FleetId Fleet(const std::string& service, int n, const std::string& environment = "local") {
    return FleetId(EnvironmentId("shop", environment), service, "00000000000" + std::to_string(n));
  }
  std::vector<Server> ServeAll(const FleetId& fleet, int count) {
    std::vector<Server> servers;
    for (int i = 0; i < count; ++i) servers.push_back(harness_.Serve(InstanceId(fleet, ++ordinal_)));
    return servers;
  }
  Topology Two(const std::string& listen) {
    Topology topology;
    topology.services = {{"web", {{"http", kPort, Protocol::kHttp}}, 2},
                         {"api", {{"http", kPort, Protocol::kHttp}}, 2}};
    topology.endpoints = {{"db", "db.invalid", 5432}};
    topology.listeners = {{listen, "web", Protocol::kHttp}};
    return topology;
  }
  // The fleets that answer `n` requests from outside; an empty id stands for no answer.
  std::set<FleetId> Answering(const std::string& listen, int n = 8) {
    std::set<FleetId> fleets;
    for (int i = 0; i < n; ++i) {
      const auto instance = harness_.Request(listen);
      fleets.insert(instance ? instance->fleet() : FleetId());
    }
    return fleets;
  }

  Harness harness_;
  const EnvironmentId local_{"shop", "local"};
  const EnvironmentId staging_{"shop", "staging"};
  uint64_t ordinal_ = 0;
};

#define ROUTER_OK(...)                                                  \
  do {                                                                  \
    auto&& router_ok_result = (__VA_ARGS__);                            \
    ASSERT_TRUE(router_ok_result) << router_ok_result.error().Render(); \
  } while (false)
#define ROUTER_FAILS(expected_code, ...)                                                                  \
  do {                                                                                                    \
    auto&& router_fails_result = (__VA_ARGS__);                                                           \
    ASSERT_FALSE(router_fails_result);                                                                    \
    EXPECT_EQ(router_fails_result.error().code(), expected_code) << router_fails_result.error().Render(); \
  } while (false)

TYPED_TEST_SUITE_P(RouterContract);

TYPED_TEST_P(RouterContract, RoutesOnlyWhatTheTableSays) {
  Router& router = this->harness_.router();
  const std::string listen = this->harness_.Listen();
  ROUTER_OK(router.SetTopology(this->local_, this->Two(listen)));
  EXPECT_EQ(this->harness_.Request(listen), std::nullopt);
  const FleetId one = this->Fleet("web", 1);
  const FleetId two = this->Fleet("web", 2);
  ROUTER_OK(router.SetServers(one, this->ServeAll(one, 2)));
  ROUTER_OK(router.SetServers(two, this->ServeAll(two, 2)));
  EXPECT_EQ(this->harness_.Request(listen), std::nullopt) << "servers alone carry nothing";
  for (const FleetId& fleet : {one, two, one, two}) {
    RouteTable table;
    table.outside = {{listen, fleet, this->kPort, Protocol::kHttp}};
    ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
    EXPECT_EQ(this->Answering(listen), std::set<FleetId>{fleet});
  }
  ROUTER_OK(router.ApplyRoutes(this->local_, {}, {}));
  EXPECT_EQ(this->harness_.Request(listen), std::nullopt);
}

TYPED_TEST_P(RouterContract, InsideOnlyDeclaredAskersReachTheirRevision) {
  Router& router = this->harness_.router();
  const std::string listen = this->harness_.Listen();
  ROUTER_OK(router.SetTopology(this->local_, this->Two(listen)));
  const FleetId web1 = this->Fleet("web", 1), web2 = this->Fleet("web", 2);
  const FleetId api1 = this->Fleet("api", 1), api2 = this->Fleet("api", 2);
  for (const FleetId& fleet : {api1, api2}) ROUTER_OK(router.SetServers(fleet, this->ServeAll(fleet, 1)));
  const std::string first = this->harness_.Asker();
  const std::string second = this->harness_.Asker();
  const std::string stranger = this->harness_.Asker();
  RouteTable table;
  table.inside = {{web1, "api", api1}, {web2, "api", api2}};
  std::map<FleetId, std::vector<Server>> askers;
  askers[web1] = {{InstanceId(web1, 900), first}};
  askers[web2] = {{InstanceId(web2, 901), second}};
  ROUTER_OK(router.ApplyRoutes(this->local_, table, askers));
  ASSERT_TRUE(this->harness_.RequestFrom(first, "api"));
  EXPECT_EQ(this->harness_.RequestFrom(first, "api")->fleet(), api1);
  ASSERT_TRUE(this->harness_.RequestFrom(second, "api"));
  EXPECT_EQ(this->harness_.RequestFrom(second, "api")->fleet(), api2);
  EXPECT_EQ(this->harness_.RequestFrom(stranger, "api"), std::nullopt);
  EXPECT_EQ(this->harness_.RequestFrom(first, "web"), std::nullopt);
  // A replacement of an asker is let in by applying the same table again.
  askers[web1].push_back({InstanceId(web1, 902), stranger});
  ROUTER_OK(router.ApplyRoutes(this->local_, table, askers));
  ASSERT_TRUE(this->harness_.RequestFrom(stranger, "api"));
  EXPECT_EQ(this->harness_.RequestFrom(stranger, "api")->fleet(), api1);
}

TYPED_TEST_P(RouterContract, ASplitGivesTheOtherFleetItsShare) {
  Router& router = this->harness_.router();
  const std::string listen = this->harness_.Listen();
  ROUTER_OK(router.SetTopology(this->local_, this->Two(listen)));
  const FleetId one = this->Fleet("web", 1);
  const FleetId two = this->Fleet("web", 2);
  ROUTER_OK(router.SetServers(one, this->ServeAll(one, 2)));
  ROUTER_OK(router.SetServers(two, this->ServeAll(two, 1)));
  RouteTable table;
  table.outside = {{listen, one, this->kPort, Protocol::kHttp, Share{two, 250}}};
  table.rollout = 3;
  table.step = 1;
  ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
  int other = 0;
  for (int i = 0; i < 400; ++i) {
    const auto instance = this->harness_.Request(listen);
    ASSERT_TRUE(instance);
    other += instance->fleet() == two ? 1 : 0;
  }
  // By chance 100, with a standard deviation of 8.7.
  EXPECT_GT(other, 50);
  EXPECT_LT(other, 150);
  // A router may count a moment after a client has its answer.
  auto counted = router.CountersOf({one, two}, 3, 1);
  for (int i = 0; i < 100 && counted && counted->at(one).answered + counted->at(two).answered < 400; ++i) {
    std::this_thread::sleep_for(Milliseconds(20));
    counted = router.CountersOf({one, two}, 3, 1);
  }
  ROUTER_OK(counted);
  EXPECT_EQ(counted->at(two).answered, static_cast<uint64_t>(other));
  EXPECT_EQ(counted->at(one).answered, static_cast<uint64_t>(400 - other));
  EXPECT_EQ(counted->at(one).errors_5xx, 0u);
  table.outside[0].split->per_mille = 1000;
  ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
  EXPECT_EQ(this->Answering(listen), std::set<FleetId>{two});
  table.outside[0].split.reset();
  ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
  EXPECT_EQ(this->Answering(listen), std::set<FleetId>{one});
  // A set that a split leads to is nobody else's.
  table.outside[0].split = Share{two, 1};
  ROUTER_OK(router.SetServers(two, {}));
  ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
  ROUTER_OK(router.SetServers(this->Fleet("web", 3), this->ServeAll(this->Fleet("web", 3), 1)));
  ROUTER_FAILS(Code::kConflict,
               router.SetServers(this->Fleet("web", 4), this->ServeAll(this->Fleet("web", 4), 1)));
}

TYPED_TEST_P(RouterContract, ThreeSetsPerService) {
  Router& router = this->harness_.router();
  const std::string listen = this->harness_.Listen();
  ROUTER_OK(router.SetTopology(this->local_, this->Two(listen)));
  for (int n = 1; n <= 3; ++n)
    ROUTER_OK(router.SetServers(this->Fleet("web", n), this->ServeAll(this->Fleet("web", n), 1)));
  const FleetId fourth = this->Fleet("web", 4);
  const auto servers = this->ServeAll(fourth, 1);
  ROUTER_FAILS(Code::kConflict, router.SetServers(fourth, servers));
  ROUTER_OK(router.SetServers(fourth, {}));
  ROUTER_OK(router.SetServers(this->Fleet("web", 2), {}));
  ROUTER_OK(router.SetServers(fourth, servers));
  RouteTable table;
  table.outside = {{listen, fourth, this->kPort, Protocol::kHttp}};
  ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
  EXPECT_EQ(this->Answering(listen), std::set<FleetId>{fourth});
  table.outside[0].fleet = this->Fleet("web", 2);
  ROUTER_FAILS(Code::kConflict, router.ApplyRoutes(this->local_, table, {}));
  EXPECT_EQ(this->Answering(listen), std::set<FleetId>{fourth}) << "a refused table changes nothing";
}

TYPED_TEST_P(RouterContract, ARoutedFleetWithoutServersServesNothingUntilItHasSome) {
  Router& router = this->harness_.router();
  const std::string listen = this->harness_.Listen();
  ROUTER_OK(router.SetTopology(this->local_, this->Two(listen)));
  const FleetId web = this->Fleet("web", 1);
  RouteTable table;
  table.outside = {{listen, web, this->kPort, Protocol::kHttp}};
  ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
  EXPECT_EQ(this->Answering(listen), std::set<FleetId>{FleetId()});
  ROUTER_OK(router.SetServers(web, this->ServeAll(web, 1)));
  EXPECT_EQ(this->Answering(listen), std::set<FleetId>{web});
  ROUTER_OK(router.SetServers(web, {}));
  EXPECT_EQ(this->Answering(listen), std::set<FleetId>{FleetId()}) << "its route stays";
  ROUTER_OK(router.SetServers(web, this->ServeAll(web, 1)));
  EXPECT_EQ(this->Answering(listen), std::set<FleetId>{web});
}

TYPED_TEST_P(RouterContract, RefusesWhatItDoesNotKnow) {
  Router& router = this->harness_.router();
  const std::string listen = this->harness_.Listen();
  const FleetId web = this->Fleet("web", 1);
  const auto servers = this->ServeAll(web, 1);
  ROUTER_FAILS(Code::kNotFound, router.SetServers(web, servers));
  ROUTER_FAILS(Code::kNotFound, router.VirtualAddress(this->local_, "web"));
  ROUTER_OK(router.SetTopology(this->local_, this->Two(listen)));
  ROUTER_FAILS(Code::kNotFound, router.VirtualAddress(this->local_, "nobody"));
  ROUTER_FAILS(Code::kNotFound, router.VirtualAddress(this->staging_, "web"));
  ROUTER_FAILS(Code::kInvalid, router.SetServers(this->Fleet("web", 2), servers));
  ROUTER_OK(router.SetServers(web, servers));
  RouteTable table;
  table.outside = {{this->harness_.Listen(), web, this->kPort, Protocol::kHttp}};
  ROUTER_FAILS(Code::kNotFound, router.ApplyRoutes(this->local_, table, {}));
  table.outside.clear();
  table.endpoints = {{web, "nobody"}};
  ROUTER_FAILS(Code::kNotFound, router.ApplyRoutes(this->local_, table, {}));
  table.endpoints = {{web, "db"}};
  ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
}

TYPED_TEST_P(RouterContract, AListenerBelongsToOneEnvironment) {
  Router& router = this->harness_.router();
  const std::string listen = this->harness_.Listen();
  ROUTER_OK(router.SetTopology(this->local_, this->Two(listen)));
  auto refused = router.SetTopology(this->staging_, this->Two(listen));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  EXPECT_NE(refused.error().message().find("shop/local"), std::string::npos) << refused.error().Render();
  ROUTER_FAILS(Code::kNotFound, router.VirtualAddress(this->staging_, "web"));
  ROUTER_OK(router.SetTopology(this->local_, {}));
  ROUTER_OK(router.SetTopology(this->staging_, this->Two(listen)));
  ROUTER_OK(router.VirtualAddress(this->staging_, "web"));
}

TYPED_TEST_P(RouterContract, AddressesAreStableAndDistinct) {
  Router& router = this->harness_.router();
  ROUTER_OK(router.SetTopology(this->local_, this->Two(this->harness_.Listen())));
  ROUTER_OK(router.SetTopology(this->staging_, this->Two(this->harness_.Listen())));
  std::map<std::string, std::string> before;
  std::set<std::string> distinct;
  for (const auto& environment : {this->local_, this->staging_})
    for (const char* name : {"web", "api", "db"}) {
      auto address = router.VirtualAddress(environment, name);
      ROUTER_OK(address);
      before[environment.Render() + name] = *address;
      distinct.insert(*address);
    }
  EXPECT_EQ(distinct.size(), 6u);
  Topology more = this->Two(this->harness_.Listen());
  more.services.insert(more.services.begin(), {"aaa", {{"http", 1234, Protocol::kHttp}}, 1});
  ROUTER_OK(router.SetTopology(this->local_, more));
  for (const char* name : {"web", "api", "db"})
    EXPECT_EQ(*router.VirtualAddress(this->local_, name), before["shop/local" + std::string(name)]);
  EXPECT_FALSE(distinct.contains(*router.VirtualAddress(this->local_, "aaa")));
}

TYPED_TEST_P(RouterContract, ADrainedInstanceGetsNothingNew) {
  Router& router = this->harness_.router();
  const std::string listen = this->harness_.Listen();
  ROUTER_OK(router.SetTopology(this->local_, this->Two(listen)));
  const FleetId web = this->Fleet("web", 1);
  auto servers = this->ServeAll(web, 2);
  ROUTER_OK(router.SetServers(web, servers));
  RouteTable table;
  table.outside = {{listen, web, this->kPort, Protocol::kHttp}};
  ROUTER_OK(router.ApplyRoutes(this->local_, table, {}));
  auto drained = router.Drain(servers[0].instance);
  ROUTER_OK(drained);
  EXPECT_TRUE(*drained);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(this->harness_.Request(listen), servers[1].instance);
  // Being named again does not undo it: that is for the caller to do by leaving it out.
  auto more = servers;
  more.push_back(this->ServeAll(web, 1)[0]);
  ROUTER_OK(router.SetServers(web, more));
  for (int i = 0; i < 6; ++i) EXPECT_NE(this->harness_.Request(listen), servers[0].instance);
  auto counters = router.Counters();
  ROUTER_OK(counters);
  ASSERT_EQ(counters->size(), 3u);
  EXPECT_EQ(counters->at(servers[0].instance).requests, 0u);
  EXPECT_EQ(counters->at(servers[1].instance).requests + counters->at(more[2].instance).requests, 12u);
  EXPECT_EQ(counters->at(servers[1].instance).in_flight, 0u);
  ROUTER_OK(router.SetServers(web, {more[2]}));
  EXPECT_EQ(router.Counters()->size(), 1u);
  drained = router.Drain(servers[1].instance);
  ROUTER_OK(drained);
  EXPECT_TRUE(*drained) << "an instance without a slot has nothing in flight";
}

REGISTER_TYPED_TEST_SUITE_P(RouterContract, RoutesOnlyWhatTheTableSays,
                            InsideOnlyDeclaredAskersReachTheirRevision, ASplitGivesTheOtherFleetItsShare,
                            ThreeSetsPerService, RefusesWhatItDoesNotKnow,
                            ARoutedFleetWithoutServersServesNothingUntilItHasSome,
                            AListenerBelongsToOneEnvironment, AddressesAreStableAndDistinct,
                            ADrainedInstanceGetsNothingNew);

}  // namespace ingot::platform
