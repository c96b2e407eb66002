// Who is told of events, and up to which: table `subscribers` of state.db (docs/formats/events.md).
#pragma once

#include <memory>

#include "adapters/sqlite.h"
#include "base/file.h"
#include "base/sync.h"
#include "observe/notifier.h"

namespace ingot::adapters {

class SqliteSubscribers final : public observe::Subscribers {
 public:
  // Opens state.db, making or migrating it.
  static Result<std::unique_ptr<SqliteSubscribers>> Open(const fs::path& path);
  Result<std::vector<observe::Subscriber>> List() override;
  Result<void> Replace(const std::string& environment, const std::vector<observe::Subscriber>& all) override;
  Result<void> SetDelivered(const observe::Subscriber& subscriber) override;

 private:
  explicit SqliteSubscribers(Database database) : database_(std::move(database)) {}
  Sync<Database> database_;
};

}  // namespace ingot::adapters
