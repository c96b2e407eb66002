// The project in front of a verb: its definition, its directory and the commit it is at.
#pragma once

#include <optional>
#include <string>

#include "app/invocation.h"
#include "definition/definition.h"
#include "definition/parse.h"

namespace ingot::app {

struct Project {
  definition::Definition definition;
  fs::path directory;  // of the definition
};

struct GitState {
  std::string commit;  // empty: not in a git work tree
  bool dirty = false;  // the directory has changes that are not committed
};

// Reads and checks invocation.file with the variables of our environment. kNotFound when there is no such
// file (the message says `ingot init`); kInvalid with every problem on a line of its own.
Result<Project> LoadProject(const Invocation& invocation);
// The same without stopping at the first problem, for `validate`.
Result<definition::Parsed> ParseProject(const Invocation& invocation);

// kUnavailable when git is not installed or does not answer: unknown, not clean.
Result<GitState> LookAtGit(const fs::path& directory);

// The name of the project, for verbs that only need to find it: a rollback must not wait until a definition
// that is being edited is valid again. Errors as of LoadProject when not even the name can be read.
Result<std::string> ProjectName(const Invocation& invocation);

}  // namespace ingot::app
