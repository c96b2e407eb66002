#include "migrate/lint.h"

#include <algorithm>
#include <set>

namespace ingot::migrate {

namespace {

using Kind = Token::Kind;

// Walks over the words of a statement.
class Walk {
 public:
  explicit Walk(const std::vector<Token>& tokens) : tokens_(tokens) {}
  bool done() const { return at_ >= tokens_.size(); }
  bool Is(std::string_view word) const { return !done() && tokens_[at_].Is(word); }
  bool Take(std::string_view word) {
    if (!Is(word)) return false;
    ++at_;
    return true;
  }
  bool TakeAll(std::initializer_list<std::string_view> words) {
    const size_t before = at_;
    for (const std::string_view word : words)
      if (!Take(word)) {
        at_ = before;
        return false;
      }
    return true;
  }
  void Skip() { ++at_; }
  int line() const { return done() ? 0 : tokens_[at_].line; }
  // A name, perhaps with its schema: "public.users". The schema public is as none.
  std::string Name() {
    std::string name;
    while (!done() && (tokens_[at_].kind == Kind::kWord || tokens_[at_].kind == Kind::kIdentifier)) {
      const Token& token = tokens_[at_++];
      name = token.kind == Kind::kIdentifier ? token.text.substr(1, token.text.size() - 2) : token.text;
      if (!Take(".")) break;
    }
    return name;
  }
  // Whether the word stands before the next comma outside parentheses; that comma is where one part of an
  // ALTER TABLE ends.
  bool PartHas(std::initializer_list<std::string_view> words) const {
    int depth = 0;
    for (size_t i = at_; i < tokens_.size(); ++i) {
      if (tokens_[i].Is("(")) ++depth;
      if (tokens_[i].Is(")")) --depth;
      if (depth == 0 && tokens_[i].Is(",")) return false;
      const bool all =
          i + words.size() <= tokens_.size() &&
          std::equal(words.begin(), words.end(), tokens_.begin() + static_cast<std::ptrdiff_t>(i),
                     [](std::string_view word, const Token& token) { return token.Is(word); });
      if (all) return true;
    }
    return false;
  }
  void NextPart() {
    int depth = 0;
    for (; !done(); ++at_) {
      if (Is("(")) ++depth;
      if (Is(")")) --depth;
      if (depth == 0 && Take(",")) return;
    }
  }

 private:
  const std::vector<Token>& tokens_;
  size_t at_ = 0;
};

class Linter {
 public:
  Linter(Stage stage, Engine engine)
      : expand_(stage == Stage::kExpand), postgres_(engine == Engine::kPostgres) {}

  std::vector<Finding> Run(const ParsedScript& script) {
    for (const Statement& statement : script.statements) {
      statement_ = &statement;
      One(statement);
    }
    return std::move(findings_);
  }

 private:
  void Find(int line, std::string rule, std::string why) {
    if (statement_->allowed.contains(rule)) return;
    findings_.push_back({line == 0 ? statement_->line : line, std::move(rule), std::move(why)});
  }

  void One(const Statement& s) {
    Walk walk(s.tokens);
    if (walk.Take("create")) return Create(walk);
    if (walk.TakeAll({"alter", "table"})) return AlterTable(walk);
    if (walk.Take("alter")) return Alter(walk);
    if (walk.Take("drop")) return Drop(walk);
    if (walk.Take("truncate") && expand_)
      return Find(0, "drop", "TRUNCATE takes away rows that the present revision may need");
    if ((walk.Take("update") || walk.Take("delete")) && !s.Has("where"))
      return Find(
          0, "whole-table",
          "it changes every row in one transaction and locks them until its end; go through the table in "
          "parts (WHERE, with `-- ingot: no-transaction`)");
    if (!postgres_) return;
    if (walk.Take("lock")) return Find(0, "lock", "LOCK holds up requests until the script has ended");
    if (walk.Take("cluster"))
      return Find(0, "rewrite", "CLUSTER rewrites the table and lets nobody read it meanwhile");
    if (walk.Take("vacuum") && s.Has("full"))
      return Find(0, "rewrite", "VACUUM FULL rewrites the table and lets nobody read it meanwhile");
    if (walk.Take("reindex") && !s.Has("concurrently"))
      return Find(0, "index", "REINDEX lets nobody write meanwhile; write REINDEX … CONCURRENTLY");
    if (walk.TakeAll({"refresh", "materialized", "view"}) && !walk.Is("concurrently"))
      return Find(0, "lock",
                  "it lets nobody read the view meanwhile; write REFRESH MATERIALIZED VIEW CONCURRENTLY");
  }

