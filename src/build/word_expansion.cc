#include "build/word_expansion.h"

#include <fmt/format.h>

#include "build/dockerfile_text.h"
#include "build/word_pattern.h"

namespace ingot::build {
namespace {

constexpr size_t kMaxResultBytes = 1 << 20;
constexpr int kMaxNesting = 64;

// Words as they come into being: unquoted white space ends one, an empty one does not count.
class WordList {
 public:
  void AddUnquoted(std::string_view text) {
    for (size_t i = 0; i < text.size();) {
      const Rune rune = DecodeRune(text, i);
      if (IsSpace(rune.value)) {
        Finish();
      } else {
        current_ += text.substr(i, rune.width);
      }
      i += rune.width;
    }
  }
  void AddQuoted(std::string_view text) { current_ += text; }
  void ForgetCurrent() { current_.clear(); }
  std::vector<std::string> Take() {
    Finish();
    return std::move(words_);
  }

 private:
  void Finish() {
    if (!current_.empty()) words_.push_back(std::move(current_));
    current_.clear();
  }

  std::vector<std::string> words_;
  std::string current_;
};

// One pass over a word. The grammar is recursive where ${name:-word} holds words of its own.
class Lexer {
 public:
  Lexer(std::string_view text, const Variables& variables, const ExpansionOptions& options)
      : text_(text), variables_(variables), options_(options), keep_escapes_(options.keep_escapes) {}

  Result<std::string> Run(WordList* words) {
    all_words_ = words;
    auto result = Until('\0', options_.keep_escapes, words);
    if (!result) {
      return Error(result.error().code(),
                   fmt::format("cannot expand {}: {}", QuoteShort(text_), result.error().message()));
    }
    return result;
  }

 private:
  bool AtEnd() const { return position_ >= text_.size(); }
  std::string_view Peek() const {
    return AtEnd() ? std::string_view() : text_.substr(position_, DecodeRune(text_, position_).width);
  }
  bool PeekIs(char c) const { return !AtEnd() && text_[position_] == c; }
  std::string_view Next() {
    const std::string_view next = Peek();
    position_ += next.size();
    return next;
  }
  bool IsEscape(std::string_view character) const {
    return character.size() == 1 && character[0] == options_.escape;
  }

  Error Invalid(std::string message) const { return Error(Code::kInvalid, std::move(message)); }
  Result<void> CheckSize(const std::string& result) const {
    if (result.size() <= kMaxResultBytes) return {};
    return Invalid("the result is larger than 1 MiB; shorten the variables it is made of");
  }

  // Up to (and over) an unquoted `stop`, or to the end when stop is '\0'.
  Result<std::string> Until(char stop, bool keep_escapes, WordList* words) {
    // BuildKit forgets here what stands in the word already. Where it looks for heredocs, whether the next
    // lines are instructions hangs on that, so it is the same here; elsewhere (EXPOSE) it would only lose
    // text.
    if (nesting_ > 0 && options_.keep_unset && all_words_ != nullptr) all_words_->ForgetCurrent();
    if (++nesting_ > kMaxNesting)
      return Invalid(fmt::format("more than {} nested substitutions", kMaxNesting));
    const bool outer_escapes = std::exchange(keep_escapes_, keep_escapes);
    auto result = UntilStop(stop, words);
    keep_escapes_ = outer_escapes;
    --nesting_;
    return result;
  }

  Result<std::string> UntilStop(char stop, WordList* words) {
    std::string result;
    while (!AtEnd()) {
      if (stop != '\0' && PeekIs(stop)) {
        Next();
        return result;
      }
      const bool quote = !options_.ignore_quotes && (PeekIs('\'') || PeekIs('"'));
      if (PeekIs('$')) {
        const std::string value = TRY(Dollar());
        if (words != nullptr) words->AddUnquoted(value);
        result += value;
      } else if (quote || PeekIs('<')) {
        const std::string value = TRY(PeekIs('<')   ? PossibleHeredoc()
                                      : PeekIs('"') ? DoubleQuoted()
                                                    : SingleQuoted());
        if (words != nullptr) words->AddQuoted(value);
        result += value;
      } else {
        Plain(&result, words);
      }
      TRY(CheckSize(result));
    }
    if (stop != '\0') return Invalid(fmt::format("'{}' is missing in ${{…}}", stop));
    return result;
  }

