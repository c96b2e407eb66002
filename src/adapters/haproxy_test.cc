#include "adapters/haproxy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iostream>
#include <mutex>

#include "adapters/haproxy_config.h"
#include "adapters/haproxy_test_rig.h"
#include "adapters/listeners.h"
#include "base/subprocess.h"
#include "platform/router_contract.h"

namespace ingot::platform {
INSTANTIATE_TYPED_TEST_SUITE_P(Haproxy, RouterContract, ingot::adapters::test::RouterRig);
}

namespace ingot::adapters {
namespace {

using platform::EnvironmentId;
using platform::FleetId;
using platform::InstanceId;
using platform::Protocol;
using platform::RouteTable;
using platform::Server;
using platform::Topology;
using std::chrono::steady_clock;
using test::Answer;
using test::Inside;
using test::RouterRig;
using test::TestClient;
using test::TestServer;

constexpr uint16_t kPort = test::RouterRig::kPort;

#define OK(...) ROUTER_OK(__VA_ARGS__)

FleetId Web(int n) {
  return FleetId(EnvironmentId("shop", "local"), "web", "00000000000" + std::to_string(n));
}

class HaproxyTest : public ::testing::Test {
 protected:
  // web behind a listener, with fleets 1 and 2 of two instances each; fleet 1 is routed to.
  void SetUp() override {
    listen_ = rig_.Listen();
    topology_.services = {{"web", {{"http", kPort, Protocol::kHttp}}, 2}};
    topology_.listeners = {{listen_, "web", Protocol::kHttp}};
    OK(rig_.router().SetTopology(local_, topology_));
    for (int n : {1, 2}) {
      std::vector<Server> servers;
      for (int i = 1; i <= 2; ++i)
        servers.push_back(rig_.Serve(InstanceId(Web(n), static_cast<uint64_t>(10 * n + i))));
      OK(rig_.router().SetServers(Web(n), servers));
      fleets_[n] = servers;
    }
    OK(Route(1));
  }
  Result<void> Route(int n) {
    RouteTable table;
    table.outside = {{listen_, Web(n), kPort, Protocol::kHttp}};
    return rig_.router().ApplyRoutes(local_, table, {});
  }
  Result<void> WaitSettled() {
    const auto deadline = steady_clock::now() + std::chrono::seconds(20);
    while (!TRY(rig_.router().TopologySettled())) {
      if (steady_clock::now() > deadline) return Error(Code::kTimeout, "an old process is left");
      std::this_thread::sleep_for(Milliseconds(20));
    }
    return {};
  }

  RouterRig rig_;
  const EnvironmentId local_{"shop", "local"};
  std::string listen_;
  Topology topology_;
  std::map<int, std::vector<Server>> fleets_;
};

// Keep-alive clients that ask all the time, every second request a POST.
class Load {
 public:
  Load(const std::string& listen, int clients) {
    for (int i = 0; i < clients; ++i)
      threads_.emplace_back([this, listen, i] {
        TestClient client = RouterRig::Client(listen);
        uint64_t n = 0;
        while (!stop) {
          const size_t body = (++n + static_cast<uint64_t>(i)) % 2 == 0 ? 0 : 3000;
          const uint64_t before = expected;
          const Answer answer = client.Ask(body);
          const uint64_t after = expected;
          Count(answer, body, before, after);
        }
      });
  }
  ~Load() { Stop(); }
  void Stop() {
    stop = true;
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
  }
  // epoch * 10 + fleet that must answer; fleet 0: any of them (a switch is under way).
  std::atomic<uint64_t> expected{0};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> requests{0}, failed{0}, refused{0}, mixed{0}, last_ok_ns{0}, longest_gap_ns{0};
  std::string first_failure() {
    const std::lock_guard lock(mutex_);
    return first_failure_;
  }

