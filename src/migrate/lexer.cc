#include "migrate/lexer.h"

#include <algorithm>

namespace ingot::migrate {

namespace {

bool IsWordStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsWordByte(char c) {
  return IsWordStart(c) || IsDigit(c) || c == '$';
}

class Lexer {
 public:
  Lexer(std::string_view sql, Engine engine) : sql_(sql), postgres_(engine == Engine::kPostgres) {}

  Result<std::vector<Token>> Run() {
    if (sql_.find('\0') != std::string_view::npos) return Error(Code::kInvalid, "it has a byte 0 in it");
    if (sql_.starts_with("\xef\xbb\xbf")) at_ = 3;  // a byte order mark
    while (at_ < sql_.size()) {
      const char c = sql_[at_];
      if (c == '\n') ++line_;
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v')
        ++at_;
      else
        TRY(One(c));
    }
    return std::move(tokens_);
  }

 private:
  using Kind = Token::Kind;

  bool Next(std::string_view text) const { return sql_.substr(at_).starts_with(text); }

  Result<void> One(char c) {
    if (Next("--")) return Add(Kind::kComment, std::min(sql_.find('\n', at_), sql_.size()));
    if (Next("/*")) return Block();
    if (c == '\'') return Quoted(at_, '\'', false, Kind::kString);
    if (c == '"') return Quoted(at_, '"', false, Kind::kIdentifier);
    if (!postgres_ && c == '`') return Quoted(at_, '`', false, Kind::kIdentifier);
    if (!postgres_ && c == '[') {
      const size_t end = sql_.find(']', at_);
      if (end == std::string_view::npos) return Open("an identifier in [ ]");
      return Add(Kind::kIdentifier, end + 1);
    }
    if (postgres_ && (c == 'e' || c == 'E') && at_ + 1 < sql_.size() && sql_[at_ + 1] == '\'')
      return Quoted(at_ + 1, '\'', true, Kind::kString);
    if (postgres_ && (Next("U&\"") || Next("u&\""))) return Quoted(at_ + 2, '"', false, Kind::kIdentifier);
    if (postgres_ && c == '$') {
      if (const size_t tag = DollarTag(); tag > 0) return DollarQuoted(tag);
    }
    if (IsWordStart(c)) {
      size_t end = at_;
      while (end < sql_.size() && IsWordByte(sql_[end])) ++end;
      return Add(Kind::kWord, end);
    }
    if (IsDigit(c)) {
      size_t end = at_;
      while (end < sql_.size() && (IsWordByte(sql_[end]) || sql_[end] == '.')) ++end;
      return Add(Kind::kNumber, end);
    }
    return Add(Kind::kSymbol, at_ + 1);
  }

  // The length of "$tag$" here; 0: there is none ($1 is a parameter).
  size_t DollarTag() const {
    size_t end = at_ + 1;
    if (end < sql_.size() && IsDigit(sql_[end])) return 0;
    while (end < sql_.size() && sql_[end] != '$' && IsWordByte(sql_[end])) ++end;
    return end < sql_.size() && sql_[end] == '$' ? end + 1 - at_ : 0;
  }

  Result<void> DollarQuoted(size_t length) {
    const size_t end = sql_.find(sql_.substr(at_, length), at_ + length);
    if (end == std::string_view::npos) return Open("a string in " + std::string(sql_.substr(at_, length)));
    return Add(Kind::kString, end + length);
  }

  // A doubled quote is one of the text; so is, in an E'' string, one after a backslash.
  Result<void> Quoted(size_t open, char quote, bool backslashes, Kind kind) {
    for (size_t i = open + 1; i < sql_.size(); ++i) {
      if (backslashes && sql_[i] == '\\') {
        ++i;
      } else if (sql_[i] == quote) {
        if (i + 1 >= sql_.size() || sql_[i + 1] != quote) return Add(kind, i + 1);
        ++i;
      }
    }
    return Open(kind == Kind::kString ? "a string" : "a quoted identifier");
  }

  Result<void> Block() {
    int depth = 1;
    for (size_t i = at_ + 2; i + 1 < sql_.size(); ++i) {
      if (sql_[i] == '*' && sql_[i + 1] == '/') {
        if (--depth == 0) return Add(Kind::kComment, i + 2);
        ++i;
      } else if (postgres_ && sql_[i] == '/' && sql_[i + 1] == '*') {
        ++depth;
        ++i;
      }
    }
    return Open("a comment");
  }

  Error Open(const std::string& what) const {
    return Error(Code::kInvalid,
                 "line " + std::to_string(line_) + ": " + what + " begins here and has no end");
  }

  Result<void> Add(Kind kind, size_t end) {
    Token token{kind, kind == Kind::kString ? "" : std::string(sql_.substr(at_, end - at_)), line_, at_, end};
    if (kind == Kind::kWord)
      for (char& c : token.text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    line_ += static_cast<int>(std::count(sql_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         sql_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    tokens_.push_back(std::move(token));
    at_ = end;
    return {};
  }

  std::string_view sql_;
  bool postgres_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> Lex(std::string_view sql, Engine engine) {
  return Lexer(sql, engine).Run();
}

}  // namespace ingot::migrate
