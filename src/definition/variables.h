// ${NAME} in the values of a definition.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::definition {

// What ${…} in a definition may name.
struct Variables {
  std::map<std::string, std::string> environment;  // ${NAME}, ${NAME:-default}
  std::optional<std::string> git_sha;              // ${git.sha}; unset: not in a git work tree
};

// Replaces ${NAME}, ${NAME:-default} (used when NAME is unset or empty), ${git.sha} and $$ (a single $). What
// is put in is not looked at again. kInvalid: an undefined variable, a ${ without its }, or $NAME, which
// other tools replace and Ingot does not.
Result<std::string> Expand(std::string_view text, const Variables& variables);

}  // namespace ingot::definition