  // An ordinary character, or an escape character and the one it protects.
  void Plain(std::string* result, WordList* words) {
    std::string_view character = Next();
    const bool escaped = IsEscape(character);
    if (escaped) {
      if (keep_escapes_) {
        if (words != nullptr) words->AddQuoted(character);
        *result += character;
      }
      character = Next();  // empty at the end: a lone escape character is dropped
    }
    if (words != nullptr) escaped ? words->AddQuoted(character) : words->AddUnquoted(character);
    *result += character;
  }

  Result<std::string> SingleQuoted() {
    std::string result;
    const std::string_view open = Next();
    if (options_.keep_quotes) result += open;
    while (!AtEnd()) {
      const std::string_view character = Next();
      if (character == "'") {
        if (options_.keep_quotes) result += character;
        return result;
      }
      result += character;
    }
    return Invalid("a single quote is not closed");
  }

  Result<std::string> DoubleQuoted() {
    std::string result;
    const std::string_view open = Next();
    if (options_.keep_quotes) result += open;
    while (!AtEnd()) {
      if (PeekIs('$')) {
        result += TRY(Dollar());
        TRY(CheckSize(result));
        continue;
      }
      std::string_view character = Next();
      if (character == "\"") {
        if (options_.keep_quotes) result += character;
        return result;
      }
      if (IsEscape(character)) {
        if (keep_escapes_) result += character;
        if (AtEnd()) break;
        // Before anything else the escape character stands for itself.
        if (PeekIs('"') || PeekIs('$') || PeekIs(options_.escape)) character = Next();
      }
      result += character;
    }
    return Invalid("a double quote is not closed");
  }

  // "<<" keeps the blanks behind it, so that `<< EOF` stays one word.
  Result<std::string> PossibleHeredoc() {
    std::string result(Next());
    if (!PeekIs('<')) return result;
    result += Next();
    while (PeekIs(' ') || PeekIs('\t') || PeekIs('\r')) result += Next();
    return result;
  }

  // Letters, digits and '_'; or digits alone; or one special parameter.
  std::string Name() {
    const size_t begin = position_;
    const auto is_digit = [&] { return !AtEnd() && text_[position_] >= '0' && text_[position_] <= '9'; };
    if (is_digit()) {
      while (is_digit()) Next();
    } else if (!AtEnd() && std::string_view("@*#?-$!").find(text_[position_]) != std::string_view::npos) {
      Next();
    } else {
      while (!AtEnd() && (is_digit() || PeekIs('_') || IsLetter(DecodeRune(text_, position_).value))) Next();
    }
    return std::string(text_.substr(begin, position_ - begin));
  }

  Result<std::string> Dollar() {
    Next();
    if (!PeekIs('{')) {
      const std::string name = Name();
      if (name.empty()) return std::string("$");
      const std::string* value = variables_.Find(name);
      if (value == nullptr && options_.keep_unset) return "$" + name;
      return value == nullptr ? std::string() : *value;
    }
    Next();
    if (AtEnd()) return Invalid("'}' is missing in ${…}");
    if (PeekIs('{') || PeekIs('}') || PeekIs(':')) {
      return Invalid("'${' must be followed by the name of a variable");
    }
    const std::string name = Name();
    if (PeekIs('}')) {
      Next();
      const std::string* value = variables_.Find(name);
      if (value == nullptr && options_.keep_unset) return "${" + name + "}";
      return value == nullptr ? std::string() : *value;
    }
    if (PeekIs('/')) return Replacement(name);
    return Modified(name);
  }

