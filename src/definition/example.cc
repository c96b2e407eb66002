#include "definition/example.h"

#include <algorithm>

namespace ingot::definition {

std::string StarterDefinition(std::string_view project) {
  return "# What runs here, declared. `ingot apply` makes it so; `ingot schema` describes every key.\n"
         "version: 1\n"
         "project: " +
         std::string(project) +
         "\n"
         "\n"
         "images:\n"
         "  app:\n"
         "    build: .                 # the directory of the Dockerfile\n"
         "\n"
         "services:\n"
         "  app:\n"
         "    image: app\n"
         "    replicas: 2\n"
         "    port: 8080               # what the program listens on, in each instance\n"
         "    environment:\n"
         "      LOG_LEVEL: info\n"
         "    scratch: [/tmp]          # the only writable paths; lost with the instance\n"
         "    health:\n"
         "      ready: { http: / }     # no request reaches an instance before this answers; or tcp: true\n"
         "    resources: { memory: 256MiB }\n"
         "\n"
         "routes:\n"
         "  - { listen: \":8000\", to: app }\n";
}

std::string NameFrom(std::string_view text) {
  constexpr size_t kLongest = 40;
  std::string name;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool letter = c >= 'a' && c <= 'z';
    const bool digit = c >= '0' && c <= '9';
    if (letter || (digit && !name.empty())) {
      name += c;
    } else if (!name.empty() && name.back() != '-' && !digit) {
      name += '-';
    }
  }
  name.resize(std::min(name.size(), kLongest));
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "app" : name;
}

}  // namespace ingot::definition
