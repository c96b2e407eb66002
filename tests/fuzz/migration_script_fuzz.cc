// Arbitrary bytes as a migration script, in both dialects. Besides not crashing: what is split is all there,
// in order and where it says, and splitting a statement again gives that statement.
#include <cstdlib>
#include <string_view>

#include "migrate/lint.h"

namespace {

using namespace ingot::migrate;  // NOLINT(google-build-using-namespace): a test program

void Require(bool condition) {
  if (!condition) std::abort();
}

void Drive(std::string_view text, Engine engine) {
  const auto parsed = ParseScript(text, engine);
  if (!parsed) {
    Require(!parsed.error().message().empty());
    return;
  }
  size_t end = 0;
  int line = 1;
  for (const Statement& statement : parsed->statements) {
    Require(!statement.tokens.empty() && !statement.text.empty());
    Require(statement.tokens.front().begin >= end && statement.line >= line);
    end = statement.tokens.back().end;
    line = statement.line;
    Require(text.substr(statement.tokens.front().begin, statement.text.size()) == statement.text);
    const auto again = ParseScript(statement.text, engine);
    Require(again && again->statements.size() == 1 && again->statements[0].text == statement.text);
    Require(again->statements[0].alone == statement.alone);
  }
  for (const Stage stage : {Stage::kExpand, Stage::kContract})
    for (const Finding& finding : Lint(*parsed, stage, engine))
      Require(finding.line > 0 && !finding.rule.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Drive(text, Engine::kPostgres);
  Drive(text, Engine::kSqlite);
  if (const auto script = ParseScriptName(text.substr(0, 200))) {
    const auto again = ParseScriptName(Render(*script) + ".sql");
    Require(again && again->version == script->version && again->name == script->name &&
            again->stage == script->stage);
  }
  return 0;
}
