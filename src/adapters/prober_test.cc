#include "adapters/prober.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "adapters/haproxy_test_rig.h"
#include "adapters/listeners.h"
#include "adapters/probe_state.h"

namespace ingot::adapters {
namespace {

using platform::EnvironmentId;
using platform::FleetId;
using platform::InstanceId;
using platform::Probe;
using std::chrono::steady_clock;

Probe Tcp(uint16_t port) {
  Probe probe;
  probe.kind = Probe::Kind::kTcp;
  probe.port = port;
  return probe;
}

Probe HttpTarget(uint16_t port, const std::string& path = "/healthz") {
  Probe probe = Tcp(port);
  probe.kind = Probe::Kind::kHttp;
  probe.path = path;
  return probe;
}

InstanceId ProbedInstance(uint64_t n) {
  return InstanceId(FleetId(EnvironmentId("shop", "local"), "web", "000000000001"), n);
}

TEST(ProbeState, NeedsConsecutivePasses) {
  FakeClock clock;
  Probe ready = Tcp(1);
  ready.passes = 2;
  Probe live = Tcp(1);
  live.interval = Milliseconds(5000);
  ProbeState state(ready, live, false, false, clock.Steady());
  EXPECT_EQ(state.Begin(clock.Steady()), std::nullopt);
  EXPECT_EQ(state.due(), clock.Steady());
  EXPECT_FALSE(state.Passed(clock.Steady()));
  EXPECT_EQ(state.due(), clock.Steady() + Milliseconds(5));
  EXPECT_FALSE(state.Failed(clock.Steady(), "no"));
  EXPECT_FALSE(state.Passed(clock.Steady()));
  const auto change = state.Passed(clock.Steady());
  ASSERT_TRUE(change);
  EXPECT_EQ(change->health, Health::kReady);
  EXPECT_EQ(state.due(), clock.Steady() + Milliseconds(5000)) << "the live probe's turn";
  EXPECT_EQ(state.deadline(), std::nullopt);
}

TEST(ProbeState, ThreeFailuresInARowAreUnhealthyAndOnePassIsReadyAgain) {
  FakeClock clock;
  ProbeState state(Probe{}, Tcp(1), false, false, clock.Steady());
  ASSERT_EQ(state.Begin(clock.Steady())->health, Health::kReady);
  EXPECT_FALSE(state.Begin(clock.Steady())) << "said once";
  EXPECT_FALSE(state.Failed(clock.Steady(), "a"));
  EXPECT_FALSE(state.Failed(clock.Steady(), "b"));
  EXPECT_FALSE(state.Passed(clock.Steady()));
  EXPECT_FALSE(state.Failed(clock.Steady(), "c"));
  EXPECT_FALSE(state.Failed(clock.Steady(), "d"));
  auto change = state.Failed(clock.Steady(), "e");
  ASSERT_TRUE(change);
  EXPECT_EQ(change->health, Health::kUnhealthy);
  EXPECT_EQ(change->reason, "e");
  EXPECT_FALSE(state.Failed(clock.Steady(), "f")) << "said once";
  EXPECT_EQ(state.Passed(clock.Steady())->health, Health::kReady);
}

TEST(ProbeState, TheDeadlineIsFinal) {
  FakeClock clock;
  Probe ready = Tcp(1);
  ready.deadline = Milliseconds(1000);
  ProbeState state(ready, Tcp(1), false, false, clock.Steady());
  EXPECT_FALSE(state.Failed(clock.Steady(), "connection refused"));
  clock.Advance(Milliseconds(999));
  EXPECT_FALSE(state.Late(clock.Steady()));
  clock.Advance(Milliseconds(1));
  const auto change = state.Passed(clock.Steady());
  ASSERT_TRUE(change);
  EXPECT_EQ(change->health, Health::kFailed);
  EXPECT_EQ(change->reason, "not ready within 1s: connection refused");
  EXPECT_EQ(state.probe(), nullptr);
  EXPECT_FALSE(state.Passed(clock.Steady()));
}

TEST(ProbeState, WhatIsHeldIsAskedOnWhetherItIsReady) {
  FakeClock clock;
  Probe ready = Tcp(1);  // each 5 ms at the gate
  ready.fails = 2;
  ProbeState state(ready, Probe{}, false, true, clock.Steady());
  ASSERT_EQ(state.Passed(clock.Steady())->health, Health::kReady);
  EXPECT_EQ(state.due(), clock.Steady() + Milliseconds(1000)) << "but not at the gate's pace";
  ASSERT_NE(state.probe(), nullptr);
  EXPECT_EQ(*state.probe(), [&] {
    Probe still = ready;
    still.interval = Milliseconds(1000);
    return still;
  }());
  EXPECT_FALSE(state.Failed(clock.Steady(), "a"));
  EXPECT_FALSE(state.Passed(clock.Steady()));
  EXPECT_FALSE(state.Failed(clock.Steady(), "b")) << "in a row";
  const auto change = state.Failed(clock.Steady(), "connection refused");
  ASSERT_TRUE(change);
  EXPECT_EQ(change->health, Health::kUnhealthy);
  EXPECT_EQ(change->reason, "connection refused");
  // One that is not held is asked no more.
  ProbeState serving(ready, Probe{}, true, false, clock.Steady());
  EXPECT_EQ(serving.probe(), nullptr);
}

TEST(ProbeState, WhatIsHeldKeepsItsLiveProbeBeside) {
  FakeClock clock;
  Probe ready = Tcp(1);
  Probe live = Tcp(2);
  live.interval = Milliseconds(5000);
  live.fails = 1;
  ProbeState state(ready, live, true, true, clock.Steady());
  std::map<int, int> asked;  // by port
  for (int i = 0; i < 11; ++i) {
    clock.Advance(std::chrono::ceil<Milliseconds>(state.due() - clock.Steady()));
    ++asked[state.probe()->port];
    EXPECT_FALSE(state.Passed(clock.Steady()));
  }
  // At 1, 2, 3, 4, 5, 5, 6, 7, 8, 9 and 10 s.
  EXPECT_EQ(asked, (std::map<int, int>{{1, 9}, {2, 2}})) << "each at its own interval";
  ASSERT_EQ(state.probe()->port, 1);
  EXPECT_FALSE(state.Failed(clock.Steady(), "a")) << "fails are counted apart";
  EXPECT_FALSE(state.Failed(clock.Steady(), "b"));
  EXPECT_EQ(state.Failed(clock.Steady(), "c")->reason, "c");
}

class ProberTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = test::MakeRouterNamespace();
    ASSERT_TRUE(made) << made.error().Render();
    namespace_ = std::move(*made);
    auto prober = Prober::Start(
        namespace_.get(),
        [this](const InstanceId&, const std::vector<std::string>& command, Milliseconds) -> Result<int> {
          ++executed_;
          return command[0] == "/ok" ? 0 : 3;
        },
        [this](const InstanceId& instance, Health health, const std::string& reason) {
          const std::lock_guard lock(mutex_);
          changes_[instance].emplace_back(health, reason);
        });
    ASSERT_TRUE(prober) << prober.error().Render();
    prober_ = std::move(*prober);
  }
  // The nth change of the instance, within 5 s.
  std::pair<Health, std::string> Wait(const InstanceId& instance, size_t n = 1) {
    const auto deadline = steady_clock::now() + std::chrono::seconds(5);
    while (steady_clock::now() < deadline) {
      {
        const std::lock_guard lock(mutex_);
        if (changes_[instance].size() >= n) return changes_[instance][n - 1];
      }
      std::this_thread::sleep_for(Milliseconds(2));
    }
    return {Health::kFailed, "the test saw nothing"};
  }
  size_t Count(const InstanceId& instance) {
    const std::lock_guard lock(mutex_);
    return changes_[instance].size();
  }
  void Watch(uint64_t n, const std::string& address, Probe ready, Probe live = {}) {
    auto watched = prober_->Watch({ProbedInstance(n), address, std::move(ready), std::move(live), false});
    ASSERT_TRUE(watched) << watched.error().Render();
  }

