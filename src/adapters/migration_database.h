// The databases that migrations run on, behind migrate::Database.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "migrate/database.h"

namespace ingot::adapters {

struct MigrationTarget {
  migrate::Engine engine = migrate::Engine::kPostgres;
  std::string url;     // "postgres://shop@db.internal/shop", "sqlite:///var/lib/shop/shop.db"
  std::string secret;  // a password, or a whole postgres:// URL that holds in place of `url`; may be empty
  std::string application;  // who this is, for those who find it at work: "ingot shop/local r12"
  std::function<bool()> cancelled;
  Milliseconds lock_wait{60'000};  // for another Ingot to end
};

// Connects. The codes of migrate::Database.
Result<std::unique_ptr<migrate::Database>> OpenMigrationDatabase(const MigrationTarget& target);
// The parts of it.
Result<std::unique_ptr<migrate::Database>> OpenPostgresMigrations(const MigrationTarget& target);
Result<std::unique_ptr<migrate::Database>> OpenSqliteMigrations(const MigrationTarget& target);

}  // namespace ingot::adapters
