#include "app/project.h"

#include <cerrno>
#include <cstdlib>

#include "base/subprocess.h"

extern char** environ;

namespace ingot::app {

namespace {

definition::Variables VariablesFor(std::string_view text, const fs::path& directory) {
  definition::Variables variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view pair = *entry;
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos)
      variables.environment.emplace(pair.substr(0, equals), pair.substr(equals + 1));
  }
  // Asking git costs a process: only when the definition names it.
  if (text.find("${git.") != std::string_view::npos) {
    if (auto git = LookAtGit(directory); git && !git->commit.empty()) variables.git_sha = git->commit;
  }
  return variables;
}

fs::path DirectoryOf(const fs::path& file) {
  std::error_code ec;
  return fs::absolute(file, ec).lexically_normal().parent_path();
}

Error Invalid(const definition::Parsed& parsed) {
  std::string message;
  for (const definition::Problem& problem : parsed.problems) {
    if (!message.empty()) message += "\n       ";
    message += problem.Render();
  }
  if (parsed.problems.size() == definition::kMaxProblems)
    message +=
        "\n       these are the first " + std::to_string(parsed.problems.size()) + "; there may be more";
  return Error(Code::kInvalid, message);
}

// Whether the directory or one above it has a `.git`, as git looks for it.
Result<bool> InWorkingTree(const fs::path& directory) {
  if (std::getenv("GIT_DIR") != nullptr) return true;
  std::error_code failed;
  const fs::path whole = fs::canonical(directory, failed);
  if (failed) return ErrnoError(failed.value(), "look at " + directory.string());
  for (fs::path at = whole;; at = at.parent_path()) {
    const fs::file_status found = fs::symlink_status(at / ".git", failed);
    if (failed && failed.value() != ENOENT && failed.value() != ENOTDIR)
      return ErrnoError(failed.value(), "look for " + (at / ".git").string());
    if (fs::exists(found)) return true;
    if (at == at.parent_path()) return false;
  }
}

}  // namespace

Result<definition::Parsed> ParseProject(const Invocation& invocation) {
  auto bytes = ReadFile(invocation.file, 4 << 20);
  if (!bytes && bytes.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, "there is no " + invocation.file + " in " + fs::current_path().string() +
                                      "; write one with `ingot init`, or name it with --file");
  if (!bytes) return std::move(bytes).error();
  return definition::ParseAll(*bytes, invocation.file, VariablesFor(*bytes, DirectoryOf(invocation.file)));
}

Result<Project> LoadProject(const Invocation& invocation) {
  definition::Parsed parsed = TRY(ParseProject(invocation));
  if (parsed.definition) return Project{std::move(*parsed.definition), DirectoryOf(invocation.file)};
  return Invalid(parsed);
}

Result<GitState> LookAtGit(const fs::path& directory) {
  // A host that only runs things need not have git, where there is nothing that it could tell.
  if (const auto git = FindProgram("git"); !git && git.error().code() == Code::kNotFound)
    if (!TRY(InWorkingTree(directory))) return GitState{};
  // One process answers both: the first lines name the commit, every other line is a change.
  Command git{{"git", "-C", directory.string(), "--no-optional-locks", "status", "--porcelain=v2", "--branch",
               "--untracked-files=normal", "--", "."}};
  CommandResult result = TRY(Run(std::move(git), std::chrono::seconds(20)));
  if (!result.ok()) {
    if (result.err.find("not a git repository") != std::string::npos) return GitState{};
    return Error(Code::kUnavailable,
                 "git cannot tell the commit of " + directory.string() + ": " + result.err);
  }
  GitState state;
  size_t begin = 0;
  while (begin < result.out.size()) {
    const size_t end = std::min(result.out.find('\n', begin), result.out.size());
    const std::string_view line = std::string_view(result.out).substr(begin, end - begin);
    constexpr std::string_view kCommit = "# branch.oid ";
    if (line.starts_with(kCommit)) {
      state.commit = line.substr(kCommit.size());
    } else if (!line.starts_with("#") && !line.empty()) {
      state.dirty = true;
    }
    begin = end + 1;
  }
  if (state.commit == "(initial)") state.commit.clear();
  return state;
}

Result<std::string> ProjectName(const Invocation& invocation) {
  definition::Parsed parsed = TRY(ParseProject(invocation));
  if (!parsed.project.empty()) return std::move(parsed.project);
  return Invalid(parsed);
}

}  // namespace ingot::app
