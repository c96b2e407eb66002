#include "app/layout.h"

#include <cstdlib>

#include "base/sha256.h"

namespace ingot::app {

Layout Layout::From(const std::string& option) {
  fs::path chosen = option;
  if (chosen.empty()) {
    const char* variable = std::getenv("INGOT_ROOT");
    chosen = variable != nullptr && *variable != '\0' ? variable : "/var/lib/ingot";
  }
  std::error_code ec;
  fs::path absolute = fs::weakly_canonical(fs::absolute(chosen, ec), ec);
  return Layout{ec ? chosen : absolute, {}, {}};
}

std::string Layout::key() const {
  return Sha256Hex(root.string()).substr(0, 8);
}

}  // namespace ingot::app
