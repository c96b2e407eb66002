#include "build/dockerfile_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "build/dockerfile_json.h"
#include "build/dockerfile_text.h"
#include "build/word_expansion.h"

namespace ingot::build {
namespace {

struct FirstWord {
  std::string_view word;
  std::optional<std::string_view> rest;  // nullopt when there is no blank after it
};

FirstWord SplitFirst(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && !IsBlank(text[end])) ++end;
  if (end == text.size()) return {text, std::nullopt};
  size_t rest = end;
  while (rest < text.size() && IsBlank(text[rest])) ++rest;
  return {text.substr(0, end), text.substr(rest)};
}

std::vector<std::string> SplitBlanks(std::string_view text) {
  std::vector<std::string> words;
  for (std::optional<std::string_view> rest = text; rest && !text.empty();) {
    const FirstWord first = SplitFirst(*rest);
    words.emplace_back(first.word);
    rest = first.rest;
  }
  return words;
}

// Takes "--name=value" words off the front of `rest`; quotes and escapes are removed from them. "--" alone
// ends them.
std::vector<std::string> TakeFlags(std::string_view* rest, char escape) {
  std::vector<std::string> flags;
  for (;;) {
    *rest = TrimLeftSpace(*rest);
    if (!rest->starts_with("--")) return flags;
    std::string flag;
    bool quoted = false;
    char quote = '\0';
    size_t i = 0;
    for (; i < rest->size(); ++i) {
      const char c = (*rest)[i];
      if (quote == '\0' && (IsBlank(c) || c == '\n')) break;
      if (quote == '\0' && (c == '\'' || c == '"')) {
        quote = c;
        quoted = true;
      } else if (quote != '\0' && c == quote) {
        quote = '\0';
      } else if (c == escape) {
        if (++i == rest->size()) break;  // at the very end it is dropped
        flag += (*rest)[i];
      } else {
        flag += c;
      }
    }
    rest->remove_prefix(i);
    if (flag == "--") return flags;
    if (quoted || !flag.empty()) flags.push_back(std::move(flag));
  }
}

// Words separated by white space; quotes and escapes protect it and stay in the word.
std::vector<std::string> QuotedWords(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  char quote = '\0';
  bool in_word = false;
  for (size_t i = 0; i < text.size();) {
    const Rune rune = DecodeRune(text, i);
    std::string_view character = text.substr(i, rune.width);
    i += rune.width;
    if (quote == '\0' && IsSpace(rune.value)) {
      if (in_word && !word.empty()) words.push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    if (quote != '\0' && character[0] == quote) {
      quote = '\0';
    } else if (quote == '\0' && (character == "'" || character == "\"")) {
      quote = character[0];
    } else if (character[0] == escape && quote != '\'') {
      if (i == text.size()) break;  // at the very end it is dropped
      word += character;
      character = text.substr(i, DecodeRune(text, i).width);
      i += character.size();
    }
    word += character;
  }
  if (in_word && !word.empty()) words.push_back(std::move(word));
  return words;
}

// ENV and LABEL: `name=value …`, or the old `name value` where the value is the rest of the line.
Result<std::vector<std::string>> NameValues(std::string_view rest, std::string_view keyword, char escape) {
  const std::vector<std::string> words = QuotedWords(rest, escape);
  std::vector<std::string> arguments;
  if (words.empty()) return arguments;
  if (words[0].find('=') == std::string::npos) {
    const FirstWord first = SplitFirst(rest);
    if (!first.rest) {
      return Error(Code::kInvalid, fmt::format("{} {} has no value: write {} name=value", keyword,
                                               std::string(rest.substr(0, 100)), keyword));
    }
    return std::vector<std::string>{std::string(first.word), std::string(*first.rest), ""};
  }
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      return Error(Code::kInvalid,
                   fmt::format("{}: {} has no '=': write name=value, in quotes where the value has spaces",
                               keyword, QuoteShort(word)));
    }
    arguments.push_back(word.substr(0, equals));
    arguments.push_back(word.substr(equals + 1));
    arguments.emplace_back("=");
  }
  return arguments;
}

// Fills json and arguments when `rest` is a JSON array of strings; false when it is not one.
Result<bool> TakeJson(std::string_view rest, std::string_view keyword, SyntaxNode* node) {
  std::vector<std::string> strings;
  switch (ParseStringArray(rest, &strings)) {
    case StringArray::kNotJson:
      return false;
    case StringArray::kNotStrings:
      return Error(
          Code::kInvalid,
          fmt::format("{}: the JSON form takes strings only: [\"program\", \"argument\"]", Upper(keyword)));
    case StringArray::kStrings:
      break;
  }
  node->json = true;
  for (std::string& text : strings) node->arguments.push_back(std::move(text));
  return true;
}