  // ${name-word} and its kin, from the modifier on.
  Result<std::string> Modified(const std::string& name) {
    const bool empty_is_unset = PeekIs(':');
    std::string written;
    if (empty_is_unset) written += Next();
    const std::string modifier(Next());
    written += modifier;
    const char kind = modifier.size() == 1 ? modifier[0] : '\0';
    const bool pattern = kind == '#' || kind == '%';
    if (!pattern && kind != '-' && kind != '+' && kind != '?') return UnknownModifier(name, written);
    if (pattern && empty_is_unset) return UnknownModifier(name, written);
    const std::string word = TRY(Until('}', pattern, nullptr));
    const std::string* value = variables_.Find(name);
    if (value == nullptr && options_.keep_unset) return "${" + name + written + word + "}";
    if (pattern) {
      const bool greedy = !word.empty() && word[0] == kind;
      const std::string_view glob = std::string_view(word).substr(greedy ? 1 : 0);
      return TrimPattern(value == nullptr ? std::string_view() : *value, glob,
                         kind == '#' ? PatternSide::kPrefix : PatternSide::kSuffix, greedy);
    }
    const bool unset = value == nullptr || (empty_is_unset && value->empty());
    if (kind == '+') return unset ? std::string() : word;
    if (!unset) return *value;
    if (kind == '-') return word;
    if (!word.empty()) return Invalid(fmt::format("{}: {}", name, word));
    return Invalid(fmt::format("{} must be set{}", name, value == nullptr ? "" : " to something"));
  }

  Error UnknownModifier(const std::string& name, const std::string& written) const {
    return Invalid(
        fmt::format("'{}' after ${{{} is not known; known are :- - :+ + :? ? # ## % %% / //", written, name));
  }

  // ${name/pattern/replacement}, from the '/' on.
  Result<std::string> Replacement(const std::string& name) {
    Next();
    const bool all = PeekIs('/');
    if (all) Next();
    const std::string pattern = TRY(Until('/', true, nullptr));
    const std::string replacement = TRY(Until('}', true, nullptr));
    const std::string* value = variables_.Find(name);
    if (value == nullptr && options_.keep_unset) {
      return "${" + name + (all ? "//" : "/") + pattern + "/" + replacement + "}";
    }
    return ReplacePattern(value == nullptr ? std::string_view() : *value, pattern, replacement, all,
                          kMaxResultBytes);
  }

  const std::string_view text_;
  const Variables& variables_;
  const ExpansionOptions& options_;
  size_t position_ = 0;
  int nesting_ = 0;
  bool keep_escapes_;
  WordList* all_words_ = nullptr;
};

}  // namespace

Variables Variables::FromEnv(const std::vector<std::string>& env) {
  Variables result;
  for (const std::string& entry : env) {
    const size_t equals = entry.find('=');
    const bool bare = equals == std::string::npos;
    result.Set(entry.substr(0, equals), bare ? std::string() : entry.substr(equals + 1));
  }
  return result;
}

const std::string* Variables::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &pairs_[found->second].second;
}

void Variables::Set(std::string_view name, std::string value) {
  const auto [entry, added] = index_.try_emplace(std::string(name), pairs_.size());
  if (added) {
    pairs_.emplace_back(name, std::move(value));
  } else {
    pairs_[entry->second].second = std::move(value);
  }
}

std::vector<std::string> Variables::ToEnv() const {
  std::vector<std::string> env;
  env.reserve(pairs_.size());
  for (const auto& [name, value] : pairs_) env.push_back(name + "=" + value);
  return env;
}

Result<std::string> ExpandWord(std::string_view word, const Variables& variables,
                               const ExpansionOptions& options) {
  return Lexer(word, variables, options).Run(nullptr);
}

Result<std::vector<std::string>> ExpandWords(std::string_view word, const Variables& variables,
                                             const ExpansionOptions& options) {
  WordList words;
  TRY(Lexer(word, variables, options).Run(&words));
  return words.Take();
}

}  // namespace ingot::build
