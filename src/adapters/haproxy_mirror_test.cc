// Copies of requests to a fleet that serves nobody, by the real HAProxy.
#include "adapters/haproxy_mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <functional>
#include <thread>

#include "adapters/haproxy.h"
#include "adapters/haproxy_config.h"
#include "adapters/haproxy_test_rig.h"
#include "adapters/mirror_rules.h"
#include "platform/router_contract.h"

namespace ingot::adapters {
namespace {

using platform::FleetId;
using platform::InstanceId;
using platform::RouteTable;
using platform::ShadowCounters;
using platform::Topology;
using test::TestClient;
using test::TestServer;

class HaproxyMirrorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TempDirectory::Make("/tmp", "ingot-haproxy-mirror-");
    ROUTER_OK(directory);
    directory_ = std::make_unique<TempDirectory>(std::move(*directory));
    ::chmod(directory_->path().c_str(), 0700);
    auto made = test::MakeRouterNamespace();
    ROUTER_OK(made);
    namespace_ = std::move(*made);
    Open();
    port_ = test::FreePort();
  }
  void Open() {
    router_.reset();
    HaproxyOptions options;
    options.directory = directory_->path() / "ha";
    options.root_key = directory_->path().filename().string().substr(21);
    options.router_namespace = namespace_.get();
    auto opened = HaproxyRouter::Open(options);
    ROUTER_OK(opened);
    router_ = std::move(*opened);
  }
  void TearDown() override {
    if (router_) static_cast<void>(router_->Destroy().has_value());
  }
  static FleetId Web(int n) { return FleetId({"shop", "local"}, "web", "00000000000" + std::to_string(n)); }
  std::string Listen() const { return "127.0.0.1:" + std::to_string(port_); }
  void Prepare(Topology::Shadow shadow, const std::string& name_of_new = "1") {
    Topology topology;
    topology.services = {{"web", {{"http", 8080, platform::Protocol::kHttp}}, 2, {}, {}, std::move(shadow)}};
    topology.listeners = {{Listen(), "web", platform::Protocol::kHttp}};
    ROUTER_OK(router_->SetTopology({"shop", "local"}, topology));
    for (const int n : {1, 2}) {
      const std::string address = "127.0.1." + std::to_string(n);
      servers_.push_back(
          std::make_unique<TestServer>(namespace_.get(), address, 8080, n == 1 ? "1" : name_of_new));
      ROUTER_OK(router_->SetServers(Web(n), {{InstanceId(Web(n), static_cast<uint64_t>(n)), address}}));
    }
    RouteTable table;
    table.outside = {{Listen(), Web(1), 8080, platform::Protocol::kHttp}};
    ROUTER_OK(router_->ApplyRoutes({"shop", "local"}, table, {}));
  }
  void CopyShare(uint32_t per_mille, uint32_t step = 1) {
    RouteTable table;
    table.outside = {
        {Listen(), Web(1), 8080, platform::Protocol::kHttp, platform::Share{Web(2), 0, per_mille}}};
    table.rollout = 5;
    table.step = step;
    ROUTER_OK(router_->ApplyRoutes({"shop", "local"}, table, {}));
  }
  // So many requests, each of which has to be answered by the first fleet.
  void Ask(int requests, size_t body_bytes = 0) {
    TestClient client("127.0.0.1", port_);
    for (int i = 0; i < requests; ++i) {
      const auto answer = client.Ask(body_bytes);
      EXPECT_EQ(answer.status, servers_[0]->status.load());
      EXPECT_EQ(answer.body, "1 " + std::to_string(body_bytes));
    }
  }
  // The counts, once they are as wanted, or after 3 s.
  ShadowCounters WaitFor(const std::function<bool(const ShadowCounters&)>& wanted, uint32_t step = 1) {
    for (int i = 0;; ++i) {
      auto counted = router_->CountersOf({Web(1), Web(2)}, 5, step);
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

  std::unique_ptr<TempDirectory> directory_;
  Fd namespace_;
  std::unique_ptr<HaproxyRouter> router_;
  std::vector<std::unique_ptr<TestServer>> servers_;
  uint16_t port_ = 0;
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
  EXPECT_EQ(servers_[0]->served, 45u);
  EXPECT_EQ(servers_[1]->served, 40u);
}

TEST_F(HaproxyMirrorTest, AnotherStatusAndAnotherBodyAreDifferences) {
  Prepare(Gets(), "2");
  CopyShare(1000);
  Ask(10);
  ShadowCounters counted = WaitFor([](const auto& now) { return now.other_body >= 10; });
  EXPECT_EQ(counted.other_body, 10u);
  EXPECT_THAT(counted.examples, ::testing::Contains("GET /: 200, another body"));
  servers_[1]->status = 500;
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
  EXPECT_EQ(servers_[1]->served, 1u);
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
  EXPECT_EQ(servers_[1]->served, 10u);
}

TEST_F(HaproxyMirrorTest, AFleetThatHangsHoldsUpNobody) {
  Prepare(Gets(true, Milliseconds(200)));
  servers_[1]->delay_ms = 1'000;
  CopyShare(1000);
  const auto begin = std::chrono::steady_clock::now();
  Ask(300);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, Milliseconds(3'000));
  const ShadowCounters counted =
      WaitFor([](const auto& now) { return now.timed_out > 50 && now.in_flight == 0; });
  EXPECT_GT(counted.timed_out, 50u);
  EXPECT_EQ(counted.same, 0u);
  EXPECT_EQ(counted.timed_out + counted.skipped, 300u) << "each is accounted for";
}

TEST_F(HaproxyMirrorTest, AFleetThatIsGoneFailsOrIsSkipped) {
  Prepare(Gets());
  CopyShare(1000);
  servers_.pop_back();
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.failed >= 10; }).failed, 10u);
  ROUTER_OK(router_->SetServers(Web(2), {}));
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.skipped >= 10; }).skipped, 10u);
}

