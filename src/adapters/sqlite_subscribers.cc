#include "adapters/sqlite_subscribers.h"

#include "adapters/state_schema.h"

namespace ingot::adapters {

Result<std::unique_ptr<SqliteSubscribers>> SqliteSubscribers::Open(const fs::path& path) {
  Database database = TRY(Database::Open(path));
  TRY(Migrate(database, StateSchema()));
  return std::unique_ptr<SqliteSubscribers>(new SqliteSubscribers(std::move(database)));
}

Result<std::vector<observe::Subscriber>> SqliteSubscribers::List() {
  auto database = database_.lock();
  Statement* rows =
      TRY(database->Cached("SELECT environment, id, document, delivered FROM subscribers ORDER BY 1, 2"));
  std::vector<observe::Subscriber> out;
  while (TRY(rows->Step())) {
    observe::Subscriber subscriber;
    subscriber.environment = rows->Text(0);
    subscriber.id = rows->Text(1);
    subscriber.delivered = static_cast<uint64_t>(rows->Int(3));
    const auto json = ParseJson(rows->Text(2));
    auto to = json ? definition::NotifyFromJson(*json) : Result<definition::ResolvedNotify>(json.error());
    if (!to) {
      rows->Reset();
      return Error(Code::kCorrupt, "a subscriber in state.db cannot be read: " + to.error().Render());
    }
    subscriber.to = std::move(*to);
    out.push_back(std::move(subscriber));
  }
  return out;
}

Result<void> SqliteSubscribers::Replace(const std::string& environment,
                                        const std::vector<observe::Subscriber>& all) {
  auto database = database_.lock();
  Transaction transaction = TRY(Transaction::Begin(*database));
  TRY(database->Run("DELETE FROM subscribers WHERE environment = ?1", environment));
  for (const observe::Subscriber& subscriber : all)
    TRY(database->Run(
        "INSERT INTO subscribers (environment, id, document, delivered) VALUES (?1, ?2, ?3, ?4)", environment,
        subscriber.id, RenderCanonical(definition::ToJson(subscriber.to)), subscriber.delivered));
  return transaction.Commit();
}

Result<void> SqliteSubscribers::SetDelivered(const observe::Subscriber& subscriber) {
  auto database = database_.lock();
  return database->Run("UPDATE subscribers SET delivered = ?3 WHERE environment = ?1 AND id = ?2",
                       subscriber.environment, subscriber.id, subscriber.delivered);
}

}  // namespace ingot::adapters
