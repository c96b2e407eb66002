#include "migrate/statement.h"

#include <algorithm>

namespace ingot::migrate {

namespace {

using Kind = Token::Kind;

Error At(int line, const std::string& what) {
  return Error(Code::kInvalid, "line " + std::to_string(line) + ": " + what);
}

// The words of "-- ingot: WORDS", separated by spaces and commas; empty for any other comment.
std::vector<std::string> Directive(std::string_view comment) {
  std::vector<std::string> words;
  std::string word;
  if (!comment.starts_with("--")) return {};
  comment.remove_prefix(2);
  for (const char c : std::string(comment) + " ") {
    if (c != ' ' && c != '\t' && c != ',' && c != '\r' && c != '\n') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  if (words.size() < 2 || words[0] != "ingot:") return {};
  words.erase(words.begin());
  return words;
}

bool IsAlone(const Statement& s, Engine engine) {
  if (engine == Engine::kSqlite)
    return s.Begins({"vacuum"}) || s.Begins({"pragma"}) || s.Begins({"attach"}) || s.Begins({"detach"});
  const bool concurrently = s.Has("concurrently");
  if (s.Begins({"create", "index"}) || s.Begins({"create", "unique", "index"}) || s.Begins({"drop", "index"}))
    return concurrently;
  if (s.Begins({"reindex"})) return concurrently || s.Has("database") || s.Has("system");
  if (s.Begins({"alter", "type"})) return s.Has("add") && s.Has("value");
  if (s.Begins({"alter", "table"})) return s.Has("detach") && concurrently;
  return s.Begins({"vacuum"});
}

// Why it has no place in a script; empty: it has.
std::string Refusal(const Statement& s, Engine engine) {
  if (s.Begins({"begin"}) || s.Begins({"start", "transaction"}) || s.Begins({"commit"}) ||
      s.Begins({"end"}) || s.Begins({"abort"}) || s.Begins({"prepare", "transaction"}) ||
      (s.Begins({"rollback"}) && !s.Has("to")))
    return "a script runs in a transaction of its own; leave " + s.tokens.front().text +
           " out (`-- ingot: no-transaction` gives each statement one)";
  if (engine == Engine::kSqlite) return "";
  if (s.Begins({"copy"})) return "COPY has no data here; use INSERT";
  for (const char* verb : {"create", "drop", "alter"})
    for (const char* what : {"database", "tablespace", "system"})
      if (s.Begins({verb, what}))
        return std::string(verb) + " " + what + " is no change of a schema; do it by hand";
  // A half of it has to be found by its name after a kill.
  const bool index = s.Begins({"create", "index", "concurrently"}) ||
                     s.Begins({"create", "unique", "index", "concurrently"});
  if (index && s.tokens.size() > 4 && s.tokens[s.Begins({"create", "index"}) ? 3 : 4].Is("on"))
    return "an index that is made CONCURRENTLY needs a name, by which it is found again after a kill";
  if (s.Begins({"discard"})) return "leave discard out; each script begins with a new session's settings";
  return "";
}

// Where a body of statements stands inside a statement, ; does not end it: CREATE TRIGGER … BEGIN … END of
// SQLite, BEGIN ATOMIC … END of PostgreSQL's functions.
class Body {
 public:
  explicit Body(Engine engine) : engine_(engine) {}
  void See(const std::vector<Token>& statement, const Token& token) {
    if (token.kind != Kind::kWord) return;
    if (depth_ == 0) {
      const bool created = !statement.empty() && statement.front().Is("create");
      if (!created) return;
      const auto has = [&](std::string_view word) {
        return std::any_of(statement.begin(), statement.end(), [&](const Token& t) { return t.Is(word); });
      };
      if (engine_ == Engine::kSqlite ? token.Is("begin") && has("trigger")
                                     : token.Is("atomic") && statement.back().Is("begin"))
        depth_ = 1;
    } else if (token.Is("begin") || token.Is("case")) {
      ++depth_;
    } else if (token.Is("end")) {
      --depth_;
    }
  }
  bool inside() const { return depth_ > 0; }
  void Reset() { depth_ = 0; }

 private:
  Engine engine_;
  int depth_ = 0;
};

class Splitter {
 public:
  Splitter(std::string_view text, Engine engine) : text_(text), engine_(engine), body_(engine) {}

  Result<ParsedScript> Run() {
    const std::vector<Token> tokens = TRY(Lex(text_, engine_));
    for (const Token& token : tokens) {
      if (token.kind == Kind::kComment) {
        TRY(Comment(token));
        continue;
      }
      if (token.Is("\\")) return At(token.line, "commands of psql are not SQL; leave the line out");
      if (token.Is(";") && parentheses_ == 0 && !body_.inside()) {
        TRY(End(token.line));
        continue;
      }
      if (token.Is("(")) ++parentheses_;
      if (token.Is(")")) --parentheses_;
      if (parentheses_ < 0) return At(token.line, "a ) without its (");
      body_.See(statement_.tokens, token);
      statement_.tokens.push_back(token);
    }
    if (!statement_.tokens.empty() && (parentheses_ > 0 || body_.inside()))
      return At(statement_.tokens.front().line, parentheses_ > 0
                                                    ? "a statement begins here whose ( has no )"
                                                    : "a statement begins here whose BEGIN has no END");
    TRY(End(0));
    return std::move(out_);
  }

 private:
  Result<void> Comment(const Token& comment) {
    const std::vector<std::string> words = Directive(comment.text);
    if (words.empty()) return {};
    if (words[0] == "no-transaction" && words.size() == 1) {
      if (!out_.statements.empty() || !statement_.tokens.empty())
        return At(comment.line, "no-transaction stands above the first statement");
      out_.no_transaction = true;
      return {};
    }
    if (words[0] != "allow" || words.size() < 2)
      return At(comment.line,
                "\"ingot: " + words[0] + "\" is not known; expected allow WORD or no-transaction");
    // Behind a statement on its last line it is that one's; else of the one that it stands in or above.
    const bool behind = statement_.tokens.empty() && !out_.statements.empty() && ended_on_ == comment.line;
    auto& allowed = behind ? out_.statements.back().allowed : statement_.allowed;
    allowed.insert(words.begin() + 1, words.end());
    return {};
  }

  Result<void> End(int line) {
    ended_on_ = line;
    parentheses_ = 0;
    body_.Reset();
    if (statement_.tokens.empty()) return {};
    Statement& s = statement_;
    s.line = s.tokens.front().line;
    s.text = std::string(text_.substr(s.tokens.front().begin, s.tokens.back().end - s.tokens.front().begin));
    s.alone = IsAlone(s, engine_);
    s.setting =
        (s.Begins({"set"}) && !s.Begins({"set", "local"})) || s.Begins({"reset"}) || s.Begins({"pragma"});
    if (const std::string why = Refusal(s, engine_); !why.empty()) return At(s.line, why);
    out_.statements.push_back(std::move(s));
    statement_ = {};
    return {};
  }

  std::string_view text_;
  Engine engine_;
  ParsedScript out_;
  Statement statement_;
  Body body_;
  int parentheses_ = 0;
  int ended_on_ = 0;
};

}  // namespace

bool Statement::Begins(std::initializer_list<std::string_view> words) const {
  return tokens.size() >= words.size() &&
         std::equal(words.begin(), words.end(), tokens.begin(),
                    [](std::string_view word, const Token& token) { return token.Is(word); });
}

bool Statement::Has(std::string_view word) const {
  return std::any_of(tokens.begin(), tokens.end(), [&](const Token& token) { return token.Is(word); });
}

Result<ParsedScript> ParseScript(std::string_view text, Engine engine) {
  if (text.size() > kMaxScriptBytes) return Error(Code::kInvalid, "a script is at most 1 MiB; split it");
  return Splitter(text, engine).Run();
}

}  // namespace ingot::migrate
