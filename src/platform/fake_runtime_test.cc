#include "platform/fake_runtime.h"

#include "platform/runtime_contract.h"
#include "platform/signals.h"

namespace ingot::platform {
namespace {

InstanceSpec Spec(uint64_t ordinal) {
  InstanceSpec spec;
  spec.id = InstanceId(FleetId(EnvironmentId("shop", "local"), "web", "0123456789ab"), ordinal);
  spec.process.args = {"/bin/serve"};
  return spec;
}

TEST(FakeRuntime, KeepsTheContract) {
  FakeRuntime runtime;
  runtime.on_signal = [](const InstanceSpec&, int) { return std::optional(0); };
  std::vector<std::thread> enders;
  CheckRuntimeContract({.runtime = [&]() -> Runtime& { return runtime; },
                        .serving = Spec,
                        .ending =
                            [&](uint64_t ordinal, int code) {
                              enders.emplace_back([&runtime, ordinal, code] {
                                while (!StatusIn(runtime, Spec(ordinal).id) ||
                                       StatusIn(runtime, Spec(ordinal).id)->state != ProcessState::kRunning)
                                  std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                runtime.Exit(Spec(ordinal).id, code);
                              });
                              return Spec(ordinal);
                            }});
  for (std::thread& ender : enders) ender.join();
}

TEST(FakeRuntime, TellsOfAnEndOnce) {
  FakeRuntime runtime;
  std::vector<InstanceId> ended;
  runtime.on_exit = [&](const InstanceId& id) { ended.push_back(id); };
  ASSERT_TRUE(runtime.Prepare(Spec(1)));
  ASSERT_TRUE(runtime.Start(Spec(1).id));
  runtime.Exit(Spec(1).id, std::nullopt);
  runtime.Exit(Spec(1).id, 3);
  EXPECT_EQ(ended, std::vector<InstanceId>{Spec(1).id});
  EXPECT_FALSE(StatusIn(runtime, Spec(1).id)->exit_code);
}

TEST(FakeRuntime, AFailedLookIsAnError) {
  FakeRuntime runtime;
  runtime.observe_error = Error(Code::kIo, "could not look");
  EXPECT_EQ(runtime.Observe().error().code(), Code::kIo);
}

TEST(Signals, NamesAndNumbers) {
  EXPECT_EQ(ParseSignal("SIGTERM").value_or(0), 15);
  EXPECT_EQ(ParseSignal("TERM").value_or(0), 15);
  EXPECT_EQ(ParseSignal("9").value_or(0), 9);
  EXPECT_EQ(ParseSignal("SIGRTMIN+3").value_or(0), 37);
  EXPECT_EQ(ParseSignal("RTMAX-1").value_or(0), 63);
  for (const char* bad : {"", "0", "65", "-1", "SIG", "sigterm", "TERM ", "RTMIN+31", "9x"})
    EXPECT_EQ(ParseSignal(bad).error().code(), Code::kInvalid) << bad;
}

}  // namespace
}  // namespace ingot::platform