 private:
  void Count(const Answer& answer, size_t body, uint64_t before, uint64_t after) {
    ++requests;
    const auto who = RouterRig::Who(answer);
    if (answer.error == ECONNREFUSED) ++refused;
    if (!who || !answer.body.ends_with(" " + std::to_string(body))) {
      ++failed;
      const std::lock_guard lock(mutex_);
      if (first_failure_.empty())
        first_failure_ = "status " + std::to_string(answer.status) + ", connect " +
                         std::to_string(answer.error) + ", POST " + std::to_string(body) + ": " + answer.body;
      return;
    }
    if (before == after && before % 10 != 0 && who->fleet() != Web(static_cast<int>(before % 10))) ++mixed;
  }
  std::mutex mutex_;
  std::string first_failure_;
  std::vector<std::thread> threads_;
};

TEST_F(HaproxyTest, TwoHundredSwitchesLoseNothingAndMixNothing) {
  Load load(listen_, 4);
  std::vector<double> milliseconds;
  for (uint64_t i = 1; i <= 200; ++i) {
    const int fleet = i % 2 == 0 ? 1 : 2;
    load.expected = i * 10;
    const auto begin = steady_clock::now();
    OK(Route(fleet));
    milliseconds.push_back(std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count());
    load.expected = i * 10 + static_cast<uint64_t>(fleet);
    std::this_thread::sleep_for(Milliseconds(10));
  }
  load.Stop();
  EXPECT_GT(load.requests, 1000u);
  EXPECT_EQ(load.failed, 0u) << load.first_failure();
  EXPECT_EQ(load.mixed, 0u);
  std::sort(milliseconds.begin(), milliseconds.end());
  std::cout << "[ measured ] switch under load: median " << milliseconds[100] << " ms, worst "
            << milliseconds.back() << " ms; " << load.requests << " requests\n";
}

TEST_F(HaproxyTest, TenReloadsUnderLoadLoseNothing) {
  Load load(listen_, 4);
  std::vector<int64_t> seen;
  for (int i = 0; i < 10; ++i) {
    Topology topology = topology_;
    topology.services.push_back({"extra" + std::to_string(i), {{"http", 9000, Protocol::kHttp}}, 1});
    const auto begin = steady_clock::now();
    OK(rig_.router().SetTopology(local_, topology));
    const auto took = std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count();
    if (i == 0) std::cout << "[ measured ] reload: " << took << " ms\n";
    seen.push_back(rig_.router().ProcessIds()[0]);
    std::this_thread::sleep_for(Milliseconds(100));
  }
  load.Stop();
  EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 10u) << "each was a process of its own";
  EXPECT_GT(load.requests, 500u);
  EXPECT_EQ(load.failed, 0u) << load.first_failure();
  OK(WaitSettled());
  EXPECT_EQ(rig_.router().ProcessIds().size(), 1u);
}

TEST_F(HaproxyTest, AKilledProcessIsBackAndNobodyIsRefused) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> refused{0};
  // New connections all the time: a refused one would show.
  std::vector<std::thread> knockers;
  for (int i = 0; i < 2; ++i)
    knockers.emplace_back([&] {
      while (!stop)
        if (RouterRig::Client(listen_).Ask().error == ECONNREFUSED) ++refused;
    });
  double worst = 0;
  for (int i = 0; i < 5; ++i) {
    const int64_t pid = rig_.router().ProcessIds()[0];
    const auto begin = steady_clock::now();
    ASSERT_EQ(::kill(static_cast<pid_t>(pid), SIGKILL), 0);
    while (RouterRig::Who(RouterRig::Client(listen_).Ask()) == std::nullopt)
      ASSERT_LT(steady_clock::now() - begin, std::chrono::seconds(5));
    worst = std::max(worst, std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count());
    EXPECT_EQ(RouterRig::Who(RouterRig::Client(listen_).Ask())->fleet(), Web(1))
        << "with the routes of before";
    std::this_thread::sleep_for(Milliseconds(300));
    EXPECT_NE(rig_.router().ProcessIds()[0], pid);
  }
  stop = true;
  for (std::thread& knocker : knockers) knocker.join();
  EXPECT_EQ(refused, 0u);
  EXPECT_LT(worst, 2000);
  std::cout << "[ measured ] killed HAProxy answers again after at most " << worst << " ms\n";
  // And it can be told things.
  OK(Route(2));
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(2));
}

