// The JSON form of an instruction's arguments, by the rules of Go's encoding/json. Internal to the parser.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ingot::build {

enum class StringArray {
  kStrings,     // a JSON array of strings and nothing behind it
  kNotStrings,  // a JSON array with something else in it
  kNotJson,     // anything else: the arguments are in shell form
};

// A byte that is not valid UTF-8 and a lone surrogate become U+FFFD, as in Go.
StringArray ParseStringArray(std::string_view text, std::vector<std::string>* strings);

}  // namespace ingot::build
