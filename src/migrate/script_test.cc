#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migrate/ledger.h"
#include "migrate/lint.h"

namespace ingot::migrate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Split(std::string_view sql, Engine engine = Engine::kPostgres) {
  auto parsed = ParseScript(sql, engine);
  if (!parsed) return {"error: " + parsed.error().message()};
  std::vector<std::string> out;
  for (const Statement& statement : parsed->statements)
    out.push_back(std::to_string(statement.line) + ":" + statement.text);
  return out;
}

std::vector<std::string> Rules(std::string_view sql, Stage stage = Stage::kExpand,
                               Engine engine = Engine::kPostgres) {
  auto parsed = ParseScript(sql, engine);
  if (!parsed) return {"error: " + parsed.error().message()};
  std::vector<std::string> out;
  for (const Finding& finding : Lint(*parsed, stage, engine))
    out.push_back(std::to_string(finding.line) + ":" + finding.rule);
  return out;
}

TEST(ScriptName, SaysVersionNameAndStage) {
  const auto plain = ParseScriptName("012_add_email.sql");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->version, 12u);
  EXPECT_EQ(plain->name, "add_email");
  EXPECT_EQ(plain->stage, Stage::kExpand);
  EXPECT_EQ(Render(*plain), "012_add_email");
  EXPECT_EQ(ParseScriptName("20240501120000_x.expand.sql")->version, 20240501120000u);
  EXPECT_EQ(ParseScriptName("7_x.contract.sql")->stage, Stage::kContract);
  for (const char* bad :
       {"x.sql", "_x.sql", "12.sql", "12_.sql", "12_x.contrct.sql", "12_x.sql.bak", "0_x.sql", "12-x.sql",
        "1234567890123456789_x.sql", "12_a b.sql", "12_x.expand.contract.sql"})
    EXPECT_FALSE(ParseScriptName(bad)) << bad;
}

TEST(ScriptName, OneVersionTwiceIsRefused) {
  std::vector<Script> scripts{{12, "a", Stage::kExpand, "", "m/12_a.sql"},
                              {12, "b", Stage::kExpand, "", "m/012_b.sql"}};
  const auto sorted = SortScripts(scripts);
  ASSERT_FALSE(sorted);
  EXPECT_THAT(sorted.error().message(), HasSubstr("same version 12"));
}

TEST(Split, EndsAtSemicolonsOutsideEverything) {
  EXPECT_THAT(Split("a;\n\n b ; ;\nc"), ElementsAre("1:a", "3:b", "4:c"));
  EXPECT_THAT(Split("SELECT ';', 'it''s;', \"a;\"\"b\";x"),
              ElementsAre("1:SELECT ';', 'it''s;', \"a;\"\"b\"", "1:x"));
  EXPECT_THAT(Split("-- a; b\nSELECT 1 -- c;\n, 2; /* d; /* e; */ ; */ x"),
              ElementsAre("2:SELECT 1 -- c;\n, 2", "3:x"));
  EXPECT_THAT(Split("DO $$ a; b $$; DO $x$ $$;$y$; $x$; c"),
              ElementsAre("1:DO $$ a; b $$", "1:DO $x$ $$;$y$; $x$", "1:c"));
  EXPECT_THAT(Split(R"(SELECT E'\';'; SELECT '\'; x)"),
              ElementsAre(R"(1:SELECT E'\';')", R"(1:SELECT '\')", "1:x"));
  EXPECT_THAT(Split("CREATE RULE r AS ON INSERT TO t DO (a; b); c"),
              ElementsAre("1:CREATE RULE r AS ON INSERT TO t DO (a; b)", "1:c"));
  EXPECT_THAT(Split("SELECT a$1$b; c"), ElementsAre("1:SELECT a$1$b", "1:c"));
  EXPECT_THAT(Split("SELECT $1; c"), ElementsAre("1:SELECT $1", "1:c"));
  EXPECT_THAT(Split("\xef\xbb\xbf"
                    "a; -- only a comment"),
              ElementsAre("1:a"));
  EXPECT_THAT(Split(""), IsEmpty());
}

TEST(Split, BodiesOfTriggersAndFunctions) {
  EXPECT_THAT(
      Split("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; x"),
      ElementsAre(
          "1:CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END",
          "1:x"));
  const std::string trigger =
      "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END";
  EXPECT_THAT(Split(trigger + "; x", Engine::kSqlite), ElementsAre("1:" + trigger, "1:x"));
  EXPECT_THAT(Split("SELECT [a;b], `c;`; x", Engine::kSqlite), ElementsAre("1:SELECT [a;b], `c;`", "1:x"));
  // SQLite's comments do not nest.
  EXPECT_THAT(Split("/* /* */ a; b", Engine::kSqlite), ElementsAre("1:a", "1:b"));
}