TEST_F(HaproxyTest, ANewDaemonTakesOverWithoutAReload) {
  Load load(listen_, 2);
  const auto before = rig_.router().ProcessIds();
  const std::string address = *rig_.router().VirtualAddress(local_, "web");
  for (int i = 0; i < 3; ++i) {
    rig_.Close();
    std::this_thread::sleep_for(Milliseconds(50));
    rig_.Open();
    OK(rig_.router().SetTopology(local_, topology_));
    EXPECT_EQ(rig_.router().ProcessIds(), before);
  }
  load.Stop();
  EXPECT_EQ(load.failed, 0u) << load.first_failure();
  EXPECT_EQ(*rig_.router().VirtualAddress(local_, "web"), address);
  EXPECT_EQ(rig_.router().Counters()->size(), 4u);
  OK(Route(2));
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(2));
  // It holds the sockets: the process may die now.
  ::kill(static_cast<pid_t>(before[0]), SIGKILL);
  std::atomic<uint64_t> refused{0};
  for (int i = 0; i < 50; ++i)
    if (RouterRig::Client(listen_).Ask().error == ECONNREFUSED) ++refused;
  EXPECT_EQ(refused, 0u);
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(2));
}

TEST_F(HaproxyTest, BothDeadComesUpAsItWas) {
  const auto pids = rig_.router().ProcessIds();
  rig_.Close();
  ASSERT_EQ(::kill(static_cast<pid_t>(pids[0]), SIGKILL), 0);
  std::this_thread::sleep_for(Milliseconds(50));
  rig_.Open();
  EXPECT_NE(rig_.router().ProcessIds(), pids);
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(1));
}

TEST_F(HaproxyTest, ADaemonKilledBeforeTheReloadMakesUpForIt) {
  const fs::path file = rig_.Options().directory / "state.json";
  const std::string before = *ReadFile(file);
  Topology wider = topology_;
  const std::string second = rig_.Listen();
  wider.listeners.push_back({second, "web", Protocol::kHttp});
  OK(rig_.router().SetTopology(local_, wider));
  const std::string after = *ReadFile(file);
  OK(rig_.router().SetTopology(local_, topology_));
  OK(WaitSettled());
  const auto pids = rig_.router().ProcessIds();
  rig_.Close();
  // As a daemon leaves it that dies between writing the state and starting the new process.
  OK(WriteFileAtomic(file, after));
  rig_.Open();
  EXPECT_NE(rig_.router().ProcessIds()[0], pids[0]);
  EXPECT_EQ(RouterRig::Client(second).Ask().status, 503);
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(1));
  EXPECT_NE(before, after);
}

TEST_F(HaproxyTest, RunTimeChangesMissedByADeadDaemonAreMadeUpFor) {
  const fs::path file = rig_.Options().directory / "state.json";
  OK(Route(2));
  OK(rig_.router().SetServers(Web(1), {fleets_[1][0]}));
  const std::string after = *ReadFile(file);
  OK(Route(1));
  OK(rig_.router().SetServers(Web(1), fleets_[1]));
  const auto pids = rig_.router().ProcessIds();
  rig_.Close();
  OK(WriteFileAtomic(file, after));
  rig_.Open();
  EXPECT_EQ(rig_.router().ProcessIds(), pids) << "no reload is needed";
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(2));
  OK(Route(1));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(rig_.Request(listen_), fleets_[1][0].instance);
}

TEST_F(HaproxyTest, WhatHaproxyRefusesLeavesTheFormerOneServing) {
  const auto pids = rig_.router().ProcessIds();
  const fs::path bin = rig_.directory() / "bin";
  OK(MakeDirectories(bin));
  OK(WriteFileAtomic(bin / "haproxy", "#!/bin/sh\necho '[ALERT] (1) : config : no' >&2\nexit 1\n", 0755));
  ::chmod(rig_.directory().c_str(), 0755);
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", (bin.string() + ":" + path).c_str(), 1);
  Topology topology = topology_;
  topology.listeners.push_back({rig_.Listen(), "web", Protocol::kHttp});
  auto refused = rig_.router().SetTopology(local_, topology);
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailed);
  EXPECT_THAT(refused.error().message(), ::testing::HasSubstr("config : no"));
  EXPECT_EQ(rig_.router().ProcessIds(), pids);
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(1));
  OK(rig_.router().SetTopology(local_, topology));
  EXPECT_EQ(RouterRig::Client(topology.listeners[1].listen).Ask().status, 503);
}

