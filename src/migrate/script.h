// Migrations: changes of a database's schema as part of a release (docs/formats/migrations.md).
//
// migrate/ is pure but for the database itself, which stands behind the interface of database.h. A folder of
// NNN_name.sql files becomes scripts (script.h); a script's text becomes statements (statement.h over
// lexer.h), which are looked through for what is dangerous (lint.h); scripts and the ledger that the database
// keeps become what is to be done (compare.h), and that is done under a lock (runner.h).
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ingot::migrate {

enum class Engine { kPostgres, kSqlite };

// When a script runs: before the first new instance, or once no revision is left that does not know it.
enum class Stage { kExpand, kContract };
std::string_view StageName(Stage stage);  // "expand", "contract"
Result<Stage> ParseStage(std::string_view name);

// What a revision knows of a script.
struct Script {
  uint64_t version = 0;
  std::string name;  // "add_email"
  Stage stage = Stage::kExpand;
  std::string checksum;  // SHA-256 of its bytes, 64 hexadecimal digits
  std::string file;      // relative to the definition, for messages
  bool operator==(const Script&) const = default;
};

// "012_add_email.sql", "012_add_email.expand.sql", "013_drop_name.contract.sql": version, name, stage; the
// version is up to 18 digits, the name letters, digits, "_" and "-". Not the checksum. kInvalid.
Result<Script> ParseScriptName(std::string_view file_name);
// "012_add_email.contract", as in messages; the version has at least three digits.
std::string Render(const Script& script);

// In the order of versions. kInvalid when two have the same version.
Result<void> SortScripts(std::vector<Script>& scripts);

// Longest script, and most of them in a set.
inline constexpr size_t kMaxScriptBytes = size_t{1} << 20;
inline constexpr size_t kMaxScripts = 10'000;

}  // namespace ingot::migrate