TEST(Split, WhatHasNoPlaceNamesItsLine) {
  const auto first = [](std::string_view sql) { return Split(sql).at(0); };
  EXPECT_THAT(first("a;\nCOPY t FROM stdin;"), HasSubstr("error: line 2: COPY"));
  EXPECT_THAT(first("a;\n\\d t\n"), HasSubstr("error: line 2: commands of psql"));
  EXPECT_THAT(first("\nBEGIN;"), HasSubstr("error: line 2: a script runs in a transaction"));
  EXPECT_THAT(first("COMMIT"), HasSubstr("line 1"));
  EXPECT_THAT(first("ROLLBACK"), HasSubstr("line 1"));
  EXPECT_THAT(Split("SAVEPOINT a; ROLLBACK TO a"), ElementsAre("1:SAVEPOINT a", "1:ROLLBACK TO a"));
  EXPECT_THAT(first("a;\n 'b;\n"), HasSubstr("line 2: a string begins here"));
  EXPECT_THAT(first("a;\n $$b;\n"), HasSubstr("line 2: a string in $$"));
  EXPECT_THAT(first("/* /* */"), HasSubstr("line 1: a comment"));
  EXPECT_THAT(first("SELECT (1; 2"), HasSubstr("line 1: a statement begins here"));
  EXPECT_THAT(first("CREATE DATABASE x"), HasSubstr("by hand"));
  EXPECT_THAT(first("CREATE INDEX CONCURRENTLY ON t (a)"), HasSubstr("needs a name"));
  EXPECT_THAT(first("-- ingot: alow drop\na"), HasSubstr("line 1: \"ingot: alow\" is not known"));
}

TEST(Split, WhatCannotRunInATransactionIsAlone) {
  const auto alone = [](std::string_view sql, Engine engine = Engine::kPostgres) {
    return ParseScript(sql, engine)->statements.at(0).alone;
  };
  for (const char* sql :
       {"CREATE INDEX CONCURRENTLY i ON t (a)", "create unique index concurrently i on t (a)",
        "DROP INDEX CONCURRENTLY i", "REINDEX TABLE CONCURRENTLY t", "VACUUM t", "ALTER TYPE e ADD VALUE 'x'",
        "ALTER TABLE t DETACH PARTITION p CONCURRENTLY"})
    EXPECT_TRUE(alone(sql)) << sql;
  for (const char* sql : {"CREATE INDEX i ON t (a)", "ALTER TABLE t ADD a int", "ALTER TYPE e RENAME TO f"})
    EXPECT_FALSE(alone(sql)) << sql;
  EXPECT_TRUE(alone("PRAGMA foreign_keys = off", Engine::kSqlite));
  EXPECT_FALSE(alone("CREATE INDEX i ON t (a)", Engine::kSqlite));
}

TEST(Lint, FindsWhatIsDangerous) {
  const auto one = [](std::string_view sql, Stage stage = Stage::kExpand) {
    const auto rules = Rules(sql, stage);
    return rules.empty() ? "" : rules.size() == 1 ? rules[0].substr(2) : "several";
  };
  EXPECT_EQ(one("DROP TABLE t"), "drop");
  EXPECT_EQ(one("DROP TABLE t", Stage::kContract), "");
  EXPECT_EQ(one("ALTER TABLE t DROP COLUMN a"), "drop");
  EXPECT_EQ(one("ALTER TABLE t DROP a", Stage::kContract), "");
  EXPECT_EQ(one("ALTER TABLE t DROP CONSTRAINT c"), "");
  EXPECT_EQ(one("ALTER TABLE t RENAME a TO b"), "rename");
  EXPECT_EQ(one("ALTER TABLE IF EXISTS ONLY s.t RENAME TO u"), "rename");
  EXPECT_EQ(one("ALTER INDEX i RENAME TO j"), "rename");
  EXPECT_EQ(one("TRUNCATE t"), "drop");
  EXPECT_EQ(one("CREATE INDEX i ON t (a)"), "index");
  EXPECT_EQ(one("CREATE UNIQUE INDEX ON ONLY t (a)"), "index");
  EXPECT_EQ(one("CREATE INDEX CONCURRENTLY i ON t (a)"), "");
  EXPECT_EQ(one("ALTER TABLE t ALTER COLUMN a TYPE bigint"), "type");
  EXPECT_EQ(one("ALTER TABLE t ALTER a SET DATA TYPE bigint", Stage::kContract), "type");
  EXPECT_EQ(one("ALTER TABLE t ALTER a SET NOT NULL"), "not-null");
  EXPECT_EQ(one("ALTER TABLE t ADD COLUMN a int NOT NULL"), "not-null");
  EXPECT_EQ(one("ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 0"), "");
  EXPECT_EQ(one("ALTER TABLE t ADD a numeric(10,2)"), "");
  EXPECT_EQ(one("ALTER TABLE t ADD a uuid DEFAULT gen_random_uuid()"), "rewrite");
  EXPECT_EQ(one("ALTER TABLE t ADD a bigserial"), "rewrite");
  EXPECT_EQ(one("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (b)"), "lock");
  EXPECT_EQ(one("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (b) NOT VALID"), "");
  EXPECT_EQ(one("ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)"), "index");
  EXPECT_EQ(one("ALTER TABLE t ADD CONSTRAINT u UNIQUE USING INDEX i"), "");
  EXPECT_EQ(one("ALTER TABLE t SET TABLESPACE x"), "rewrite");
  EXPECT_EQ(one("VACUUM FULL t"), "rewrite");
  EXPECT_EQ(one("LOCK TABLE t"), "lock");
  EXPECT_EQ(one("UPDATE t SET a = 1"), "whole-table");
  EXPECT_EQ(one("UPDATE t SET a = 1 WHERE id < 1000"), "");
  EXPECT_EQ(one("DELETE FROM t"), "whole-table");
  EXPECT_EQ(one("ALTER TABLE t ADD a int, DROP b, RENAME c TO d"), "several");
  EXPECT_THAT(Rules("ALTER TABLE t\n  ADD a int,\n  DROP b,\n  ALTER c TYPE text"),
              ElementsAre("3:drop", "4:type"));
}