// A release that changes the listener's address from one to another that overlaps with it, as the rollout
// drives it: both, the switch, the new one alone; and back by an abort on the way. New connections each time,
// as those are what a listener could lose.
class ChangedAddressTest : public HaproxyTest,
                           public ::testing::WithParamInterface<std::tuple<bool, Protocol>> {
 protected:
  void SetUp() override {
    const auto [widens, protocol] = GetParam();
    HaproxyTest::SetUp();
    const std::string port = std::to_string(test::FreePort());
    before_ = (widens ? "127.0.0.1:" : ":") + port;
    after_ = (widens ? ":" : "127.0.0.1:") + port;
    topology_.services.push_back({"changed", {{"any", kPort, protocol}}, 1});
    topology_.listeners.push_back({before_, "changed", protocol});
    Set(topology_.listeners);
    for (int n : {1, 2}) OK(rig_.router().SetServers(Changed(n), {rig_.Serve(InstanceId(Changed(n), 1))}));
    Lead(before_, 1);
  }
  static FleetId Changed(int n) {
    return FleetId(EnvironmentId("shop", "local"), "changed", "00000000000" + std::to_string(n));
  }
  void Set(const std::vector<Topology::Listener>& listeners) {
    Topology topology = topology_;
    topology.listeners = listeners;
    OK(rig_.router().SetTopology(local_, topology));
  }
  void Lead(const std::string& listen, int n) {
    RouteTable table;
    table.outside = {{listen, Changed(n), kPort, std::get<1>(GetParam())}};
    OK(rig_.router().ApplyRoutes(local_, table, {}));
  }
  Topology::Listener Listener(const std::string& listen) {
    return {listen, "changed", std::get<1>(GetParam())};
  }
  std::string before_;
  std::string after_;
};

TEST_P(ChangedAddressTest, LosesNoConnection) {
  std::atomic<bool> stop{false};
  std::atomic<int> expected{1};  // 0: either of them
  std::atomic<int> asked{0}, lost{0}, wrong{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i)
    clients.emplace_back([&] {
      while (!stop) {
        const int now = expected;
        const Answer answer = RouterRig::Client(after_).Ask(100);
        const auto who = RouterRig::Who(answer);
        ++asked;
        if (!who)
          ++lost;
        else if (now == expected && now != 0 && who->fleet() != Changed(now))
          ++wrong;
      }
    });
  const auto go_on = [&] {
    const int seen = asked;
    while (asked < seen + 40) std::this_thread::sleep_for(Milliseconds(1));
  };
  // Given up on the way, then done, then back within the window, then for good.
  for (const bool given_up : {true, false}) {
    go_on();
    Set({Listener(before_), Listener(after_)});
    go_on();
    if (given_up) {
      Set({Listener(before_)});
      continue;
    }
    for (const int n : {2, 1, 2}) {
      expected = 0;
      Lead(n == 2 ? after_ : before_, n);
      expected = n;
      go_on();
    }
    Set({Listener(after_)});
  }
  go_on();
  // A daemon that comes later has it as it is.
  rig_.Close();
  rig_.Open();
  go_on();
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(lost, 0) << "of " << asked;
  EXPECT_EQ(wrong, 0) << "of " << asked;
  OK(WaitSettled());
  // To others the port is as taken as ever.
  const auto address = ListenAddress::Parse(after_);
  for (const char* other : {"127.0.0.1", "0.0.0.0"})
    EXPECT_EQ(OpenListener({other, address->port}, -1).error().code(), Code::kConflict) << other;
}

INSTANTIATE_TEST_SUITE_P(Haproxy, ChangedAddressTest,
                         ::testing::Combine(::testing::Bool(),
                                            ::testing::Values(Protocol::kHttp, Protocol::kTcp)));

