#include "adapters/sqlite_journal.h"

#include "adapters/sqlite.h"
#include "adapters/state_schema.h"
#include "base/sync.h"

namespace ingot::adapters {

namespace {

Error Unreadable(const std::string& what, Error error) {
  const Code code = error.code() == Code::kUnsupported ? Code::kUnsupported : Code::kCorrupt;
  return Error(code, what + " in state.db cannot be read: " + error.Render());
}

}  // namespace

struct SqliteJournal::Impl {
  explicit Impl(Database opened) : database(std::move(opened)) {}
  Database database;
};

SqliteJournal::SqliteJournal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteJournal::~SqliteJournal() = default;

Result<std::unique_ptr<SqliteJournal>> SqliteJournal::Open(const fs::path& path) {
  auto impl = std::make_unique<Impl>(TRY(Database::Open(path)));
  TRY(Migrate(impl->database, StateSchema()));
  return std::unique_ptr<SqliteJournal>(new SqliteJournal(std::move(impl)));
}

Result<std::vector<rollout::EnvironmentState>> SqliteJournal::Load() {
  std::vector<rollout::EnvironmentState> out;
  Statement* rows = TRY(impl_->database.Cached("SELECT environment, state FROM environments ORDER BY 1"));
  while (TRY(rows->Step())) {
    const std::string environment = rows->Text(0);
    auto json = ParseJson(rows->Text(1));
    if (!json) return Unreadable("the state of " + environment, std::move(json).error());
    auto state = rollout::StateFromJson(*json);
    if (!state) return Unreadable("the state of " + environment, std::move(state).error());
    out.push_back(std::move(*state));
  }
  return out;
}

Result<void> SqliteJournal::Commit(const rollout::JournalStep& step) {
  const std::string environment = step.state->id.Render();
  Transaction transaction = TRY(Transaction::Begin(impl_->database));
  TRY(
      impl_->database.Run("INSERT INTO environments (environment, step, state) VALUES (?1, ?2, ?3) "
                          "ON CONFLICT (environment) DO UPDATE SET step = ?2, state = ?3",
                          environment, step.state->step, RenderJson(rollout::ToJson(*step.state))));
  if (step.new_revision)
    TRY(impl_->database.Run("INSERT INTO revisions (environment, number, document) VALUES (?1, ?2, ?3)",
                            environment, step.new_revision->number,
                            RenderJson(plan::ToJson(*step.new_revision))));
  for (const rollout::Rollout& rollout : step.finished)
    TRY(impl_->database.Run("INSERT INTO rollouts (environment, id, document) VALUES (?1, ?2, ?3)",
                            environment, rollout.id, RenderJson(rollout::ToJson(rollout))));
  return transaction.Commit();
}

Result<plan::Revision> SqliteJournal::ReadRevision(const platform::EnvironmentId& environment,
                                                   uint64_t number) {
  Statement* row =
      TRY(impl_->database.Cached("SELECT document FROM revisions WHERE environment = ?1 AND number = ?2"));
  row->BindAll(environment.Render(), number);
  const std::string name = "revision r" + std::to_string(number) + " of " + environment.Render();
  if (!TRY(row->Step())) return Error(Code::kNotFound, "there is no " + name + "; see `ingot history`");
  const std::string document = row->Text(0);
  row->Reset();
  auto json = ParseJson(document);
  if (!json) return Unreadable(name, std::move(json).error());
  auto revision = plan::RevisionFromJson(*json);
  if (!revision) return Unreadable(name, std::move(revision).error());
  return revision;
}

Result<std::vector<plan::Revision>> SqliteJournal::ReadRevisions(const platform::EnvironmentId& environment,
                                                                 size_t limit) {
  Statement* rows = TRY(impl_->database.Cached(
      "SELECT document FROM revisions WHERE environment = ?1 ORDER BY number DESC LIMIT ?2"));
  rows->BindAll(environment.Render(), static_cast<int64_t>(std::min<size_t>(limit, 1 << 30)));
  std::vector<plan::Revision> out;
  while (TRY(rows->Step())) {
    auto json = ParseJson(rows->Text(0));
    if (!json) return Unreadable("a revision of " + environment.Render(), std::move(json).error());
    auto revision = plan::RevisionFromJson(*json);
    if (!revision) return Unreadable("a revision of " + environment.Render(), std::move(revision).error());
    out.push_back(std::move(*revision));
  }
  return out;
}

Result<std::vector<rollout::Rollout>> SqliteJournal::ReadHistory(const platform::EnvironmentId& environment,
                                                                 size_t limit) {
  Statement* rows = TRY(impl_->database.Cached(
      "SELECT document FROM rollouts WHERE environment = ?1 ORDER BY id DESC LIMIT ?2"));
  rows->BindAll(environment.Render(), static_cast<int64_t>(std::min<size_t>(limit, 1 << 30)));
  std::vector<rollout::Rollout> out;
  while (TRY(rows->Step())) {
    auto json = ParseJson(rows->Text(0));
    if (!json) return Unreadable("a rollout of " + environment.Render(), std::move(json).error());
    auto rollout = rollout::RolloutFromJson(*json);
    if (!rollout) return Unreadable("a rollout of " + environment.Render(), std::move(rollout).error());
    out.push_back(std::move(*rollout));
  }
  return out;
}

}  // namespace ingot::adapters
