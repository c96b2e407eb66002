// .dockerignore: which files of a build context a build does not see. As moby/patternmatcher decides it.
//
// For a Dockerfile `path/to/Dockerfile` the file `path/to/Dockerfile.dockerignore` takes precedence over the
// context's
// `.dockerignore`; the two are never merged (see IgnoreFileCandidates). The Dockerfile and the ignore file
// themselves may be excluded: the builder reads them directly.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ingot::build {

class DockerIgnore {
 public:
  DockerIgnore();  // excludes nothing
  ~DockerIgnore();
  DockerIgnore(const DockerIgnore&);
  DockerIgnore& operator=(const DockerIgnore&);
  DockerIgnore(DockerIgnore&&) noexcept;
  DockerIgnore& operator=(DockerIgnore&&) noexcept;

  // One pattern per line; `#` comments, `!` takes back, `*` `?` `[a-z]` `\` within a name, `**` across names,
  // leading
  // "/" ignored. kInvalid ".dockerignore:<line>: …" for a bad pattern. At most 1 MiB.
  static Result<DockerIgnore> Parse(std::string_view bytes, std::string_view file_name = ".dockerignore");

  // What is known about a path and needed for what lies below it. The root's is Root().
  struct State {
    bool excluded = false;
    std::vector<bool> matched;  // per pattern: it or a parent matched
  };
  static State Root() { return {}; }
  // The state of `path` (relative, "/" between names, no leading "./"), given its parent directory's: one
  // match per pattern instead of one per pattern and level. For walking.
  State Descend(std::string_view path, const State& parent) const;

  // The same without a walk: whether `path` is excluded, directly or by a parent.
  bool Excludes(std::string_view path) const;
  // Whether an excluded directory must still be walked, because a `!` pattern may match something under it.
  bool MayContainIncluded(std::string_view directory) const;
  bool empty() const;

 private:
  struct Pattern;
  std::vector<Pattern> patterns_;
};

// In the order in which they are looked for: {"<dockerfile>.dockerignore", ".dockerignore"}.
std::vector<std::string> IgnoreFileCandidates(std::string_view dockerfile_path);

// Go's path/filepath.Match, which COPY and ADD sources follow: `*` and `?` stop at "/", `[a-z]` `[^a-z]` take
// one character, `\` the next one literally. The whole name must match. kInvalid for a malformed pattern.
Result<bool> GlobMatch(std::string_view pattern, std::string_view name);
// Whether `pattern` has any of `*?[\`; if not, it is a plain path.
bool HasGlob(std::string_view pattern);

}  // namespace ingot::build
