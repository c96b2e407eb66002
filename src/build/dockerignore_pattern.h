// One pattern over paths, compiled. Internal to dockerignore.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ingot::build {

// Matched by keeping the set of positions that are reachable, so the time is path × pattern at worst,
// whatever the pattern.
class PathPattern {
 public:
  enum class Dialect {
    kIgnoreFile,  // `**` crosses "/"
    kGo,          // path/filepath.Match: `**` is `*` twice
  };

  // kInvalid: malformed, or longer than 4096 bytes.
  static Result<PathPattern> Compile(std::string_view pattern, Dialect dialect);

  bool Matches(std::string_view path) const;
  // Whether some path that begins with `prefix` could match.
  bool CouldMatchBelow(std::string_view prefix) const;

 private:
  enum class Kind : uint8_t {
    kLiteral,     // one character
    kOne,         // `?`: one character but '/'
    kClass,       // `[…]`: one character, '/' not excepted (as in Go)
    kName,        // `*`: any text without '/'
    kEnterPath,   // `**` with something behind it: nothing, or kInsidePath
    kInsidePath,  // any text that ends in '/'
    kAnything,    // `**` at the end: any text
  };
  struct Step {
    Kind kind;
    uint16_t begin;  // kLiteral: of the character in source_; kClass: behind the '['
    uint8_t width;   // kLiteral
  };

  Result<void> AddClass(size_t* position);
  // The positions reachable once `text` is read; empty when none.
  std::vector<char> Reach(std::string_view text) const;
  void FollowEmpty(std::vector<char>* reachable) const;
  bool Takes(const Step& step, std::string_view character, char32_t rune) const;

  std::string source_;
  std::vector<Step> steps_;
  bool plain_ = true;  // no wildcard and no escape: compare
};

}  // namespace ingot::build
