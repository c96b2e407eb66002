#include "adapters/sqlite_jobs.h"

#include "adapters/state_schema.h"

namespace ingot::adapters {

namespace {

Error UnreadableRun(const std::string& what, const Error& error) {
  const Code code = error.code() == Code::kUnsupported ? Code::kUnsupported : Code::kCorrupt;
  return Error(code, what + " in state.db cannot be read: " + error.Render());
}

Result<jobs::Run> RunOf(const std::string& document, const std::string& environment) {
  auto json = ParseJson(document);
  auto run = json ? jobs::RunFromJson(*json) : Result<jobs::Run>(json.error());
  if (!run) return UnreadableRun("a run of " + environment, run.error());
  return run;
}

// The documents of a query, read before another one uses the statement.
Result<std::vector<jobs::Run>> RunsOf(Statement& rows, const std::string& environment) {
  std::vector<std::string> documents;
  while (TRY(rows.Step())) documents.push_back(rows.Text(0));
  std::vector<jobs::Run> out;
  for (const std::string& document : documents) out.push_back(TRY(RunOf(document, environment)));
  return out;
}

int64_t RowLimit(size_t limit) {
  return static_cast<int64_t>(std::min<size_t>(limit, 1 << 30));
}

}  // namespace

Result<std::unique_ptr<SqliteJobs>> SqliteJobs::Open(const fs::path& path) {
  Database database = TRY(Database::Open(path));
  TRY(Migrate(database, StateSchema()));
  return std::unique_ptr<SqliteJobs>(new SqliteJobs(std::move(database)));
}

Result<std::vector<jobs::State>> SqliteJobs::Load() {
  std::vector<std::pair<std::string, std::string>> documents;
  Statement* rows = TRY(database_.Cached("SELECT environment, state FROM jobs ORDER BY 1"));
  while (TRY(rows->Step())) documents.emplace_back(rows->Text(0), rows->Text(1));
  std::vector<jobs::State> out;
  for (const auto& [environment, document] : documents) {
    auto json = ParseJson(document);
    auto state = json ? jobs::StateFromJson(*json) : Result<jobs::State>(json.error());
    if (!state) return UnreadableRun("the jobs of " + environment, state.error());
    Statement* open =
        TRY(database_.Cached("SELECT document FROM runs WHERE environment = ?1 AND open = 1 ORDER BY id"));
    open->BindAll(environment);
    for (jobs::Run& run : TRY(RunsOf(*open, environment))) {
      const uint64_t id = run.id;
      state->runs.emplace(id, std::move(run));
    }
    out.push_back(std::move(*state));
  }
  return out;
}

Result<void> SqliteJobs::Commit(const jobs::JournalStep& step) {
  const std::string environment = step.state->id.Render();
  Transaction transaction = TRY(Transaction::Begin(database_));
  TRY(
      database_.Run("INSERT INTO jobs (environment, state) VALUES (?1, ?2) "
                    "ON CONFLICT (environment) DO UPDATE SET state = ?2",
                    environment, RenderJson(jobs::ToJson(*step.state))));
  for (const jobs::Run* run : step.changed)
    TRY(
        database_.Run("INSERT INTO runs (environment, id, job, open, document) VALUES (?1, ?2, ?3, ?4, ?5) "
                      "ON CONFLICT (environment, id) DO UPDATE SET open = ?4, document = ?5",
                      environment, run->id, run->job, run->open(), RenderJson(jobs::ToJson(*run))));
  return transaction.Commit();
}

Result<jobs::Run> SqliteJobs::Read(const platform::EnvironmentId& environment, uint64_t run) {
  Statement* row = TRY(database_.Cached("SELECT document FROM runs WHERE environment = ?1 AND id = ?2"));
  row->BindAll(environment.Render(), run);
  auto found = TRY(RunsOf(*row, environment.Render()));
  if (found.empty())
    return Error(Code::kNotFound, environment.Render() + " has no run " + std::to_string(run));
  return std::move(found.front());
}

Result<std::vector<jobs::Run>> SqliteJobs::List(const platform::EnvironmentId& environment,
                                                const std::string& job, size_t limit) {
  Statement* rows =
      TRY(database_.Cached("SELECT document FROM runs WHERE environment = ?1 AND (?2 = '' OR job = ?2) ORDER "
                           "BY id DESC LIMIT ?3"));
  rows->BindAll(environment.Render(), job, RowLimit(limit));
  return RunsOf(*rows, environment.Render());
}

Result<std::vector<jobs::Run>> SqliteJobs::Old(const platform::EnvironmentId& environment,
                                               const std::string& job, size_t keep) {
  Statement* rows =
      TRY(database_.Cached("SELECT document FROM runs WHERE environment = ?1 AND job = ?2 AND open = 0 "
                           "ORDER BY id DESC LIMIT 100 OFFSET ?3"));
  rows->BindAll(environment.Render(), job, RowLimit(keep));
  return RunsOf(*rows, environment.Render());
}

Result<void> SqliteJobs::Forget(const platform::EnvironmentId& environment,
                                const std::vector<uint64_t>& runs) {
  Transaction transaction = TRY(Transaction::Begin(database_));
  for (const uint64_t run : runs)
    TRY(database_.Run("DELETE FROM runs WHERE environment = ?1 AND id = ?2 AND open = 0",
                      environment.Render(), run));
  return transaction.Commit();
}

}  // namespace ingot::adapters
