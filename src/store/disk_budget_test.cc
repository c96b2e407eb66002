#include "store/disk_budget.h"

#include <fcntl.h>

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
  // A file for which the budget has room, of blocks that the filesystem really sets aside.
  Result<void> Store(DiskBudget& budget, const std::string& name, uint64_t bytes) {
    DiskShare share(&budget);
    TRY(share.Grow(bytes));
    const Fd fd = TRY(OpenFile(root_ / name, O_WRONLY | O_CREAT | O_EXCL, 0444));
    if (const int failed = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); failed != 0)
      return ErrnoError(failed, "fill " + name);
    share.Keep();
    return {};
  }
  uint64_t Used() {
    DiskBudget budget(catalog_, root_);
    budget.SetLimit(uint64_t{1} << 50);
    return Must(budget.Look()).used_bytes;
  }
};

TEST_F(DiskBudgetTest, WithoutALimitNothingIsCounted) {
  DiskBudget budget(catalog_, root_);
  DiskShare share(&budget);
  Must(share.Grow(uint64_t{1} << 60));
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
  DiskShare share(&budget);
  auto refused = share.Grow(6 * kMiB + 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kNoSpace);
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("4.00 MiB of 10.0 MiB are used"));
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("ingot gc"));
  Must(share.Grow(5 * kMiB));
  {
    DiskShare other(&budget);
    Must(other.Grow(kMiB));
    EXPECT_EQ(DiskShare(&budget).Grow(1).error().code(), Code::kNoSpace);
  }
  Must(share.Grow(6 * kMiB));
  share.Keep();
  Must(budget.Settle());
  EXPECT_EQ(Used(), 10 * kMiB);
  budget.Gone(kMiB);
  Must(budget.Settle());
  EXPECT_EQ(Used(), 9 * kMiB);
}

TEST_F(DiskBudgetTest, SeveralAtOnceNeverTakeMoreThanThereIs) {
  std::atomic<uint64_t> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      DiskBudget budget(catalog_, root_);  // as another process would have it
      budget.SetLimit(400 * kMiB);
      // Whoever finds that nothing was measured counts, while the others may store already.
      for (int n = 0; Store(budget, "blobs/sha256/" + std::to_string(i) + "." + std::to_string(n), 3 * kMiB);
           ++n)
        taken += 3 * kMiB;
      Must(budget.Settle());
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(taken.load(), 400 * kMiB);
  EXPECT_EQ(Must(MeasureDisk(root_)), taken.load());
  // What was both booked and counted, by the one that measured last, counts twice until the next time.
  EXPECT_GE(Used(), taken.load());
  DiskBudget budget(catalog_, root_);
  budget.SetLimit(400 * kMiB);
  Must(budget.Measure());
  for (int n = 0; Store(budget, "blobs/sha256/rest." + std::to_string(n), 3 * kMiB); ++n) taken += 3 * kMiB;
  EXPECT_LE(taken.load(), 400 * kMiB);
  EXPECT_GT(taken.load(), 400 * kMiB - 3 * kMiB);
}

// A collection in another process counts the files while this one writes.
TEST_F(DiskBudgetTest, WhatIsHalfWrittenIsNotLostByAMeasurement) {
  DiskBudget budget(catalog_, root_);
  budget.SetLimit(1000 * kMiB);
  DiskShare slow(&budget);
  Must(slow.Grow(50 * kMiB));  // nothing of it is on the disk yet
  Must(Store(budget, "blobs/sha256/quick", 60 * kMiB));
  Must(Store(budget, "blobs/sha256/books-the-quick-one", 70 * kMiB));
  Must(budget.Settle());
  DiskBudget other(catalog_, root_);
  other.SetLimit(1000 * kMiB);
  Must(other.Measure());
  const auto seen = Must(other.Look());
  EXPECT_EQ(seen.used_bytes, 130 * kMiB);
  EXPECT_EQ(seen.reserved_bytes, 50 * kMiB);
  EXPECT_EQ(DiskShare(&other).Grow(821 * kMiB).error().code(), Code::kNoSpace);
  DiskShare rest(&other);
  Must(rest.Grow(820 * kMiB));
}

TEST_F(DiskBudgetTest, TheReservationOfADeadProcessCountsUntilItIsMeasured) {
  DiskBudget budget(catalog_, root_);
  budget.SetLimit(10 * kMiB);
  DiskShare first(&budget);
  Must(first.Grow(1));
  LeaseRow dead = Must(LeaseOfThisProcess());
  Must(catalog_.Write([&](CatalogRows& rows) {
    return rows.PutReservation(
        {"dead", dead.boot_id, dead.pid_namespace, dead.pid, dead.pid_start + 1, 8 * kMiB});
  }));
  DiskShare second(&budget);
  EXPECT_EQ(second.Grow(5 * kMiB).error().code(), Code::kNoSpace);
  Must(budget.Measure());
  Must(second.Grow(5 * kMiB));
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