TEST(Lint, ATableThatTheScriptMakesIsNobodysYet) {
  EXPECT_THAT(
      Rules("CREATE TABLE IF NOT EXISTS t (a int); CREATE INDEX i ON t (a); ALTER TABLE t ADD b int NOT NULL;"
            "CREATE INDEX j ON u (a)"),
      ElementsAre("1:index"));
}

TEST(Lint, ACommentAcceptsOneFindingOfOneStatement) {
  EXPECT_THAT(Rules("-- ingot: allow drop\nDROP TABLE t;\nDROP TABLE u;"), ElementsAre("3:drop"));
  EXPECT_THAT(Rules("DROP TABLE t; -- ingot: allow drop\nDROP TABLE u;"), ElementsAre("2:drop"));
  EXPECT_THAT(Rules("ALTER TABLE t\n  -- ingot: allow drop, type\n  DROP a, ALTER b TYPE text"), IsEmpty());
  EXPECT_THAT(Rules("-- ingot: allow index\nDROP TABLE t"), ElementsAre("2:drop"));
}

TEST(Lint, Sqlite) {
  EXPECT_THAT(Rules("CREATE INDEX i ON t (a); ALTER TABLE t ADD a int NOT NULL; ALTER TABLE t DROP b",
                    Stage::kExpand, Engine::kSqlite),
              ElementsAre("1:not-null", "1:drop"));
}

TEST(Compare, SaysWhatIsDoneDueWaitingChangedAndMissing) {
  const Script one{1, "one", Stage::kExpand, "aa", "m/001_one.sql"};
  const Script two{2, "two", Stage::kContract, "bb", "m/002_two.contract.sql"};
  const Script three{3, "three", Stage::kExpand, "cc", "m/003_three.sql"};
  const auto row = [](const Script& script, bool ended) {
    LedgerEntry entry;
    entry.version = script.version;
    entry.name = script.name;
    entry.stage = script.stage;
    entry.checksum = script.checksum;
    if (ended) entry.ended = WallTime();
    return entry;
  };
  using State = Step::State;
  const auto states = [](const Comparison& comparison) {
    std::vector<State> out;
    for (const Step& step : comparison.steps) out.push_back(step.state);
    return out;
  };
  Comparison found = Compare({one, two, three}, {row(one, true), row(three, false)}, {});
  EXPECT_THAT(states(found), ElementsAre(State::kApplied, State::kWaits, State::kPartial));
  EXPECT_THAT(found.problems, IsEmpty());
  found = Compare({one, two, three}, {row(three, true)}, {2});
  EXPECT_THAT(states(found), ElementsAre(State::kPending, State::kPending, State::kApplied));
  EXPECT_TRUE(found.steps[0].late);
  Script changed = one;
  changed.checksum = "dd";
  found = Compare({changed}, {row(one, true), row(two, true)}, {});
  ASSERT_EQ(found.problems.size(), 2u);
  EXPECT_THAT(found.problems[0], HasSubstr("m/001_one.sql is not what was applied"));
  EXPECT_THAT(found.problems[1], HasSubstr("the database has 002_two.contract"));
}

}  // namespace
}  // namespace ingot::migrate