  void Create(Walk& walk) {
    walk.TakeAll({"or", "replace"});
    for (const char* word : {"global", "local", "temporary", "temp", "unlogged", "virtual"}) walk.Take(word);
    if (walk.Take("table")) {
      walk.TakeAll({"if", "not", "exists"});
      created_.insert(walk.Name());
      return;
    }
    walk.Take("unique");
    if (!postgres_ || !walk.Take("index") || walk.Take("concurrently")) return;
    // The name may be left out: CREATE INDEX ON t.
    while (!walk.done() && !walk.Take("on")) walk.Skip();
    walk.Take("only");
    if (const std::string table = walk.Name(); !created_.contains(table))
      Find(0, "index",
           "CREATE INDEX lets nobody write to " + table + " meanwhile; write CREATE INDEX CONCURRENTLY");
  }

  void Drop(Walk& walk) {
    if (postgres_ && walk.Is("index") && !statement_->Has("concurrently") && !expand_)
      return Find(
          0, "index",
          "DROP INDEX waits for, and holds up, every use of its table; write DROP INDEX CONCURRENTLY");
    // Of these nothing that an old revision asks for depends, or they are its own way of going.
    static const std::set<std::string_view> kHarmless = {"trigger", "rule", "policy", "statistics", "owned"};
    std::string what;
    for (const std::string_view word : kHarmless)
      if (walk.Is(word)) return;
    if (expand_)
      Find(0, "drop",
           "the present revision may still need what is dropped; move it to a later NNN_name.contract.sql, "
           "which "
           "runs when no revision is left that does not know it");
  }

  void Alter(Walk& walk) {
    if (expand_ && (statement_->Has("rename")))
      Find(0, "rename", "the present revision knows the old name only; add the new one beside it");
    if (walk.Take("materialized") || walk.Take("view")) return;
  }

  void AlterTable(Walk& walk) {
    walk.TakeAll({"if", "exists"});
    walk.Take("only");
    const std::string table = walk.Name();
    walk.Take("*");
    const bool fresh = created_.contains(table);
    while (!walk.done()) {
      Part(walk, table, fresh);
      walk.NextPart();
    }
  }

  void Part(Walk& walk, const std::string& table, bool fresh) {
    const int line = walk.line();
    if (walk.Is("rename")) {
      if (expand_)
        Find(line, "rename", "the present revision knows the old name only; add the new one beside it");
      return;
    }
    if (walk.Take("drop")) {
      // What falls away asks less of the old revision than before.
      const bool loosens = walk.Is("constraint") || walk.Is("not");
      if (expand_ && !loosens)
        Find(line, "drop",
             "the present revision may still read or write it; move this to a later NNN_name.contract.sql");
      return;
    }
    if (walk.Take("add")) return fresh ? void() : Add(walk, table, line);
    if (fresh || !postgres_) return;
    if (walk.Take("alter")) return AlterColumn(walk, table, line);
    if (walk.TakeAll({"set", "logged"}) || walk.TakeAll({"set", "unlogged"}) ||
        walk.TakeAll({"set", "tablespace"}) || walk.TakeAll({"set", "access", "method"}))
      return Find(line, "rewrite", "it rewrites " + table + " and lets nobody read it meanwhile");
  }

