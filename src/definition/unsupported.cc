#include "definition/unsupported.h"

#include <array>
#include <string_view>

namespace ingot::definition {

namespace {

struct Block {
  std::string_view pattern;  // * is any one name, [] any item; "environment" is the one that is deployed
  bool (*applies)(std::string_view text);  // to the scalar written there; null: always
  std::string_view why;
};

bool IsNotNone(std::string_view text) {
  return text != "none";
}
bool IsNotDebian(std::string_view text) {
  return !text.starts_with("debian:");
}
bool IsDrift(std::string_view text) {
  return text == "drift";
}
bool IsNotLocal(std::string_view text) {
  return text != "local";
}

// One line per block; the work that builds a block deletes its line.
constexpr std::array kNotYet = {
    Block{"images.*.from", IsNotDebian, "images assembled on another image"},
    Block{"images.*.configure", nullptr, "configuration management"},
    Block{"images.*.compression", IsNotNone, "compressed layers"},
    Block{"images.*.build.secrets", nullptr, "build secrets"},
    Block{"images.*.build.platforms", nullptr, "building for other platforms"},
    Block{"services.*.keepalive_timeout", nullptr, "reuse of connections to instances"},
    Block{"endpoints.*.check", IsNotNone, "watching endpoints"},
    Block{"flags", nullptr, "feature flags"},
    Block{"environment.platform", IsNotLocal, "Kubernetes"},
    Block{"environment.context", nullptr, "Kubernetes"},
    Block{"policy.images", nullptr, "signatures"},
    Block{"policy.drift", nullptr, "watching for drift"},
    Block{"notify[].on[]", IsDrift, "watching for drift"},
    Block{"pipeline", nullptr, "pipelines"},
};

// A name or an item of a path, from its front: "services", "*", "[]". Items lose their number.
std::string_view TakePart(std::string_view& path) {
  if (path.starts_with('[')) {
    const size_t end = path.find(']');
    path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
    if (path.starts_with('.')) path.remove_prefix(1);
    return "[]";
  }
  const std::string_view part = path.substr(0, path.find_first_of(".["));
  path.remove_prefix(part.size());
  if (path.starts_with('.')) path.remove_prefix(1);
  return part;
}

bool Matches(std::string_view path, std::string_view pattern) {
  while (!path.empty() && !pattern.empty()) {
    const std::string_view part = TakePart(path);
    const std::string_view wanted = TakePart(pattern);
    if (wanted != part && (wanted != "*" || part == "[]")) return false;
  }
  return path.empty() && pattern.empty();
}

// The path as the table writes it; "" when it belongs to another environment.
std::string InTable(std::string_view path, const std::string& environment) {
  constexpr std::string_view kEnvironments = "environments.";
  if (!path.starts_with(kEnvironments)) return std::string(path);
  std::string_view rest = path.substr(kEnvironments.size());
  if (TakePart(rest) != environment) return "";
  return rest.starts_with("services.") ? std::string(rest) : "environment." + std::string(rest);
}

}  // namespace

std::vector<Unsupported> NotYetSupported(const Definition& definition, const std::string& environment) {
  std::vector<Unsupported> out;
  for (const Written& key : definition.written) {
    const std::string path = InTable(key.path, environment);
    for (const Block& block : kNotYet) {
      if (!Matches(path, block.pattern) || (block.applies != nullptr && !block.applies(key.text))) continue;
      out.push_back({key.path, key.at.line, key.at.column, std::string(block.why)});
    }
  }
  return out;
}

std::string RenderUnsupported(const Definition& definition, const Unsupported& unsupported) {
  return definition.file + ":" + std::to_string(unsupported.line) + ":" + std::to_string(unsupported.column) +
         ": not yet supported: " + unsupported.path + " (" + unsupported.why + ")";
}

}  // namespace ingot::definition
