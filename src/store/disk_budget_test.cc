#include "store/disk_budget.h"

#include <fstream>
#include <thread>

#include "store/collector.h"
#include "store/store_fixture.h"

namespace ingot::store {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class DiskBudgetTest : public StoreTest {
 protected:
  void Fill(const std::string& name, size_t bytes) {
    std::ofstream(root_ / name, std::ios::binary) << std::string(bytes, 'x');
  }
  uint64_t Used() {
    DiskBudget budget(catalog_, root_);
    budget.SetLimit(uint64_t{1} << 50);
    return Must(budget.Look()).used_bytes;
  }
};

TEST_F(DiskBudgetTest, WithoutALimitNothingIsCounted) {
  DiskBudget budget(catalog_, root_);
  Must(budget.Take(uint64_t{1} << 60));
  Must(budget.Settle());
  EXPECT_EQ(budget.Look().error().code(), Code::kNotFound);
}

TEST_F(DiskBudgetTest, WhatIsThereCountsAndWhatDoesNotFitIsRefusedWithTheRemedy) {
  Fill("blobs/sha256/x", 3 * kMiB);
  fs::create_directories(root_ / "tmp/uploads/1");
  Fill("tmp/uploads/1/y", kMiB);
  DiskBudget budget(catalog_, root_);
  budget.SetLimit(10 * kMiB);
  EXPECT_EQ(Must(budget.Look()).used_bytes, 4 * kMiB);
  auto refused = budget.Take(6 * kMiB + 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kNoSpace);
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("4.00 MiB of 10.0 MiB are used"));
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("ingot gc"));
  Must(budget.Take(6 * kMiB));
  EXPECT_EQ(budget.Take(1).error().code(), Code::kNoSpace);
  budget.Give(kMiB);
  Must(budget.Take(kMiB));
  Must(budget.Settle());
  EXPECT_EQ(Used(), 10 * kMiB);
}

TEST_F(DiskBudgetTest, SeveralAtOnceNeverTakeMoreThanThereIs) {
  std::atomic<uint64_t> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      DiskBudget budget(catalog_, root_);  // as another process would have it
      budget.SetLimit(400 * kMiB);
      while (budget.Take(3 * kMiB)) taken += 3 * kMiB;
      Must(budget.Settle());
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(taken.load(), 400 * kMiB);
  EXPECT_GT(taken.load(), 400 * kMiB - 4 * 3 * kMiB);
  EXPECT_EQ(Used(), taken.load());
}

TEST_F(DiskBudgetTest, TheReservationOfADeadProcessCountsUntilItIsMeasured) {
  DiskBudget budget(catalog_, root_);
  budget.SetLimit(10 * kMiB);
  Must(budget.Take(1));
  LeaseRow dead = Must(LeaseOfThisProcess());
  Must(catalog_.Write([&](CatalogRows& rows) {
    return rows.PutReservation(
        {"dead", dead.boot_id, dead.pid_namespace, dead.pid, dead.pid_start + 1, 8 * kMiB});
  }));
  EXPECT_EQ(budget.Take(5 * kMiB).error().code(), Code::kNoSpace);
  Must(budget.Measure());
  Must(budget.Take(5 * kMiB));
}

TEST_F(DiskBudgetTest, AStoreRefusesWhatWouldExceedItAndACollectionMakesRoom) {
  const std::string bytes(2 * kMiB, 'a');
  {
    auto lease = Must(store_->TakeLease("test"));
    store_->budget().SetLimit(5 * kMiB);
    PutImageOf(*store_, lease, {{"big", bytes}});
    const std::vector<std::string> before = FilesBelow(root_);
    auto put = store_->objects().Put(std::string(4 * kMiB, 'b'));
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code(), Code::kNoSpace);
    auto blob = store_->PutBlob(std::string(4 * kMiB, 'c'), lease);
    ASSERT_FALSE(blob);
    EXPECT_EQ(blob.error().code(), Code::kNoSpace);
    EXPECT_EQ(FilesBelow(root_), before);
    // What is there already takes nothing.
    for (int i = 0; i < 10; ++i) Must(store_->objects().Put(bytes));
  }
  EXPECT_LE(Must(MeasureDisk(root_)), 5 * kMiB);
  Must(Collect(*store_, {}, clock_));
  auto lease = Must(store_->TakeLease("test"));
  Must(store_->PutBlob(std::string(4 * kMiB, 'c'), lease));
  EXPECT_LE(Must(MeasureDisk(root_)), 5 * kMiB);
}

}  // namespace
}  // namespace ingot::store