TEST_F(HaproxyTest, AnOverlappingListenerThatSpeaksOtherwiseIsRefused) {
  const std::string port = std::to_string(test::FreePort());
  Topology topology = topology_;
  topology.services.push_back({"raw", {{"tcp", kPort, Protocol::kTcp}}, 1});
  topology.listeners.push_back({":" + port, "raw", Protocol::kTcp});
  topology.listeners.push_back({"127.0.0.1:" + port, "web", Protocol::kHttp});
  auto refused = rig_.router().SetTopology(local_, topology);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
  EXPECT_THAT(refused.error().message(), ::testing::HasSubstr("change the address in one release"));
}

TEST_F(HaproxyTest, ADeadServerCostsNoRequest) {
  // The address answers with a refused connection: another of the set takes the request.
  auto servers = fleets_[1];
  servers.push_back({InstanceId(Web(1), 99), "127.0.9.9"});
  OK(rig_.router().SetServers(Web(1), servers));
  for (int i = 0; i < 9; ++i) EXPECT_EQ(RouterRig::Client(listen_).Ask(100).status, 200);
}

TEST_F(HaproxyTest, GrowingWithinCapacityNeedsNoReload) {
  const auto pids = rig_.router().ProcessIds();
  topology_.services[0].replicas = 6;
  OK(rig_.router().SetTopology(local_, topology_));
  std::vector<Server> servers;
  for (uint64_t i = 1; i <= 6; ++i) servers.push_back(rig_.Serve(InstanceId(Web(3), i)));
  OK(rig_.router().SetServers(Web(3), servers));
  OK(Route(3));
  EXPECT_EQ(rig_.router().ProcessIds(), pids);
  std::set<InstanceId> answered;
  for (int i = 0; i < 24; ++i)
    if (auto who = rig_.Request(listen_)) answered.insert(*who);
  EXPECT_EQ(answered.size(), 6u);
}

TEST_F(HaproxyTest, ARoutedSetIsNeverHandedToAnotherFleet) {
  std::vector<Server> third = {rig_.Serve(InstanceId(Web(3), 1))};
  OK(rig_.router().SetServers(Web(3), third));
  OK(rig_.router().SetServers(Web(1), {}));  // still routed to
  EXPECT_EQ(rig_.Request(listen_), std::nullopt);
  auto refused = rig_.router().SetServers(Web(4), {rig_.Serve(InstanceId(Web(4), 1))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  OK(rig_.router().SetServers(Web(1), fleets_[1]));
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(1));
}

TEST_F(HaproxyTest, DrainWaitsForTheRequestInFlight) {
  rig_.server(0).delay_ms = 400;
  rig_.server(1).delay_ms = 400;
  std::optional<InstanceId> first;
  std::thread slow([&] { first = rig_.Request(listen_); });
  std::this_thread::sleep_for(Milliseconds(150));
  int busy = 0;
  uint64_t in_flight = 0;
  const auto now = rig_.router().Counters();
  OK(now);
  for (const auto& [instance, counters] : *now) in_flight += counters.in_flight;
  EXPECT_EQ(in_flight, 1u);
  for (const Server& server : fleets_[1]) {
    auto drained = rig_.router().Drain(server.instance);
    OK(drained);
    if (!*drained) ++busy;
  }
  EXPECT_EQ(busy, 1);
  slow.join();
  ASSERT_TRUE(first);
  for (const Server& server : fleets_[1]) EXPECT_TRUE(*rig_.router().Drain(server.instance));
  EXPECT_EQ(rig_.Request(listen_), std::nullopt);
}

TEST_F(HaproxyTest, CountsRequestsAndErrors) {
  rig_.server(0).status = 500;
  for (int i = 0; i < 10; ++i) RouterRig::Client(listen_).Ask();
  auto counters = rig_.router().Counters();
  OK(counters);
  EXPECT_EQ(counters->at(fleets_[1][0].instance).requests, 5u);
  EXPECT_EQ(counters->at(fleets_[1][0].instance).errors_5xx, 5u);
  EXPECT_EQ(counters->at(fleets_[1][1].instance).requests, 5u);
  EXPECT_EQ(counters->at(fleets_[1][1].instance).errors_5xx, 0u);
  EXPECT_EQ(counters->at(fleets_[2][0].instance).requests, 0u);
  ::kill(static_cast<pid_t>(rig_.router().ProcessIds()[0]), SIGKILL);
  for (int i = 0; i < 4; ++i) RouterRig::Client(listen_).Ask();
  counters = rig_.router().Counters();
  OK(counters);
  const auto& all = *counters;
  EXPECT_GE(all.at(fleets_[1][0].instance).requests + all.at(fleets_[1][1].instance).requests, 13u);
}

TEST_F(HaproxyTest, SaysInTextThatNothingServes) {
  OK(rig_.router().ApplyRoutes(local_, {}, {}));
  Answer answer = RouterRig::Client(listen_).Ask();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, "nothing serves web of shop/local now");
  OK(Route(1));
  OK(rig_.router().SetServers(Web(1), {}));
  answer = RouterRig::Client(listen_).Ask();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, "no instance of web of shop/local answers now");
}