  Fd namespace_;
  std::atomic<int> executed_{0};
  std::mutex mutex_;
  std::map<InstanceId, std::vector<std::pair<Health, std::string>>> changes_;
  std::unique_ptr<Prober> prober_;
};

TEST_F(ProberTest, ReadySoonAfterItListens) {
  Watch(1, "127.0.1.1", HttpTarget(8080));
  std::this_thread::sleep_for(Milliseconds(50));
  EXPECT_EQ(Count(ProbedInstance(1)), 0u);
  const auto begin = steady_clock::now();
  test::TestServer server(namespace_.get(), "127.0.1.1", 8080, "a");
  EXPECT_EQ(Wait(ProbedInstance(1)).first, Health::kReady);
  std::cout << "[ measured ] ready "
            << std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count()
            << " ms after it listens\n";
}

TEST_F(ProberTest, StatusDecides) {
  test::TestServer server(namespace_.get(), "127.0.1.1", 8080, "a");
  server.status = 500;
  Probe ready = HttpTarget(8080);
  ready.deadline = Milliseconds(200);
  Watch(1, "127.0.1.1", ready);
  EXPECT_EQ(Wait(ProbedInstance(1)),
            std::pair(Health::kFailed,
                      std::string("not ready within 200ms: GET /healthz on port 8080: status 500")));
  server.status = 302;
  Watch(2, "127.0.1.1", ready);
  EXPECT_EQ(Wait(ProbedInstance(2)).first, Health::kReady);
}

