#include "adapters/queue_watcher.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace ingot::adapters {
namespace {

using definition::ResolvedCheck;

const QueueWatcher::Key kWeb{{"shop", "local"}, "web"};

ResolvedCheck Source(const std::string& name) {
  ResolvedCheck source;
  source.name = name;
  source.interval = Milliseconds(1);
  source.timeout = Milliseconds(60'000);
  return source;
}

// Until it is so; a test that waits in vain is ended by ctest.
template <typename Condition>
void Until(Condition condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(QueueWatcher, HasTheLastNumberOfWhatItWatches) {
  SystemClock clock;
  std::atomic<int> number = 0;
  QueueWatcher watcher(
      [&](const auto& target, const auto&, const auto&) -> Result<double> {
        EXPECT_EQ(target.service, "web");
        if (++number == 5) return Error(Code::kInvalid, "five");
        return number.load();
      },
      clock);
  EXPECT_EQ(watcher.Last(kWeb).error().code(), Code::kUnavailable);
  watcher.Watch({{kWeb, Source("a")}});
  Until([&] { return watcher.Last(kWeb).value_or(0) >= 7; });
  // The same again changes nothing.
  watcher.Watch({{kWeb, Source("a")}});
  EXPECT_GE(watcher.Last(kWeb).value_or(0), 7);
  watcher.Watch({});
  EXPECT_FALSE(watcher.Last(kWeb));
}

TEST(QueueWatcher, OneThatHangsDelaysNobodyAndIsBrokenOff) {
  SystemClock clock;
  std::atomic<int> broken_off = 0;
  QueueWatcher watcher(
      [&](const auto&, const ResolvedCheck& source, const std::atomic<bool>& cancelled) -> Result<double> {
        if (source.name != "hangs") return 1;
        Until([&] { return cancelled.load(); });
        ++broken_off;
        return Error(Code::kCancelled, "cancelled");
      },
      clock);
  const QueueWatcher::Key other{kWeb.first, "other"};
  watcher.Watch({{kWeb, Source("hangs")}, {other, Source("b")}});
  Until([&] { return watcher.Last(other).has_value(); });
  EXPECT_EQ(watcher.Last(kWeb).error().code(), Code::kNotFound);
  // Another source in its place.
  watcher.Watch({{kWeb, Source("c")}, {other, Source("b")}});
  Until([&] { return watcher.Last(kWeb).has_value() && broken_off == 1; });
}

TEST(QueueWatcher, WhatIsTooOldIsNotKnown) {
  SystemClock clock;
  std::atomic<bool> first = true;
  QueueWatcher watcher(
      [&](const auto&, const auto&, const std::atomic<bool>& cancelled) -> Result<double> {
        if (first.exchange(false)) return 3;
        Until([&] { return cancelled.load(); });
        return 4;
      },
      clock);
  ResolvedCheck source = Source("a");
  source.timeout = Milliseconds(20);
  watcher.Watch({{kWeb, source}});
  Until([&] { return watcher.Last(kWeb) || watcher.Last(kWeb).error().code() == Code::kUnavailable; });
  Until([&] { return !watcher.Last(kWeb); });
  EXPECT_EQ(watcher.Last(kWeb).error().message(), "the last measurement is too long ago");
}

}  // namespace
}  // namespace ingot::adapters