  void AlterColumn(Walk& walk, const std::string& table, int line) {
    walk.Take("column");
    const std::string column = walk.Name();
    if (walk.Is("type") || walk.TakeAll({"set", "data", "type"}))
      return Find(
          line, "type",
          "another type of " + table + "." + column +
              " may rewrite the table while nobody can read it; add a new column, fill it, and drop this "
              "one in a contract script");
    if (walk.TakeAll({"set", "not", "null"}))
      return Find(line, "not-null",
                  "SET NOT NULL reads all of " + table +
                      " while nobody can use it, and an old revision may write NULL; add CHECK (" + column +
                      " IS NOT NULL) NOT VALID, VALIDATE it in a later script, then set it");
  }

  void Add(Walk& walk, const std::string& table, int line) {
    static const std::set<std::string_view> kConstraints = {"constraint", "check",   "unique",
                                                            "primary",    "foreign", "exclude"};
    for (const std::string_view word : kConstraints)
      if (walk.Is(word)) return AddConstraint(walk, table, line);
    walk.Take("column");
    walk.TakeAll({"if", "not", "exists"});
    const std::string column = walk.Name();
    const bool has_default = walk.PartHas({"default"}) || walk.PartHas({"generated"});
    for (const char* serial : {"serial", "bigserial", "smallserial", "serial4", "serial8"})
      if (postgres_ && walk.PartHas({serial}))
        return Find(line, "rewrite",
                    "a " + std::string(serial) + " column rewrites " + table + " while nobody can use it");
    if (walk.PartHas({"not", "null"}) && !has_default)
      return Find(
          line, "not-null",
          "a column NOT NULL without a default cannot be added to " + table +
              " with rows, and the present revision does not write it; give it a DEFAULT, or let it be NULL");
    if (!postgres_) return;
    if (walk.PartHas({"generated"}))
      return Find(line, "rewrite", "a generated column rewrites " + table + " while nobody can use it");
    for (const char* changing : {"random", "gen_random_uuid", "uuid_generate_v4", "clock_timestamp",
                                 "nextval", "timeofday", "uuid_generate_v1"})
      if (walk.PartHas({changing, "("}))
        return Find(line, "rewrite",
                    "a default that differs from row to row rewrites " + table +
                        " while nobody can use it; add the column, set its default, fill it in parts");
    if (walk.PartHas({"unique"}) || walk.PartHas({"primary", "key"}))
      return Find(
          line, "index",
          "it builds an index on " + table + " while nobody can use it; build it before, CONCURRENTLY");
    if (walk.PartHas({"references"}) && !walk.PartHas({"null"}) && has_default)
      Find(line, "lock",
           "it checks every row of " + table + " while nobody can write; add the constraint NOT VALID");
  }

  void AddConstraint(Walk& walk, const std::string& table, int line) {
    if (!postgres_) return;
    if (walk.PartHas({"not", "valid"}) || walk.PartHas({"using", "index"})) return;
    if (walk.PartHas({"unique"}) || walk.PartHas({"primary", "key"}) || walk.PartHas({"exclude"}))
      return Find(line, "index",
                  "it builds an index on " + table +
                      " while nobody can use it; CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … "
                      "USING INDEX");
    Find(line, "lock",
         "it checks every row of " + table +
             " while nobody can write; add it NOT VALID, and VALIDATE CONSTRAINT in a "
             "later script");
  }

  bool expand_;
  bool postgres_;
  std::set<std::string> created_;
  const Statement* statement_ = nullptr;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> Lint(const ParsedScript& script, Stage stage, Engine engine) {
  return Linter(stage, engine).Run(script);
}

std::string Render(const std::string& file, const Finding& finding) {
  return file + ":" + std::to_string(finding.line) + ": " + finding.rule + ": " + finding.why +
         "; or accept it with a comment `-- ingot: allow " + finding.rule + "`";
}

}  // namespace ingot::migrate
