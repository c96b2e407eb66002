#include "build/dockerfile.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "build/dockerfile_instruction.h"
#include "build/dockerfile_text.h"

namespace ingot::build {
namespace {

Error At(std::string_view file_name, int line, const Error& error) {
  return Error(error.code(), fmt::format("{}:{}: {}", file_name, line, error.message()));
}

// Another front end reads another language. docker/dockerfile is this one, in any version.
Result<void> CheckSyntaxDirective(std::string_view syntax) {
  std::string_view name = syntax.substr(0, syntax.find(' '));
  if (name.empty()) return {};
  if (name.starts_with("docker.io/")) name.remove_prefix(10);
  const std::string_view repository = name.substr(0, name.find_first_of(":@"));
  if (repository == "docker/dockerfile" || repository == "docker/dockerfile-upstream") return {};
  return Error(
      Code::kUnsupported,
      fmt::format("the front end {} of `# syntax=` is not supported: Ingot reads what docker/dockerfile:1 "
                  "reads; write the file for that and remove the line",
                  QuoteShort(name)));
}

std::optional<size_t> StageNumber(std::string_view text) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool valid = !text.empty() && error == std::errc() && end == text.data() + text.size();
  return valid ? std::optional<size_t>(number) : std::nullopt;
}

// A COPY sees the stages above its own.
Result<void> CheckStageOrder(const Dockerfile& file, size_t stage, const std::string& from) {
  if (from.empty() || file.FindStage(from, stage)) return {};
  if (StageNumber(from)) {
    return Error(
        Code::kInvalid,
        fmt::format("COPY --from={}: there is no stage {} above this one; stages count from 0", from, from));
  }
  if (file.FindStage(from, file.stages.size())) {
    return Error(Code::kInvalid,
                 fmt::format("COPY --from={}: the stage {} is not above this one; move it up", from, from));
  }
  return {};  // an image
}

Result<void> CheckStages(const Dockerfile& file) {
  for (size_t i = 0; i < file.stages.size(); ++i) {
    for (const Instruction& instruction : file.stages[i].instructions) {
      const auto* copy = std::get_if<CopyInstruction>(&instruction.body);
      if (copy == nullptr) continue;
      const auto checked = CheckStageOrder(file, i, copy->from);
      if (!checked) return At(file.file_name, instruction.line, checked.error());
    }
  }
  return {};
}

Result<void> AddNode(const SyntaxNode& node, Dockerfile* file) {
  if (EqualFold(node.keyword, "from")) {
    file->stages.push_back(TRY(ParseFrom(node)));
    return {};
  }
  Instruction instruction{TRY(ParseInstruction(node)), std::string(TrimSpace(node.original)), node.line,
                          node.end_line};
  if (!file->stages.empty()) {
    file->stages.back().instructions.push_back(std::move(instruction));
  } else if (std::holds_alternative<ArgInstruction>(instruction.body)) {
    file->global_args.push_back(std::move(instruction));
  } else {
    return Error(Code::kInvalid, fmt::format("{} stands before the first FROM; only ARG may",
                                             InstructionName(instruction.body)));
  }
  return {};
}

std::vector<std::string> WithShell(const std::vector<std::string>& shell, std::string command) {
  std::vector<std::string> argv = shell;
  argv.push_back(std::move(command));
  return argv;
}

}  // namespace

std::string_view InstructionName(const InstructionBody& body) {
  struct Name {
    std::string_view operator()(const EnvInstruction&) const { return "ENV"; }
    std::string_view operator()(const ArgInstruction&) const { return "ARG"; }
    std::string_view operator()(const LabelInstruction&) const { return "LABEL"; }
    std::string_view operator()(const CopyInstruction&) const { return "COPY"; }
    std::string_view operator()(const AddInstruction&) const { return "ADD"; }
    std::string_view operator()(const RunInstruction&) const { return "RUN"; }
    std::string_view operator()(const CmdInstruction&) const { return "CMD"; }
    std::string_view operator()(const EntrypointInstruction&) const { return "ENTRYPOINT"; }
    std::string_view operator()(const WorkdirInstruction&) const { return "WORKDIR"; }
    std::string_view operator()(const UserInstruction&) const { return "USER"; }
    std::string_view operator()(const ExposeInstruction&) const { return "EXPOSE"; }
    std::string_view operator()(const VolumeInstruction&) const { return "VOLUME"; }
    std::string_view operator()(const StopSignalInstruction&) const { return "STOPSIGNAL"; }
    std::string_view operator()(const ShellInstruction&) const { return "SHELL"; }
    std::string_view operator()(const HealthcheckInstruction&) const { return "HEALTHCHECK"; }
  };
  return std::visit(Name(), body);
}

std::optional<size_t> Dockerfile::FindStage(std::string_view name_or_number, size_t before) const {
  if (const auto number = StageNumber(name_or_number)) {
    return *number < std::min(before, stages.size()) ? number : std::nullopt;
  }
  return FindNamedStage(name_or_number, before);
}

std::optional<size_t> Dockerfile::FindNamedStage(std::string_view name, size_t before) const {
  for (size_t i = std::min(before, stages.size()); i-- > 0;) {
    if (!stages[i].name.empty() && EqualFold(stages[i].name, name)) return i;
  }
  return std::nullopt;
}

Result<Dockerfile> ParseDockerfile(std::string_view bytes, std::string_view file_name) {
  Syntax syntax = TRY(ParseSyntax(bytes, file_name));
  Dockerfile file;
  file.file_name = file_name;
  file.directives = std::move(syntax.directives);
  const auto front_end = CheckSyntaxDirective(file.directives.syntax);
  if (!front_end) return At(file_name, 1, front_end.error());
  for (const SyntaxNode& node : syntax.nodes) {
    const auto added = AddNode(node, &file);
    if (!added) return At(file_name, node.line, added.error());
  }
  if (file.stages.empty()) {
    return At(file_name, syntax.nodes.back().line, Error(Code::kInvalid, "the file has no FROM"));
  }
  TRY(CheckStages(file));
  return file;
}

RunProcess ResolveRun(const CommandLine& command, const std::vector<std::string>& shell) {
  if (command.exec) return {command.words, {}, {}};
  std::string script = command.words.empty() ? std::string() : command.words[0];
  if (command.heredocs.empty()) return {WithShell(shell, std::move(script)), {}, {}};
  const Heredoc& first = command.heredocs[0];
  if (ParseHeredocWord(script).name.empty()) {
    // The shell reads the heredocs itself.
    for (const Heredoc& heredoc : command.heredocs) script += "\n" + heredoc.content + heredoc.name;
    return {WithShell(shell, std::move(script)), {}, {}};
  }
  std::string content = first.chomp ? ChompHeredoc(first.content) : first.content;
  if (!content.starts_with("#!")) return {WithShell(shell, std::move(content)), {}, {}};
  const std::string path = "/dev/pipes/" + first.name;
  return {{path}, path, std::move(content)};
}

std::vector<std::string> ResolveCommand(const CommandLine& command, const std::vector<std::string>& shell) {
  if (command.exec) return command.words;
  return WithShell(shell, command.words.empty() ? std::string() : command.words[0]);
}

const std::vector<std::string>& DefaultShell() {
  static const std::vector<std::string> shell = {"/bin/sh", "-c"};
  return shell;
}

}  // namespace ingot::build
