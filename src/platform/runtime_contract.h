// What every Runtime keeps, the fake and the real one: a test suite to be run against each (include it in a
// test only).
//
// A program for the suite runs until SIGTERM, which it answers by ending with 0.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>

#include "platform/runtime.h"

namespace ingot::platform {

struct RuntimeUnderTest {
  std::function<Runtime&()> runtime;
  // A spec that runs until SIGTERM and then exits with 0.
  std::function<InstanceSpec(uint64_t ordinal)> serving;
  // A spec that ends by itself with this code, or is told to by the harness once started.
  std::function<InstanceSpec(uint64_t ordinal, int code)> ending;
};

inline std::optional<RuntimeStatus> StatusIn(Runtime& runtime, const InstanceId& id) {
  auto all = runtime.Observe();
  EXPECT_TRUE(all) << all.error().Render();
  if (!all) return std::nullopt;
  for (const RuntimeStatus& status : *all)
    if (status.id == id) return status;
  return std::nullopt;
}

inline bool WaitForExit(Runtime& runtime, const InstanceId& id) {
  for (int i = 0; i < 2000; ++i) {
    const auto status = StatusIn(runtime, id);
    if (status && status->state == ProcessState::kExited) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

inline void CheckRuntimeContract(const RuntimeUnderTest& under_test) {
  Runtime& runtime = under_test.runtime();

  // Nothing is known of what was not prepared.
  const InstanceSpec first = under_test.serving(1);
  EXPECT_FALSE(StatusIn(runtime, first.id));
  EXPECT_EQ(runtime.Start(first.id).error().code(), Code::kNotFound);
  EXPECT_EQ(runtime.Signal(first.id, "SIGTERM").error().code(), Code::kNotFound);
  EXPECT_EQ(runtime.Exec(first.id, {"/bin/true"}, Milliseconds(1000)).error().code(), Code::kNotFound);
  EXPECT_TRUE(runtime.Remove(first.id));

  // Prepared twice is prepared once; prepared is not started.
  auto prepared = runtime.Prepare(first);
  ASSERT_TRUE(prepared) << prepared.error().Render();
  ASSERT_TRUE(runtime.Prepare(first));
  auto status = StatusIn(runtime, first.id);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->state, ProcessState::kCreated);
  EXPECT_EQ(status->pid, 0);
  EXPECT_EQ(runtime.Signal(first.id, "SIGTERM").error().code(), Code::kNotFound);

  // Started twice is started once.
  auto started = runtime.Start(first.id);
  ASSERT_TRUE(started) << started.error().Render();
  status = StatusIn(runtime, first.id);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->state, ProcessState::kRunning);
  EXPECT_GT(status->pid, 0);
  EXPECT_FALSE(status->exit_code);
  EXPECT_GT(status->started.time_since_epoch().count(), 1'600'000'000'000);
  const int64_t pid = status->pid;
  ASSERT_TRUE(runtime.Start(first.id));
  EXPECT_EQ(StatusIn(runtime, first.id)->pid, pid);
  EXPECT_EQ(runtime.Exec(first.id, {"/bin/true"}, Milliseconds(5000)).value_or(-1), 0);
  EXPECT_EQ(runtime.Signal(first.id, "SIGNONE").error().code(), Code::kInvalid);

  // Two instances are two.
  const InstanceSpec second = under_test.serving(2);
  ASSERT_TRUE(runtime.Prepare(second));
  ASSERT_TRUE(runtime.Start(second.id));
  ASSERT_TRUE(StatusIn(runtime, second.id));
  EXPECT_NE(StatusIn(runtime, second.id)->pid, pid);

  // A signal ends it; a dead one stays, with its code, and is not started again.
  ASSERT_TRUE(runtime.Signal(first.id, "SIGTERM"));
  ASSERT_TRUE(WaitForExit(runtime, first.id));
  status = StatusIn(runtime, first.id);
  EXPECT_EQ(status->exit_code, 0);
  EXPECT_EQ(status->pid, 0);
  EXPECT_EQ(runtime.Signal(first.id, "SIGTERM").error().code(), Code::kNotFound);
  EXPECT_EQ(runtime.Exec(first.id, {"/bin/true"}, Milliseconds(1000)).error().code(), Code::kNotFound);
  ASSERT_TRUE(runtime.Start(first.id));
  EXPECT_EQ(StatusIn(runtime, first.id)->state, ProcessState::kExited);
  EXPECT_EQ(StatusIn(runtime, second.id)->state, ProcessState::kRunning);

  // SIGKILL is 137.
  ASSERT_TRUE(runtime.Signal(second.id, "SIGKILL"));
  ASSERT_TRUE(WaitForExit(runtime, second.id));
  EXPECT_EQ(StatusIn(runtime, second.id)->exit_code, 137);

  const InstanceSpec third = under_test.ending(3, 7);
  ASSERT_TRUE(runtime.Prepare(third));
  ASSERT_TRUE(runtime.Start(third.id));
  ASSERT_TRUE(WaitForExit(runtime, third.id));
  EXPECT_EQ(StatusIn(runtime, third.id)->exit_code, 7);

  // Removed is unknown, however often; a running one too.
  const InstanceSpec fourth = under_test.serving(4);
  ASSERT_TRUE(runtime.Prepare(fourth));
  ASSERT_TRUE(runtime.Start(fourth.id));
  for (const InstanceSpec* spec : {&first, &second, &third, &fourth}) {
    auto removed = runtime.Remove(spec->id);
    EXPECT_TRUE(removed) << removed.error().Render();
    EXPECT_TRUE(runtime.Remove(spec->id));
    EXPECT_FALSE(StatusIn(runtime, spec->id));
  }

  InstanceSpec empty = under_test.serving(5);
  empty.process.args.clear();
  EXPECT_EQ(runtime.Prepare(empty).error().code(), Code::kInvalid);
  EXPECT_FALSE(StatusIn(runtime, empty.id));
}

}  // namespace ingot::platform
