#include "adapters/sqlite_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::adapters {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SqliteJobsTest : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    jobs_.reset();
    jobs_ = SqliteJobs::Open(directory_.path() / "state.db").value();
  }

  jobs::Run Run(uint64_t id, const std::string& job) {
    jobs::Run run;
    run.id = id;
    run.job = job;
    run.actor = "root";
    run.spec.id = {Shop(), job, "0123456789ab"};
    run.spec.image = oci::Digest::Of(job);
    return run;
  }
  static platform::EnvironmentId Shop() { return {"shop", "local"}; }

  void Commit(const std::vector<jobs::Run>& runs) {
    jobs::State state;
    state.id = Shop();
    state.next_run = 100;
    jobs::JournalStep step{&state, {}};
    for (const jobs::Run& run : runs) step.changed.push_back(&run);
    ASSERT_TRUE(jobs_->Commit(step));
  }

  static std::vector<uint64_t> Ids(const Result<std::vector<jobs::Run>>& runs) {
    std::vector<uint64_t> out;
    for (const jobs::Run& run : runs.value()) out.push_back(run.id);
    return out;
  }

  TempDirectory directory_ = TempDirectory::Make("/tmp", "ingot-jobs-").value();
  std::unique_ptr<SqliteJobs> jobs_;
};

TEST_F(SqliteJobsTest, FindsOpenRunsAgainAndKeepsEndedOnes) {
  jobs::Run open = Run(1, "report");
  jobs::Run ended = Run(2, "report");
  ended.phase = jobs::Phase::kEnded;
  ended.outcome = jobs::Outcome::kFailed;
  ended.exit_code = 3;
  ended.spec.arguments = {"a b", ""};
  Commit({open, ended});
  Reopen();
  const auto states = jobs_->Load();
  ASSERT_TRUE(states) << states.error().Render();
  ASSERT_EQ(states->size(), 1u);
  EXPECT_EQ(states->front().next_run, 100u);
  ASSERT_EQ(states->front().runs.size(), 1u);
  EXPECT_EQ(states->front().runs.at(1), open);
  EXPECT_EQ(*jobs_->Read(Shop(), 2), ended);
  EXPECT_EQ(jobs_->Read(Shop(), 3).error().code(), Code::kNotFound);
  EXPECT_EQ(jobs_->Read({"shop", "other"}, 1).error().code(), Code::kNotFound);
  // A later step replaces what it changes.
  open.phase = jobs::Phase::kEnded;
  Commit({open});
  EXPECT_THAT(jobs_->Load()->front().runs, IsEmpty());
}

TEST_F(SqliteJobsTest, ListsTheNewestFirstAndForgetsOnlyWhatHasEnded) {
  std::vector<jobs::Run> runs;
  for (uint64_t id = 1; id <= 6; ++id) {
    runs.push_back(Run(id, id % 2 == 0 ? "even" : "odd"));
    if (id != 2) runs.back().phase = jobs::Phase::kEnded;
  }
  Commit(runs);
  EXPECT_THAT(Ids(jobs_->List(Shop(), "", 4)), ElementsAre(6, 5, 4, 3));
  EXPECT_THAT(Ids(jobs_->List(Shop(), "even", 10)), ElementsAre(6, 4, 2));
  EXPECT_THAT(Ids(jobs_->Old(Shop(), "odd", 1)), ElementsAre(3, 1));
  EXPECT_THAT(Ids(jobs_->Old(Shop(), "even", 2)), IsEmpty());
  ASSERT_TRUE(jobs_->Forget(Shop(), {1, 2, 3}));
  EXPECT_THAT(Ids(jobs_->List(Shop(), "", 10)), ElementsAre(6, 5, 4, 2));
}

}  // namespace
}  // namespace ingot::adapters
