// The walk over a document: where it is, what went wrong, what was written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "definition/node.h"
#include "definition/problem.h"
#include "definition/variables.h"

namespace ingot::definition {

class Reader {
 public:
  Reader(Problems& problems, const Variables& variables, std::vector<Written>& written)
      : problems_(problems), variables_(variables), written_(written) {}

  // While it lives, the walk is inside a key or list item, and that is recorded as written.
  class Inside {
   public:
    Inside(Reader& reader, std::string_view key, Position at);
    Inside(Reader& reader, size_t index, Position at);
    ~Inside();
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    void Record(Position at);
    Reader& reader_;
    size_t path_length_;
    size_t current_;
  };

  struct Scalar {
    std::string text;
    bool plain;  // may be a number or a truth value: not in quotes, or made of variables
  };
  // The scalar's text with its variables replaced. Unset, with a problem, when the node is no scalar
  // ("expected <what>") or a variable is undefined.
  std::optional<Scalar> Text(const Node& node, std::string_view what);

  // "services.web.replicas: expected a whole number, not \"many\"", at the node. Always false.
  bool Expected(const Node& node, std::string_view what);
  bool Fail(const Node& node, const std::string& message) { return Fail(node.at, message); }
  // At the key that the walk is inside.
  bool Fail(const std::string& message);
  bool Fail(Position at, const std::string& message);
  const std::string& path() const { return path_; }

 private:
  static constexpr size_t kNothing = SIZE_MAX;

  Problems& problems_;
  const Variables& variables_;
  std::vector<Written>& written_;
  std::string path_;
  size_t current_ = kNothing;  // in written_
  size_t expanded_bytes_ = 0;  // by variables, all together
};

}  // namespace ingot::definition