TEST_F(HaproxyMirrorTest, CopiesGoOnAfterHaproxyAndItsDaemonDied) {
  Prepare(Gets());
  CopyShare(1000);
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 10; }).same, 10u);
  const std::vector<int64_t> pids = router_->ProcessIds();
  ASSERT_FALSE(pids.empty());
  ::kill(static_cast<pid_t>(pids[0]), SIGKILL);
  while (router_->ProcessIds().empty() || router_->ProcessIds()[0] == pids[0])
    std::this_thread::sleep_for(Milliseconds(5));
  Ask(10);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 20; }).same, 20u);
  // Nobody counts for a while, and nobody is held up.
  router_.reset();
  Ask(10);
  Open();
  Ask(7);
  EXPECT_EQ(WaitFor([](const auto& now) { return now.same >= 7; }).same, 7u);
}

// One that cannot be opened is said to who wants copies, and forgotten with the shadow.
TEST_F(HaproxyMirrorTest, WithoutASocketTheCountsAreUnknownAndNotZero) {
  const fs::path in_the_way = directory_->path() / "ha" / kMirrorSocket;
  fs::create_directory(in_the_way);
  Prepare(Gets());
  CopyShare(1000);
  Ask(3);
  const auto counted = router_->CountersOf({Web(1), Web(2)}, 5, 1);
  ASSERT_FALSE(counted.has_value());
  EXPECT_EQ(counted.error().code(), Code::kUnavailable);
  EXPECT_THAT(counted.error().message(), ::testing::HasSubstr("no request can be copied: "));
  Topology topology;
  topology.services = {{"web", {{"http", 8080, platform::Protocol::kHttp}}, 2}};
  topology.listeners = {{Listen(), "web", platform::Protocol::kHttp}};
  ROUTER_OK(router_->SetTopology({"shop", "local"}, topology));
  ROUTER_OK(router_->CountersOf({Web(1), Web(2)}, 5, 1));
  fs::remove(in_the_way);
  topology.services[0].shadow = Gets();
  ROUTER_OK(router_->SetTopology({"shop", "local"}, topology));
  ROUTER_OK(router_->CountersOf({Web(1), Web(2)}, 5, 1));
  EXPECT_TRUE(fs::is_socket(in_the_way));
  topology.services[0].shadow = {};
  ROUTER_OK(router_->SetTopology({"shop", "local"}, topology));
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