TEST_F(ProberTest, LiveProbeNoticesAndRecovers) {
  test::TestServer server(namespace_.get(), "127.0.1.1", 8080, "a");
  Probe live = HttpTarget(8080);
  live.interval = Milliseconds(10);
  Watch(1, "127.0.1.1", Tcp(8080), live);
  EXPECT_EQ(Wait(ProbedInstance(1), 1).first, Health::kReady);
  server.status = 503;
  EXPECT_EQ(Wait(ProbedInstance(1), 2),
            std::pair(Health::kUnhealthy, std::string("GET /healthz on port 8080: status 503")));
  server.status = 200;
  EXPECT_EQ(Wait(ProbedInstance(1), 3).first, Health::kReady);
}

TEST_F(ProberTest, AHostilePeerHoldsNobodyUp) {
  // Accepts and says nothing; and one that never stops talking.
  auto silent = OpenListener({"127.0.1.1", 8080}, namespace_.get());
  auto endless = OpenListener({"127.0.1.2", 8080}, namespace_.get());
  ASSERT_TRUE(silent && endless);
  std::atomic<bool> stop{false};
  std::thread talker([&] {
    std::vector<Fd> open;
    while (!stop) {
      Fd fd(::accept4(endless->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd.valid()) open.push_back(std::move(fd));
      for (const Fd& peer : open)
        static_cast<void>(!::send(peer.get(), "AAAAAAAAAAAAAAAA", 16, MSG_NOSIGNAL));
      std::this_thread::sleep_for(Milliseconds(1));
    }
  });
  Probe ready = HttpTarget(8080);
  ready.timeout = Milliseconds(50);
  ready.deadline = Milliseconds(300);
  Watch(1, "127.0.1.1", ready);
  Watch(2, "127.0.1.2", ready);
  test::TestServer good(namespace_.get(), "127.0.1.3", 8080, "good");
  Watch(3, "127.0.1.3", ready);
  EXPECT_EQ(Wait(ProbedInstance(3)).first, Health::kReady);
  EXPECT_EQ(Wait(ProbedInstance(1)).second,
            "not ready within 300ms: GET /healthz on port 8080: no answer within 50ms");
  EXPECT_EQ(Wait(ProbedInstance(2)).second,
            "not ready within 300ms: GET /healthz on port 8080: the answer is not HTTP");
  stop = true;
  talker.join();
}

TEST_F(ProberTest, RunProbesGoToWorkers) {
  Probe ready;
  ready.kind = Probe::Kind::kRun;
  ready.command = {"/ok"};
  ready.passes = 3;
  Watch(1, "127.0.1.1", ready);
  EXPECT_EQ(Wait(ProbedInstance(1)).first, Health::kReady);
  EXPECT_EQ(executed_, 3);
  ready.command = {"/bad"};
  ready.deadline = Milliseconds(100);
  Watch(2, "127.0.1.1", ready);
  EXPECT_EQ(Wait(ProbedInstance(2)).second, "not ready within 100ms: running /bad: exit code 3");
}

TEST_F(ProberTest, UnwatchedMeansSilence) {
  test::TestServer server(namespace_.get(), "127.0.1.1", 8080, "a");
  Probe live = HttpTarget(8080);
  live.interval = Milliseconds(1);
  Watch(1, "127.0.1.1", Tcp(8080), live);
  EXPECT_EQ(Wait(ProbedInstance(1)).first, Health::kReady);
  prober_->Unwatch(ProbedInstance(1));
  server.status = 500;
  const size_t before = Count(ProbedInstance(1));
  std::this_thread::sleep_for(Milliseconds(50));
  EXPECT_EQ(Count(ProbedInstance(1)), before);
}

TEST_F(ProberTest, AThousandTargetsBecomeReady) {
  std::vector<std::unique_ptr<test::TestServer>> servers;
  servers.push_back(std::make_unique<test::TestServer>(namespace_.get(), "127.0.1.1", 8080, "a"));
  Probe ready = Tcp(8080);
  for (uint64_t n = 1; n <= 1000; ++n) Watch(n, "127.0.1.1", ready);
  for (uint64_t n = 1; n <= 1000; ++n) ASSERT_EQ(Wait(ProbedInstance(n)).first, Health::kReady) << n;
}

TEST_F(ProberTest, RefusesWhatItCannotProbe) {
  EXPECT_EQ(prober_->Watch({ProbedInstance(1), "localhost", Tcp(1), {}, false}).error().code(),
            Code::kInvalid);
  EXPECT_EQ(
      prober_->Watch({ProbedInstance(1), "127.0.0.1", HttpTarget(1, "/a\r\nX: y"), {}, false}).error().code(),
      Code::kInvalid);
  EXPECT_EQ(prober_->Watch({ProbedInstance(1), "127.0.0.1", Tcp(0), {}, false}).error().code(),
            Code::kInvalid);
}

}  // namespace
}  // namespace ingot::adapters
