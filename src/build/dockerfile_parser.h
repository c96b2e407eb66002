// The syntax of a Dockerfile: bytes → one node per instruction, exactly as BuildKit's parser reads them.
//
// This is the lower half of the front end: it knows continuation lines, comments, parser directives, flags,
// the JSON form and heredocs, but not what an instruction means (dockerfile.h does) and not what a variable
// holds (word_expansion.h does). Pure: no I/O. Reference: the Dockerfile reference of BuildKit's
// `docker/dockerfile:1`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ingot::build {

// `<<EOF`, `<<-EOF`, `3<<"EOF"`.
struct Heredoc {
  std::string name;  // without quotes
  unsigned file_descriptor = 0;
  bool expand = true;   // false when any part of the name was quoted
  bool chomp = false;   // `<<-`: leading tabs of each line are not part of the text
  std::string content;  // as written, every line with its end; without the terminator line
};

// The text without leading tabs on any line, as `<<-` asks.
std::string ChompHeredoc(std::string_view content);

struct SyntaxNode {
  std::string keyword;                 // as written: "run", "RUN"
  std::vector<std::string> flags;      // "--from=base", unquoted
  std::vector<std::string> arguments;  // ENV and LABEL: key, value, "=" (or "" for the old form), repeated
  bool json = false;                   // the arguments were a JSON array
  std::vector<SyntaxNode> trigger;     // ONBUILD: at most one, the nested instruction
  std::vector<Heredoc> heredocs;
  std::string original;  // the logical line, continuation lines joined, comments dropped
  int line = 0;          // first line in the file, from 1
  int end_line = 0;      // last line, heredocs included
};

// `# name=value` lines before anything else. Empty when absent.
struct ParserDirectives {
  std::string syntax;
  std::string check;
  char escape = '\\';  // '\\' or '`'
};

struct Syntax {
  ParserDirectives directives;
  std::vector<SyntaxNode> nodes;  // never empty
};

// Limits on hostile input: beyond them the file is refused (kInvalid).
inline constexpr size_t kMaxDockerfileBytes = 4 << 20;
inline constexpr size_t kMaxDockerfileLineBytes = 65535;  // BuildKit's own limit, per physical line

// kInvalid for anything BuildKit's parser refuses (and for the limits above); messages begin
// "<file_name>:<line>: ".
Result<Syntax> ParseSyntax(std::string_view bytes, std::string_view file_name);

// The tree in BuildKit's dump format, for comparison with it: one "(keyword [flags] "arg" …)" per
// instruction, no newline at the end.
std::string DumpSyntax(const Syntax& syntax);

// A heredoc word as it stands in a line ("<<-EOF"), without content; the name is empty when `word` is not
// one.
Heredoc ParseHeredocWord(std::string_view word);

}  // namespace ingot::build
