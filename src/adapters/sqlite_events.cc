#include "adapters/sqlite_events.h"

#include <algorithm>

#include "adapters/sqlite.h"
#include "adapters/state_schema.h"
#include "base/sync.h"

namespace ingot::adapters {

namespace {

Result<audit::Event> EventOf(const std::string& document) {
  auto json = ParseJson(document);
  if (!json) return Error(Code::kCorrupt, "an event in state.db cannot be read: " + json.error().Render());
  auto event = audit::EventFromJson(*json);
  if (!event) return Error(Code::kCorrupt, "an event in state.db cannot be read: " + event.error().Render());
  return event;
}

struct Tail {
  uint64_t sequence = 0;
  std::string hash = audit::kFirstPrevious;
};

Result<Tail> LastOf(Database& database) {
  Statement* last = TRY(database.Cached("SELECT sequence, hash FROM events ORDER BY sequence DESC LIMIT 1"));
  Tail tail;
  if (TRY(last->Step())) tail = {static_cast<uint64_t>(last->Int(0)), last->Text(1)};
  last->Reset();
  return tail;
}

Result<bool> Known(Database& database, const audit::Draft& draft) {
  if (draft.key.empty()) return false;
  Statement* same = TRY(database.Cached("SELECT 1 FROM events WHERE environment = ?1 AND key = ?2"));
  same->BindAll(draft.environment, draft.key);
  const bool known = TRY(same->Step());
  same->Reset();
  return known;
}

}  // namespace

struct SqliteEvents::Impl {
  Impl(Database opened, Clock& time) : database(std::move(opened)), clock(time) {}
  Sync<Database> database;
  Clock& clock;
};

SqliteEvents::SqliteEvents(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteEvents::~SqliteEvents() = default;

Result<std::unique_ptr<SqliteEvents>> SqliteEvents::Open(const fs::path& path, Clock& clock) {
  Database database = TRY(Database::Open(path));
  TRY(Migrate(database, StateSchema()));
  return std::unique_ptr<SqliteEvents>(new SqliteEvents(std::make_unique<Impl>(std::move(database), clock)));
}

Result<void> SqliteEvents::Append(std::vector<audit::Draft> drafts) {
  if (drafts.empty()) return {};
  auto database = impl_->database.lock();
  Transaction transaction = TRY(Transaction::Begin(*database));
  Tail tail = TRY(LastOf(*database));
  for (audit::Draft& draft : drafts) {
    if (TRY(Known(*database, draft))) continue;
    const audit::Event event =
        audit::Chain(std::move(draft), tail.sequence + 1, tail.hash, impl_->clock.Now());
    TRY(database->Run(
        "INSERT INTO events (sequence, environment, key, document, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
        event.sequence, event.environment,
        event.key.empty() ? std::optional<std::string>() : std::optional<std::string>(event.key),
        RenderCanonical(audit::ToJson(event)), event.hash));
    tail = {event.sequence, event.hash};
  }
  return transaction.Commit();
}

Result<std::vector<audit::Event>> SqliteEvents::Read(const audit::EventQuery& query) {
  auto database = impl_->database.lock();
  const auto limit = static_cast<int64_t>(std::min<size_t>(query.limit, 1 << 30));
  Statement* rows = nullptr;
  if (query.environment.empty()) {
    rows =
        TRY(database->Cached("SELECT document FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2"));
    rows->BindAll(query.after, limit);
  } else {
    rows =
        TRY(database->Cached("SELECT document FROM events WHERE sequence > ?1 AND environment = ?3 "
                             "ORDER BY sequence LIMIT ?2"));
    rows->BindAll(query.after, limit, query.environment);
  }
  std::vector<audit::Event> out;
  while (TRY(rows->Step())) {
    auto event = EventOf(rows->Text(0));
    if (!event) {
      rows->Reset();
      return std::move(event).error();
    }
    out.push_back(std::move(*event));
  }
  return out;
}

Result<uint64_t> SqliteEvents::Last() {
  auto database = impl_->database.lock();
  return TRY(LastOf(*database)).sequence;
}

}  // namespace ingot::adapters