Result<void> ParseHealthcheckLine(std::string_view rest, SyntaxNode* node) {
  const FirstWord first = SplitFirst(rest);
  if (first.word.empty()) return {};
  node->arguments.emplace_back(first.word);
  if (!first.rest || first.rest->empty()) return {};
  if (!TRY(TakeJson(*first.rest, node->keyword, node))) node->arguments.emplace_back(*first.rest);
  return {};
}

Result<void> ParseArguments(std::string_view rest, char escape, size_t depth, SyntaxNode* node) {
  const std::string keyword = Lower(node->keyword);
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), keyword) != names.end();
  };
  if (is({"env", "label"})) {
    node->arguments = TRY(NameValues(rest, Upper(keyword), escape));
  } else if (is({"arg"})) {
    node->arguments = QuotedWords(rest, escape);
  } else if (is({"from", "expose"})) {
    node->arguments = SplitBlanks(rest);
  } else if (is({"add", "copy", "volume"})) {
    if (!TRY(TakeJson(rest, keyword, node))) node->arguments = SplitBlanks(rest);
  } else if (is({"run", "cmd", "entrypoint", "shell"})) {
    if (!rest.empty() && !TRY(TakeJson(rest, keyword, node))) node->arguments.emplace_back(rest);
  } else if (is({"maintainer", "stopsignal", "user", "workdir"})) {
    if (!rest.empty()) node->arguments.emplace_back(rest);
  } else if (is({"healthcheck"})) {
    TRY(ParseHealthcheckLine(rest, node));
  } else if (is({"onbuild"})) {
    if (rest.empty()) return {};
    if (depth == 0) return Error(Code::kInvalid, "ONBUILD is nested too deeply");
    node->trigger.push_back(TRY(ParseInstructionLine(rest, escape, depth - 1)));
  } else {
    node->arguments.emplace_back();
  }
  return {};
}

// The parts of "3<<-EOF"; nullopt when the word has another form.
struct HeredocParts {
  unsigned file_descriptor = 0;
  bool chomp = false;
  std::string_view name;
};

std::optional<HeredocParts> SplitHeredoc(std::string_view word) {
  HeredocParts parts;
  size_t i = 0;
  for (; i < word.size() && word[i] >= '0' && word[i] <= '9'; ++i) {
    const unsigned digit = static_cast<unsigned>(word[i] - '0');
    parts.file_descriptor = std::min(parts.file_descriptor * 10 + digit, 1000000u);
  }
  if (word.substr(i, 2) != "<<") return std::nullopt;
  i += 2;
  parts.chomp = word.substr(i, 1) == "-";
  if (parts.chomp) ++i;
  parts.name = word.substr(std::min(word.size(), word.find_first_not_of(" \t\n\f\r", i)));
  if (parts.name.empty() || parts.name.find('<') != std::string_view::npos) return std::nullopt;
  return parts;
}

}  // namespace

Result<SyntaxNode> ParseInstructionLine(std::string_view line, char escape, size_t depth) {
  SyntaxNode node;
  node.original = line;
  const FirstWord first = SplitFirst(TrimSpace(line));
  node.keyword = first.word;
  std::string_view rest = first.rest.value_or(std::string_view());
  node.flags = TakeFlags(&rest, escape);
  TRY(ParseArguments(TrimSpace(rest), escape, depth, &node));
  return node;
}

Result<Heredoc> TryHeredocWord(std::string_view word) {
  Heredoc heredoc;
  const std::optional<HeredocParts> parts = SplitHeredoc(word);
  if (!parts) return heredoc;
  const std::vector<std::string> words = TRY(ExpandWords(parts->name, Variables(), {.keep_unset = true}));
  if (words.size() != 1) return heredoc;
  const std::string raw =
      TRY(ExpandWord(parts->name, Variables(), {.keep_quotes = true, .keep_unset = true}));
  const auto quotes = [](std::string_view text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return c == '\'' || c == '"'; });
  };
  heredoc.name = words[0];
  heredoc.file_descriptor = parts->file_descriptor;
  heredoc.chomp = parts->chomp;
  heredoc.expand = quotes(raw) == quotes(words[0]);
  return heredoc;
}

Heredoc ParseHeredocWord(std::string_view word) {
  return TryHeredocWord(word).value_or(Heredoc());
}

}  // namespace ingot::build