TEST_F(HaproxyTest, APortInUseNamesWhoHasIt) {
  Topology topology = topology_;
  const uint16_t port = test::FreePort();
  auto taken = OpenListener({"127.0.0.1", port}, -1);
  OK(taken);
  topology.listeners.push_back({"127.0.0.1:" + std::to_string(port), "web", Protocol::kHttp});
  auto refused = rig_.router().SetTopology(local_, topology);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  EXPECT_THAT(refused.error().message(), ::testing::HasSubstr("(pid " + std::to_string(::getpid()) + ")"));
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(1));
}

TEST_F(HaproxyTest, NothingCanBeSmuggledIntoTheConfiguration) {
  const auto pids = rig_.router().ProcessIds();
  for (const char* bad : {"web\n  server x 1.2.3.4:1", "we b", "web#", "", "web\"", "%[src]"}) {
    Topology topology = topology_;
    topology.services[0].name = bad;
    topology.listeners[0].service = bad;
    EXPECT_EQ(rig_.router().SetTopology(local_, topology).error().code(), Code::kInvalid) << bad;
    topology = topology_;
    topology.endpoints = {{"db", bad, 1}};
    EXPECT_EQ(rig_.router().SetTopology(local_, topology).error().code(), Code::kInvalid) << bad;
    topology = topology_;
    topology.listeners[0].listen = bad;
    EXPECT_EQ(rig_.router().SetTopology(local_, topology).error().code(), Code::kInvalid) << bad;
    EXPECT_EQ(rig_.router().SetTopology(EnvironmentId("shop", bad), topology_).error().code(),
              Code::kInvalid);
    auto servers = fleets_[2];
    servers[0].address = bad;
    EXPECT_EQ(rig_.router().SetServers(Web(2), servers).error().code(), Code::kInvalid) << bad;
    RouteTable table;
    table.inside = {{Web(1), "web", Web(1)}};
    EXPECT_EQ(
        rig_.router().ApplyRoutes(local_, table, {{Web(1), {{InstanceId(Web(1), 1), bad}}}}).error().code(),
        Code::kInvalid);
  }
  EXPECT_EQ(rig_.router().ProcessIds(), pids);
}

