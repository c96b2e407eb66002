#include "build/dockerfile_parser.h"

#include <fmt/format.h>

#include <set>

#include "build/dockerfile_line.h"
#include "build/dockerfile_text.h"
#include "build/word_expansion.h"

namespace ingot::build {
namespace {

constexpr size_t kMaxTriggerDepth = 8;

// Physical lines, each with its end.
class LineReader {
 public:
  explicit LineReader(std::string_view bytes) : rest_(bytes) {}

  bool AtEnd() const { return rest_.empty(); }
  int number() const { return number_; }
  // kInvalid when the line is too long. Not at the end.
  Result<std::string_view> Next() {
    const size_t newline = rest_.find('\n');
    const std::string_view line = rest_.substr(0, newline == std::string_view::npos ? newline : newline + 1);
    ++number_;
    if (line.size() - (newline == std::string_view::npos ? 0 : 1) > kMaxDockerfileLineBytes) {
      return Error(Code::kInvalid, fmt::format("the line is longer than {} bytes", kMaxDockerfileLineBytes));
    }
    rest_.remove_prefix(line.size());
    return line;
  }

 private:
  std::string_view rest_;
  int number_ = 0;
};

std::string_view TrimNewline(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

bool IsComment(std::string_view line) {
  line = TrimLeftSpace(line);
  return !line.empty() && line[0] == '#';
}

// Takes the escape character off the end of a line that goes on. Two in a row do not continue it.
bool TrimContinuation(std::string_view* line, char escape) {
  const size_t last = line->find_last_not_of(" \t");
  if (last == std::string_view::npos || (*line)[last] != escape) return false;
  if (last > 0 && (*line)[last - 1] == escape) return false;
  *line = line->substr(0, last);
  return true;
}

// `# name=value` lines at the very top; the first line of any other kind ends them.
class DirectiveReader {
 public:
  explicit DirectiveReader(ParserDirectives* directives) : directives_(directives) {}

  Result<void> Read(std::string_view line) {
    if (done_) return {};
    done_ = true;
    if (line.empty() || line[0] != '#') return {};
    line = TrimLeftSpace(line.substr(1));
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return {};
    const std::string_view written = line.substr(0, equals);
    const std::string name = Lower(written.substr(0, written.find_last_not_of(" \t\n\r\f") + 1));
    const std::string_view value = TrimSpace(line.substr(equals + 1));
    if (value.empty() || (name != "syntax" && name != "escape" && name != "check")) return {};
    if (!seen_.insert(name).second) {
      return Error(Code::kInvalid, fmt::format("the parser directive '{}' is given twice", name));
    }
    done_ = false;
    if (name == "syntax") directives_->syntax = value;
    if (name == "check") directives_->check = value;
    if (name != "escape") return {};
    if (value != "\\" && value != "`") {
      return Error(Code::kInvalid,
                   fmt::format("the escape directive must be ` or \\, not {}", QuoteShort(value)));
    }
    directives_->escape = value[0];
    return {};
  }

 private:
  ParserDirectives* directives_;
  std::set<std::string> seen_;
  bool done_ = false;
};

// Whether heredocs are looked for at all: RUN, COPY and ADD not in JSON form, also behind ONBUILD.
bool MayHaveHeredocs(const SyntaxNode& node) {
  const SyntaxNode& inner = node.trigger.empty() ? node : node.trigger.front();
  const std::string keyword = Lower(inner.keyword);
  return (keyword == "run" || keyword == "copy" || keyword == "add") && !inner.json;
}

class Parser {
 public:
  Parser(std::string_view bytes, std::string_view file_name)
      : lines_(bytes), file_name_(file_name), directives_(&syntax_.directives) {}

  Result<Syntax> Run() {
    while (!lines_.AtEnd()) {
      // Counted from the line about to be read, so that an error in reading it has its number too.
      start_ = lines_.number() + 1;
      auto node = Instruction();
      if (!node) {
        return Error(node.error().code(),
                     fmt::format("{}:{}: {}", file_name_, start_, node.error().message()));
      }
    }
    if (syntax_.nodes.empty()) {
      return Error(Code::kInvalid,
                   fmt::format("{}:{}: the file has no instructions; it needs at least a FROM", file_name_,
                               std::max(1, lines_.number())));
    }
    return std::move(syntax_);
  }

 private:
  // One instruction, or one line that is none.
  Result<void> Instruction() {
    std::string_view line = TRY(lines_.Next());
    if (start_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    line = TrimLeftSpace(TrimNewline(line));
    TRY(directives_.Read(line));
    if (IsComment(line)) line = {};
    bool continues = TrimContinuation(&line, syntax_.directives.escape);
    if (!continues && line.empty()) return {};
    std::string logical(line);
    while (continues && !lines_.AtEnd()) {
      std::string_view next = TrimNewline(TRY(lines_.Next()));
      // Comments and empty lines do not end it. (BuildKit only warns of the latter.)
      if (IsComment(next) || TrimLeftSpace(next).empty()) continue;
      continues = TrimContinuation(&next, syntax_.directives.escape);
      logical += next;
    }
    SyntaxNode node = TRY(ParseInstructionLine(logical, syntax_.directives.escape, kMaxTriggerDepth));
    if (MayHaveHeredocs(node) && logical.find("<<") != std::string::npos) {
      node.heredocs = TRY(HeredocsOfLine(logical));
      for (Heredoc& heredoc : node.heredocs) TRY(ReadHeredoc(&heredoc));
    }
    node.line = start_;
    node.end_line = lines_.number();
    syntax_.nodes.push_back(std::move(node));
    return {};
  }

  static Result<std::vector<Heredoc>> HeredocsOfLine(std::string_view line) {
    std::vector<Heredoc> heredocs;
    const auto words =
        ExpandWords(line, Variables(), {.keep_quotes = true, .keep_escapes = true, .keep_unset = true});
    if (!words) return heredocs;  // quotes that do not match are the shell's business: no heredocs
    for (const std::string& word : *words) {
      Heredoc heredoc = TRY(TryHeredocWord(word));
      if (!heredoc.name.empty()) heredocs.push_back(std::move(heredoc));
    }
    return heredocs;
  }

  Result<void> ReadHeredoc(Heredoc* heredoc) {
    while (!lines_.AtEnd()) {
      const std::string_view line = TRY(lines_.Next());
      std::string_view terminator = TrimNewline(line);
      if (heredoc->chomp) {
        while (!terminator.empty() && terminator[0] == '\t') terminator.remove_prefix(1);
      }
      if (terminator == heredoc->name) return {};
      heredoc->content += line;
    }
    return Error(Code::kInvalid, fmt::format("the heredoc <<{} has no end: a line with only {} is missing",
                                             heredoc->name, heredoc->name));
  }

  LineReader lines_;
  std::string_view file_name_;
  Syntax syntax_;
  DirectiveReader directives_;
  int start_ = 0;
};

std::string DumpNode(const SyntaxNode& node) {
  std::string dump = Lower(node.keyword);
  if (!node.flags.empty()) {
    std::string flags;
    for (const std::string& flag : node.flags) flags += (flags.empty() ? "" : " ") + Quote(flag);
    dump += " [" + flags + "]";
  }
  for (const SyntaxNode& trigger : node.trigger) dump += " (" + DumpNode(trigger) + ")";
  for (const std::string& argument : node.arguments) dump += " " + Quote(argument);
  return std::string(TrimSpace(dump));
}

}  // namespace

Result<Syntax> ParseSyntax(std::string_view bytes, std::string_view file_name) {
  if (bytes.size() > kMaxDockerfileBytes) {
    return Error(Code::kInvalid, fmt::format("{}:1: the file has {} bytes, more than the {} that are allowed",
                                             file_name, bytes.size(), kMaxDockerfileBytes));
  }
  return Parser(bytes, file_name).Run();
}

std::string DumpSyntax(const Syntax& syntax) {
  std::string dump;
  for (const SyntaxNode& node : syntax.nodes) dump += (dump.empty() ? "(" : "\n(") + DumpNode(node) + ")";
  return dump;
}

std::string ChompHeredoc(std::string_view content) {
  std::string result;
  bool at_line_start = true;
  for (const char c : content) {
    if (at_line_start && c == '\t') continue;
    result += c;
    at_line_start = c == '\n';
  }
  return result;
}

}  // namespace ingot::build
