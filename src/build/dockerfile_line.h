// One logical line of a Dockerfile (continuation lines joined) → its node. Internal to the parser.
#pragma once

#include <string_view>

#include "base/result.h"
#include "build/dockerfile_parser.h"

namespace ingot::build {

// Keyword, flags and arguments, by the rules of each keyword; an unknown keyword has one empty argument.
// Without heredocs and line numbers. `depth` bounds ONBUILD within ONBUILD. kInvalid without a file position.
Result<SyntaxNode> ParseInstructionLine(std::string_view line, char escape, size_t depth);

// As ParseHeredocWord, but a heredoc with an unfinished quote is kInvalid.
Result<Heredoc> TryHeredocWord(std::string_view word);

}  // namespace ingot::build
