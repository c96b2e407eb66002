// Variables and quotes in the words of a Dockerfile, as BuildKit's shell lexer treats them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ingot::build {

// Named values in the order they were first set, as an image configuration keeps its Env.
class Variables {
 public:
  Variables() = default;
  // "NAME=value" entries; an entry without "=" is a name with an empty value.
  static Variables FromEnv(const std::vector<std::string>& env);

  const std::string* Find(std::string_view name) const;  // nullptr when unset; valid until the next Set
  void Set(std::string_view name, std::string value);    // replaces in place
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }
  std::vector<std::string> ToEnv() const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
  std::map<std::string, size_t, std::less<>> index_;  // of the name in pairs_
};

struct ExpansionOptions {
  char escape = '\\';
  bool keep_quotes = false;    // quotes stay in the result
  bool keep_escapes = false;   // escape characters stay in the result
  bool ignore_quotes = false;  // quotes are ordinary characters (the text of a heredoc)
  bool keep_unset = false;     // "$X" stays when X is unset
};

// Replaces $V ${V} ${V:-d} ${V-d} ${V:+a} ${V+a} ${V:?e} ${V?e} ${V#p} ${V##p} ${V%p} ${V%%p} ${V/p/r}
// ${V//p/r} and removes quotes and escapes. In patterns `*` is any text, `?` any character, `\` takes the
// next one literally. kInvalid: an unfinished quote or substitution, an unknown modifier, an unset variable
// with `?`, a bad pattern, or a result above 1 MiB. The message quotes the word and has no file position: the
// caller adds it.
Result<std::string> ExpandWord(std::string_view word, const Variables& variables,
                               const ExpansionOptions& options = {});
// The same, then split at unquoted white space, also where a variable brought it in. Used by EXPOSE and
// heredocs.
Result<std::vector<std::string>> ExpandWords(std::string_view word, const Variables& variables,
                                             const ExpansionOptions& options = {});

}  // namespace ingot::build