TEST_F(HaproxyTest, EndpointsOutsideAreReachedOnlyWhenDeclared) {
  const uint16_t port = test::FreePort();
  TestServer outside(-1, "127.0.0.1", port, InstanceId(Web(9), 1).Render());
  Topology topology = topology_;
  topology.endpoints = {{"db", "localhost", port}, {"gone", "nowhere.invalid", 5432}};
  OK(rig_.router().SetTopology(local_, topology));
  ASSERT_EQ(rig_.router().ProcessIds().size() - (*rig_.router().TopologySettled() ? 0 : 1), 2u);
  const std::string declared = rig_.Asker();
  const std::string stranger = rig_.Asker();
  RouteTable table;
  table.outside = {{listen_, Web(1), kPort, Protocol::kHttp}};
  table.endpoints = {{Web(1), "db"}, {Web(1), "gone"}};
  OK(rig_.router().ApplyRoutes(local_, table, {{Web(1), {{InstanceId(Web(1), 11), declared}}}}));
  auto ask = [&](const std::string& from, const std::string& name, uint16_t to) {
    Answer answer;
    const std::string address = *rig_.router().VirtualAddress(local_, name);
    Inside(rig_.network_namespace(), [&] { answer = TestClient(address, to, from).Ask(); });
    return answer;
  };
  EXPECT_EQ(ask(declared, "db", port).status, 200);
  EXPECT_EQ(ask(stranger, "db", port).status, 0);
  EXPECT_EQ(ask(declared, "gone", 5432).status, 0);
  EXPECT_EQ(rig_.Request(listen_)->fleet(), Web(1)) << "an unresolvable name stops nothing";
  // Both processes are ours to keep: a killed egress is back, and a new daemon has its socket.
  rig_.Close();
  rig_.Open();
  OK(WaitSettled());
  const auto pids = rig_.router().ProcessIds();
  ASSERT_EQ(pids.size(), 2u);
  ::kill(static_cast<pid_t>(pids[1]), SIGKILL);
  EXPECT_EQ(ask(declared, "db", port).status, 200);
  OK(rig_.router().SetTopology(local_, topology_));
  OK(WaitSettled());
  EXPECT_EQ(rig_.router().ProcessIds().size(), 1u);
}

TEST_F(HaproxyTest, TcpRejectsWhoIsNotDeclared) {
  Topology topology = topology_;
  topology.services.push_back({"raw", {{"tcp", kPort, Protocol::kTcp}}, 1});
  OK(rig_.router().SetTopology(local_, topology));
  const FleetId raw(local_, "raw", "000000000001");
  OK(rig_.router().SetServers(raw, {rig_.Serve(InstanceId(raw, 1))}));
  const std::string declared = rig_.Asker();
  RouteTable table;
  table.inside = {{Web(1), "raw", raw}};
  OK(rig_.router().ApplyRoutes(local_, table, {{Web(1), {{InstanceId(Web(1), 11), declared}}}}));
  EXPECT_EQ(rig_.RequestFrom(declared, "raw"), InstanceId(raw, 1));
  EXPECT_EQ(rig_.RequestFrom(rig_.Asker(), "raw"), std::nullopt);
}

TEST_F(HaproxyTest, RunsWithoutPrivileges) {
  auto status = ReadFile("/proc/" + std::to_string(rig_.router().ProcessIds()[0]) + "/status");
  OK(status);
  EXPECT_THAT(*status, ::testing::HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(*status, ::testing::Not(::testing::HasSubstr("Uid:\t0\t")));
}

TEST_F(HaproxyTest, AHundredAskersAreCheap) {
  Topology topology = topology_;
  for (int i = 0; i < 5; ++i)
    topology.services.push_back({"s" + std::to_string(i), {{"http", 9000, Protocol::kHttp}}, 4});
  OK(rig_.router().SetTopology(local_, topology));
  RouteTable table;
  table.outside = {{listen_, Web(1), kPort, Protocol::kHttp}};
  std::map<FleetId, std::vector<Server>> askers;
  for (int i = 0; i < 5; ++i) {
    const FleetId fleet(local_, "s" + std::to_string(i), "000000000001");
    OK(rig_.router().SetServers(fleet, {{InstanceId(fleet, 1), "127.0.3.1"}}));
    table.inside.push_back({Web(1), fleet.service(), fleet});
  }
  std::vector<double> milliseconds;
  for (int round = 0; round < 51; ++round) {
    askers[Web(1)].clear();
    for (int i = 0; i < 20; ++i)
      askers[Web(1)].push_back(
          {InstanceId(Web(1), 11), "127.0." + std::to_string(round) + "." + std::to_string(i)});
    const auto begin = steady_clock::now();
    OK(rig_.router().ApplyRoutes(local_, table, askers));
    milliseconds.push_back(std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count());
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::cout << "[ measured ] ApplyRoutes of 101 keys: median " << milliseconds[25] << " ms, worst "
            << milliseconds.back() << " ms\n";
  EXPECT_LT(milliseconds[25], 50);
}

}  // namespace
}  // namespace ingot::adapters
