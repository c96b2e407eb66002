// A Dockerfile as typed instructions: what the build graph is made from.
//
// ParseDockerfile checks everything that can be known from the text alone and refuses, by name and with a
// remedy, what Ingot does not do (docs/formats/dockerfile.md). Variables are not expanded yet: that depends
// on build arguments and on the base image, so dockerfile_scope.h does it, instruction by instruction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "build/dockerfile_parser.h"

namespace ingot::build {

struct KeyValue {
  std::string key;
  std::string value;
  bool operator==(const KeyValue&) const = default;
};

// What RUN, CMD, ENTRYPOINT carry. Never expanded here: the shell does that.
struct CommandLine {
  bool exec = false;  // JSON form: `words` is the argv; else one word for the shell (or none)
  std::vector<std::string> words;
  std::vector<Heredoc> heredocs;  // RUN only
};

struct EnvInstruction {
  std::vector<KeyValue> variables;
};
struct ArgInstruction {
  struct Argument {
    std::string name;
    std::optional<std::string> default_value;
  };
  std::vector<Argument> arguments;
};
struct LabelInstruction {
  std::vector<KeyValue> labels;
};
// A file given in the Dockerfile itself: `COPY <<EOF /etc/motd`.
struct InlineFile {
  std::string name;
  std::string content;  // tabs already removed for `<<-`
  bool expand = true;
};
struct CopyInstruction {
  std::vector<std::string> sources;  // paths in the context (or stage), patterns allowed
  std::vector<InlineFile> inline_files;
  std::string destination;  // a trailing "/" means a directory
  std::string from;         // --from: a stage's name or number, or an image; "" = the context
  std::string chown;        // "user[:group]", names or numbers
  std::string chmod;        // octal, "0755"
  bool link = false;
};
struct AddInstruction {
  std::vector<std::string> sources;  // local files; archives are unpacked
  std::vector<InlineFile> inline_files;
  std::string destination;
  std::string chown;
  std::string chmod;
  bool link = false;
};
struct RunInstruction {
  CommandLine command;
};
struct CmdInstruction {
  CommandLine command;
};
struct EntrypointInstruction {
  CommandLine command;
};
struct WorkdirInstruction {
  std::string path;
};
struct UserInstruction {
  std::string user;
};
struct ExposeInstruction {
  std::vector<std::string> ports;  // "80", "8000-8010/tcp"; after expansion normalised "80/tcp", sorted
};
struct VolumeInstruction {
  std::vector<std::string> paths;
};
struct StopSignalInstruction {
  std::string signal;
};
struct ShellInstruction {
  std::vector<std::string> shell;  // never empty
};
struct HealthcheckInstruction {
  // As in the image configuration: {"NONE"}, {"CMD", argv…} or {"CMD-SHELL", command}. Zero = not given
  // (inherit).
  std::vector<std::string> test;
  std::chrono::nanoseconds interval{0};
  std::chrono::nanoseconds timeout{0};
  std::chrono::nanoseconds start_period{0};
  std::chrono::nanoseconds start_interval{0};
  int retries = 0;
};

using InstructionBody =
    std::variant<EnvInstruction, ArgInstruction, LabelInstruction, CopyInstruction, AddInstruction,
                 RunInstruction, CmdInstruction, EntrypointInstruction, WorkdirInstruction, UserInstruction,
                 ExposeInstruction, VolumeInstruction, StopSignalInstruction, ShellInstruction,
                 HealthcheckInstruction>;

struct Instruction {
  InstructionBody body;
  std::string source;  // the logical line as written, for progress and history: "RUN make install"
  int line = 0;
  int end_line = 0;
};

// "RUN", "COPY", …
std::string_view InstructionName(const InstructionBody& body);

struct Stage {
  std::string name;      // of `AS name`, lower case; "" when unnamed
  std::string from;      // as written: may hold variables of the global scope
  std::string platform;  // of --platform, as written; "" when absent
  std::vector<Instruction> instructions;
  int line = 0;
};

struct Dockerfile {
  std::string file_name;
  ParserDirectives directives;
  std::vector<Instruction> global_args;  // ARG before the first FROM
  std::vector<Stage> stages;             // never empty

  // The stage of that name (case does not matter) or number, as --from and a build's target name it; of equal
  // names the last one before index `before` (a stage sees only the stages above it). nullopt when there is
  // none.
  std::optional<size_t> FindStage(std::string_view name_or_number, size_t before) const;
  // The same by name alone, as FROM names a stage: `FROM 0` is an image.
  std::optional<size_t> FindNamedStage(std::string_view name, size_t before) const;
};

// `file_name` is only used in messages: "Dockerfile:12: ONBUILD is not supported: …".
// kInvalid: not a valid Dockerfile. kUnsupported: valid for BuildKit, refused by Ingot, with what to do
// instead.
Result<Dockerfile> ParseDockerfile(std::string_view bytes, std::string_view file_name);

// What a RUN starts. With a script, the file must be at `script_path` (read-only, mode 0755) while it runs
// and not in the layer.
struct RunProcess {
  std::vector<std::string> argv;
  std::string script_path;  // "" or "/dev/pipes/<name>": a heredoc that begins with "#!"
  std::string script_content;
};
// `shell` is the SHELL in force (kDefaultShell unless changed).
RunProcess ResolveRun(const CommandLine& command, const std::vector<std::string>& shell);
// CMD and ENTRYPOINT for the image configuration: the argv, or the shell with the command as its last word.
std::vector<std::string> ResolveCommand(const CommandLine& command, const std::vector<std::string>& shell);
const std::vector<std::string>& DefaultShell();  // {"/bin/sh", "-c"}

}  // namespace ingot::build
