#include "build/dockerignore.h"

#include <fmt/format.h>

#include <algorithm>

#include "build/dockerfile_text.h"
#include "build/dockerignore_pattern.h"

namespace ingot::build {
namespace {

constexpr size_t kMaxIgnoreBytes = 1 << 20;
constexpr size_t kMaxPatterns = 10000;

// Go's path.Clean: no empty, "." or inner ".." names, no trailing slash.
std::string CleanSlashes(std::string_view path) {
  const bool rooted = path.starts_with('/');
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const size_t slash = std::min(path.size(), path.find('/'));
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(path.size(), slash + 1));
    if (name.empty() || name == ".") continue;
    if (name != "..") {
      names.push_back(name);
    } else if (!names.empty() && names.back() != "..") {
      names.pop_back();
    } else if (!rooted) {
      names.push_back(name);
    }
  }
  std::string result = rooted ? "/" : "";
  for (size_t i = 0; i < names.size(); ++i) result += (i == 0 ? "" : "/") + std::string(names[i]);
  return result.empty() ? "." : result;
}

// Relative to the context, without "./" and a trailing "/".
std::string CleanPattern(std::string_view pattern) {
  std::string clean = CleanSlashes(pattern);
  return clean.size() > 1 && clean[0] == '/' ? clean.substr(1) : clean;
}

}  // namespace

struct DockerIgnore::Pattern {
  PathPattern path;
  bool negated = false;
};

DockerIgnore::DockerIgnore() = default;
DockerIgnore::~DockerIgnore() = default;
DockerIgnore::DockerIgnore(const DockerIgnore&) = default;
DockerIgnore& DockerIgnore::operator=(const DockerIgnore&) = default;
DockerIgnore::DockerIgnore(DockerIgnore&&) noexcept = default;
DockerIgnore& DockerIgnore::operator=(DockerIgnore&&) noexcept = default;

Result<DockerIgnore> DockerIgnore::Parse(std::string_view bytes, std::string_view file_name) {
  const auto at = [&](size_t line, const std::string& message) {
    return Error(Code::kInvalid, fmt::format("{}:{}: {}", file_name, line, message));
  };
  if (bytes.size() > kMaxIgnoreBytes) return at(1, "the file is larger than 1 MiB");
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  DockerIgnore result;
  for (size_t number = 1; !bytes.empty(); ++number) {
    const size_t newline = std::min(bytes.size(), bytes.find('\n'));
    std::string_view line = bytes.substr(0, newline);
    bytes.remove_prefix(std::min(bytes.size(), newline + 1));
    if (line.starts_with('#')) continue;
    line = TrimSpace(line);
    if (line.empty()) continue;
    const bool negated = line[0] == '!';
    if (negated) line = TrimSpace(line.substr(1));
    const std::string pattern = CleanPattern(line);
    if (line.empty() || (negated && pattern == "/")) return at(number, "a pattern is missing behind '!'");
    auto path = PathPattern::Compile(pattern, PathPattern::Dialect::kIgnoreFile);
    if (!path) return at(number, path.error().message());
    if (result.patterns_.size() == kMaxPatterns) return at(number, "there are more than 10000 patterns");
    result.patterns_.push_back({std::move(*path), negated});
  }
  return result;
}

DockerIgnore::State DockerIgnore::Descend(std::string_view path, const State& parent) const {
  State state;
  state.matched.resize(patterns_.size());
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const bool inherited = !parent.matched.empty() && parent.matched[i];
    if (!inherited && !patterns_[i].path.Matches(path)) continue;
    state.matched[i] = true;
    state.excluded = !patterns_[i].negated;
  }
  return state;
}

bool DockerIgnore::Excludes(std::string_view path) const {
  if (patterns_.empty()) return false;
  State state = Root();
  for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    state = Descend(path.substr(0, slash), state);
  }
  return Descend(path, state).excluded;
}

bool DockerIgnore::MayContainIncluded(std::string_view directory) const {
  const std::string prefix = std::string(directory) + "/";
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
    return pattern.negated && pattern.path.CouldMatchBelow(prefix);
  });
}

bool DockerIgnore::empty() const {
  return patterns_.empty();
}

std::vector<std::string> IgnoreFileCandidates(std::string_view dockerfile_path) {
  return {std::string(dockerfile_path) + ".dockerignore", ".dockerignore"};
}

Result<bool> GlobMatch(std::string_view pattern, std::string_view name) {
  const PathPattern compiled = TRY(PathPattern::Compile(pattern, PathPattern::Dialect::kGo));
  return compiled.Matches(name);
}

bool HasGlob(std::string_view pattern) {
  return pattern.find_first_of("*?[\\") != std::string_view::npos;
}

}  // namespace ingot::build
