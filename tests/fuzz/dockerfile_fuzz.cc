// Arbitrary bytes as a Dockerfile and as a .dockerignore. Besides not crashing: what parses keeps its
// invariants, and the two ways to decide about an ignored path agree.
//
//   clang++ -std=gnu++20 -g -O1 -fsanitize=fuzzer,address,undefined -Isrc -DFMT_HEADER_ONLY …
#include <cstdlib>
#include <string_view>

#include "build/dockerfile.h"
#include "build/dockerfile_scope.h"
#include "build/dockerignore.h"

namespace {

using namespace ingot::build;  // NOLINT(google-build-using-namespace): a test program

void Require(bool condition) {
  if (!condition) std::abort();
}

void DriveStages(const Dockerfile& file) {
  const BuildInputs inputs{.arguments = {{"A", "1 2"}, {"B", ""}, {"http_proxy", "p"}}};
  const auto global = GlobalScope::Make(file, inputs);
  if (!global) return;
  for (const Stage& stage : file.stages) {
    if (!global->ExpandFrom(stage) || !global->ExpandPlatform(stage)) continue;
    StageScope scope(*global, {"PATH=/bin", "A=x*y/z"});
    for (const Instruction& instruction : stage.instructions) {
      const auto applied = scope.Apply(instruction);
      if (!applied) break;
      Require(applied->body.index() == instruction.body.index());
      if (const auto* run = std::get_if<RunInstruction>(&applied->body)) {
        Require(!ResolveRun(run->command, DefaultShell()).argv.empty());
      }
    }
    Require(scope.env().ToEnv().size() == scope.env().pairs().size());
  }
}

void Ignore(std::string_view patterns, std::string_view path) {
  const auto ignore = DockerIgnore::Parse(patterns);
  if (!ignore || path.empty() || path.size() > 300) return;
  DockerIgnore::State state = DockerIgnore::Root();
  bool reachable = true;
  for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    state = ignore->Descend(path.substr(0, slash), state);
    if (state.excluded && !ignore->MayContainIncluded(path.substr(0, slash))) reachable = false;
  }
  const bool excluded = ignore->Descend(path, state).excluded;
  Require(excluded == ignore->Excludes(path));
  Require(reachable || excluded);  // what a walk skips is excluded
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t half = bytes.find('\xFF');
  if (half != std::string_view::npos) {
    Ignore(bytes.substr(0, half), bytes.substr(half + 1));
    static_cast<void>(GlobMatch(bytes.substr(0, half), bytes.substr(half + 1)));
    return 0;
  }
  const auto syntax = ParseSyntax(bytes, "f");
  if (syntax) {
    Require(!syntax->nodes.empty() && !DumpSyntax(*syntax).empty());
    int last = 0;
    for (const SyntaxNode& node : syntax->nodes) {
      Require(node.line > last && node.end_line >= node.line);
      last = node.end_line;
    }
  }
  const auto file = ParseDockerfile(bytes, "f");
  Require(syntax || !file);
  if (file) DriveStages(*file);
  return 0;
}
