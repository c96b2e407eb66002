#include "base/group_sync.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace ingot {
namespace {

TEST(GroupSyncTest, EverySyncBeginsAfterWhatItMakesDurableAndManyShareOne) {
  std::atomic<int> written{0};
  std::atomic<int> durable{0};
  std::atomic<int> syncs{0};
  GroupSync group([&]() -> Result<void> {
    const int seen = written;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    durable = seen;
    ++syncs;
    return {};
  });
  std::atomic<int> early{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 20; ++turn) {
        const int mine = ++written;
        if (!group.Wait() || durable < mine) ++early;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(early, 0);
  EXPECT_LT(syncs, 16 * 20 / 2);
}

TEST(GroupSyncTest, WhatFailedIsToldToAllWhoWaitedForIt) {
  std::atomic<bool> fails{true};
  GroupSync group([&]() -> Result<void> {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (fails) return Error(Code::kIo, "the disk is gone");
    return {};
  });
  std::atomic<int> errors{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      if (const auto done = group.Wait(); !done && done.error().code() == Code::kIo) ++errors;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(errors, 8);
  fails = false;
  EXPECT_TRUE(group.Wait().has_value());
}

}  // namespace
}  // namespace ingot
