#include "build/dockerfile_instruction.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "base/units.h"
#include "build/dockerfile_check.h"
#include "build/dockerfile_flags.h"
#include "build/dockerfile_text.h"
#include "build/word_expansion.h"

namespace ingot::build {
namespace {

Error Invalid(std::string message) {
  return Error(Code::kInvalid, std::move(message));
}
Error Unsupported(std::string message) {
  return Error(Code::kUnsupported, std::move(message));
}

Result<void> NoFlags(const SyntaxNode& node) {
  TRY(Flags::Parse(Upper(node.keyword), node.flags, {}));
  return {};
}

Result<std::string> OneArgument(const SyntaxNode& node) {
  TRY(NoFlags(node));
  if (node.arguments.size() == 1) return node.arguments[0];
  return Invalid(fmt::format("{} needs exactly one argument", Upper(node.keyword)));
}

Result<std::vector<KeyValue>> KeyValues(const SyntaxNode& node) {
  TRY(NoFlags(node));
  if (node.arguments.empty())
    return Invalid(fmt::format("{} needs at least one name=value", Upper(node.keyword)));
  std::vector<KeyValue> pairs;
  for (size_t i = 0; i + 2 < node.arguments.size(); i += 3) {
    if (node.arguments[i].empty())
      return Invalid(fmt::format("{}: a name is missing before '='", Upper(node.keyword)));
    pairs.push_back({node.arguments[i], node.arguments[i + 1]});
  }
  return pairs;
}

Result<InstructionBody> ParseEnv(const SyntaxNode& node) {
  return InstructionBody(EnvInstruction{TRY(KeyValues(node))});
}
Result<InstructionBody> ParseLabel(const SyntaxNode& node) {
  return InstructionBody(LabelInstruction{TRY(KeyValues(node))});
}

Result<InstructionBody> ParseArg(const SyntaxNode& node) {
  TRY(NoFlags(node));
  if (node.arguments.empty()) return Invalid("ARG needs at least one name or name=value");
  ArgInstruction result;
  for (const std::string& argument : node.arguments) {
    const size_t equals = argument.find('=');
    if (equals == 0) return Invalid("ARG: a name is missing before '='");
    ArgInstruction::Argument parsed{argument.substr(0, equals), std::nullopt};
    if (equals != std::string::npos) parsed.default_value = argument.substr(equals + 1);
    result.arguments.push_back(std::move(parsed));
  }
  return InstructionBody(std::move(result));
}

// A heredoc's name becomes a file's name.
Result<void> CheckHeredocName(const std::string& name) {
  if (name != "." && name != ".." && name.find('/') == std::string::npos) return {};
  return Invalid(fmt::format("the heredoc name {} must be a plain file name, without '/'", QuoteShort(name)));
}

struct SourcesAndDestination {
  std::vector<std::string> sources;
  std::vector<InlineFile> inline_files;
  std::string destination;
};

Result<SourcesAndDestination> ParseSources(const SyntaxNode& node) {
  const std::string keyword = Upper(node.keyword);
  if (node.arguments.size() < 2) {
    return Invalid(fmt::format("{} needs at least one source and a destination", keyword));
  }
  SourcesAndDestination result;
  result.destination = node.arguments.back();
  if (!ParseHeredocWord(result.destination).name.empty()) {
    return Invalid(fmt::format("{}: the destination cannot be a heredoc; write {} <<{} /path", keyword,
                               keyword, ParseHeredocWord(result.destination).name));
  }
  std::map<std::string_view, const Heredoc*> contents;
  for (const Heredoc& heredoc : node.heredocs) contents[heredoc.name] = &heredoc;
  for (size_t i = 0; i + 1 < node.arguments.size(); ++i) {
    const std::string& source = node.arguments[i];
    const Heredoc word = node.json ? Heredoc() : ParseHeredocWord(source);
    const auto found = contents.find(word.name);
    if (word.name.empty() || found == contents.end()) {
      result.sources.push_back(source);
      continue;
    }
    TRY(CheckHeredocName(word.name));
    const std::string& content = found->second->content;
    result.inline_files.push_back({word.name, word.chomp ? ChompHeredoc(content) : content, word.expand});
  }
  if (result.inline_files.size() != node.heredocs.size()) {
    return Invalid(fmt::format("{}: write a heredoc as one word, <<{} without spaces or other text", keyword,
                               node.heredocs.front().name));
  }
  return result;
}

// --from takes no variables: which stage a COPY needs must be known before anything is built.
Result<void> CheckFrom(const std::string& from) {
  const auto expanded = ExpandWord(from, Variables());
  if (expanded && *expanded == from) return {};
  return Unsupported(
      fmt::format("COPY --from={} is not supported: --from takes no variables; name a stage FROM the "
                  "variable before the first "
                  "FROM's ARG (FROM ${{NAME}} AS source) and copy from that stage",
                  from));
}

Result<InstructionBody> ParseCopy(const SyntaxNode& node) {
  const Flags flags =
      TRY(Flags::Parse("COPY", node.flags,
                       {{FlagRule::kText, "from", {}},
                        {FlagRule::kText, "chown", {}},
                        {FlagRule::kText, "chmod", {}},
                        {FlagRule::kBool, "link", {}},
                        {FlagRule::kRefused, "exclude",
                         "list what must stay out in .dockerignore, or copy the parts one by one"},
                        {FlagRule::kRefused, "parents", "copy each directory to its own destination"}}));
  SourcesAndDestination parsed = TRY(ParseSources(node));
  CopyInstruction result;
  result.sources = std::move(parsed.sources);
  result.inline_files = std::move(parsed.inline_files);
  result.destination = std::move(parsed.destination);
  result.from = flags.Text("from");
  result.chown = flags.Text("chown");
  result.chmod = flags.Text("chmod");
  result.link = flags.Bool("link");
  TRY(CheckFrom(result.from));
  return InstructionBody(std::move(result));
}

Result<InstructionBody> ParseAdd(const SyntaxNode& node) {
  const Flags flags = TRY(Flags::Parse(
      "ADD", node.flags,
      {{FlagRule::kText, "chown", {}},
       {FlagRule::kText, "chmod", {}},
       {FlagRule::kBool, "link", {}},
       {FlagRule::kRefused, "checksum", "it is for URLs; keep the file in the build context and COPY it"},
       {FlagRule::kRefused, "keep-git-dir",
        "it is for git sources; keep a checkout in the build context and COPY it"},
       {FlagRule::kRefused, "unpack", "ADD unpacks local archives; use COPY to keep one as it is"},
       {FlagRule::kRefused, "exclude",
        "list what must stay out in .dockerignore, or add the parts one by one"}}));
  SourcesAndDestination parsed = TRY(ParseSources(node));
  AddInstruction result;
  result.sources = std::move(parsed.sources);
  result.inline_files = std::move(parsed.inline_files);
  result.destination = std::move(parsed.destination);
  result.chown = flags.Text("chown");
  result.chmod = flags.Text("chmod");
  result.link = flags.Bool("link");
  for (const std::string& source : result.sources) TRY(CheckAddSource(source));
  return InstructionBody(std::move(result));
}

// CMD, ENTRYPOINT (where [] clears what was inherited) and RUN (where it means nothing).
Result<CommandLine> ParseCommandLine(const SyntaxNode& node) {
  const std::string keyword = Upper(node.keyword);
  if (node.arguments.empty() && (!node.json || keyword == "RUN")) {
    return Invalid(
        fmt::format("{} needs a command{}", keyword,
                    keyword == "RUN" ? "" : fmt::format("; {} [] clears the inherited one", keyword)));
  }
  CommandLine result{node.json, node.arguments, node.heredocs};
  for (const Heredoc& heredoc : result.heredocs) TRY(CheckHeredocName(heredoc.name));
  return result;
}

Result<InstructionBody> ParseRun(const SyntaxNode& node) {
  TRY(Flags::Parse("RUN", node.flags,
                   {{FlagRule::kRefused, "mount",
                     "COPY what the command needs, and remove what must not stay in the same RUN; a secret "
                     "needed at build time "
                     "belongs into `secrets` of the image's build in the definition"},
                    {FlagRule::kRefused, "network",
                     "every RUN has the network that the host's configuration gives to builds"},
                    {FlagRule::kRefused, "security",
                     "a RUN is always sandboxed; do what needs more rights outside of the build"},
                    {FlagRule::kRefused, "device",
                     "builds get no devices, so that they give the same image on every host"}}));
  return InstructionBody(RunInstruction{TRY(ParseCommandLine(node))});
}
Result<InstructionBody> ParseCmd(const SyntaxNode& node) {
  TRY(NoFlags(node));
  return InstructionBody(CmdInstruction{TRY(ParseCommandLine(node))});
}
Result<InstructionBody> ParseEntrypoint(const SyntaxNode& node) {
  TRY(NoFlags(node));
  return InstructionBody(EntrypointInstruction{TRY(ParseCommandLine(node))});
}

Result<InstructionBody> ParseWorkdir(const SyntaxNode& node) {
  return InstructionBody(WorkdirInstruction{TRY(OneArgument(node))});
}
Result<InstructionBody> ParseUser(const SyntaxNode& node) {
  return InstructionBody(UserInstruction{TRY(OneArgument(node))});
}
Result<InstructionBody> ParseStopSignal(const SyntaxNode& node) {
  StopSignalInstruction result{TRY(OneArgument(node))};
  if (result.signal.find('$') == std::string::npos) TRY(CheckSignal(result.signal));
  return InstructionBody(std::move(result));
}

Result<InstructionBody> ParseExpose(const SyntaxNode& node) {
  TRY(NoFlags(node));
  if (node.arguments.empty()) return Invalid("EXPOSE needs at least one port");
  return InstructionBody(ExposeInstruction{node.arguments});
}

Result<InstructionBody> ParseVolume(const SyntaxNode& node) {
  TRY(NoFlags(node));
  if (node.arguments.empty()) return Invalid("VOLUME needs at least one path");
  VolumeInstruction result;
  for (const std::string& path : node.arguments) {
    result.paths.emplace_back(TrimSpace(path));
    if (result.paths.back().empty()) return Invalid("VOLUME: a path is empty");
  }
  return InstructionBody(std::move(result));
}

Result<InstructionBody> ParseShell(const SyntaxNode& node) {
  TRY(NoFlags(node));
  if (!node.json) return Invalid("SHELL takes the JSON form only: SHELL [\"/bin/bash\", \"-c\"]");
  if (node.arguments.empty())
    return Invalid("SHELL needs at least one string: SHELL [\"/bin/bash\", \"-c\"]");
  return InstructionBody(ShellInstruction{node.arguments});
}

Result<std::chrono::nanoseconds> DurationFlag(const Flags& flags, std::string_view name) {
  const std::string text = flags.Text(name);
  if (text.empty()) return std::chrono::nanoseconds(0);
  auto duration = ParseGoDuration(text);
  if (duration) return duration;
  return Invalid(fmt::format("HEALTHCHECK --{}: {}", name, duration.error().message()));
}

Result<int> RetriesFlag(const Flags& flags) {
  const std::string text = flags.Text("retries");
  if (text.empty()) return 0;
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 0) return value;
  return Invalid(fmt::format("HEALTHCHECK --retries: {} is not a whole number from 0 up", QuoteShort(text)));
}

Result<InstructionBody> ParseHealthcheck(const SyntaxNode& node) {
  if (node.arguments.empty()) return Invalid("HEALTHCHECK needs CMD and a command, or NONE");
  const std::string type = Upper(node.arguments[0]);
  HealthcheckInstruction result;
  if (type == "NONE") {
    if (node.arguments.size() > 1 || !node.flags.empty())
      return Invalid("HEALTHCHECK NONE takes nothing else");
    result.test = {"NONE"};
    return InstructionBody(std::move(result));
  }
  const Flags flags = TRY(Flags::Parse("HEALTHCHECK", node.flags,
                                       {{FlagRule::kText, "interval", {}},
                                        {FlagRule::kText, "timeout", {}},
                                        {FlagRule::kText, "start-period", {}},
                                        {FlagRule::kText, "start-interval", {}},
                                        {FlagRule::kText, "retries", {}}}));
  if (type != "CMD") {
    return Invalid(
        fmt::format("HEALTHCHECK {} is not known; write HEALTHCHECK CMD command, or NONE", QuoteShort(type)));
  }
  if (node.arguments.size() < 2) return Invalid("HEALTHCHECK CMD needs a command");
  result.test = {node.json ? "CMD" : "CMD-SHELL"};
  result.test.insert(result.test.end(), node.arguments.begin() + 1, node.arguments.end());
  result.interval = TRY(DurationFlag(flags, "interval"));
  result.timeout = TRY(DurationFlag(flags, "timeout"));
  result.start_period = TRY(DurationFlag(flags, "start-period"));
  result.start_interval = TRY(DurationFlag(flags, "start-interval"));
  result.retries = TRY(RetriesFlag(flags));
  return InstructionBody(std::move(result));
}

Result<InstructionBody> RefuseMaintainer(const SyntaxNode&) {
  return Unsupported(
      "MAINTAINER is not supported: it is deprecated; write LABEL org.opencontainers.image.authors=\"…\"");
}
Result<InstructionBody> RefuseOnbuild(const SyntaxNode&) {
  return Unsupported(
      "ONBUILD is not supported: an image must not act on builds that start from it; write the instruction "
      "into the "
      "Dockerfiles that need it");
}

using InstructionParser = Result<InstructionBody> (*)(const SyntaxNode&);

const std::map<std::string_view, InstructionParser>& Parsers() {
  static const std::map<std::string_view, InstructionParser> parsers = {
      {"ADD", ParseAdd},
      {"ARG", ParseArg},
      {"CMD", ParseCmd},
      {"COPY", ParseCopy},
      {"ENTRYPOINT", ParseEntrypoint},
      {"ENV", ParseEnv},
      {"EXPOSE", ParseExpose},
      {"HEALTHCHECK", ParseHealthcheck},
      {"LABEL", ParseLabel},
      {"MAINTAINER", RefuseMaintainer},
      {"ONBUILD", RefuseOnbuild},
      {"RUN", ParseRun},
      {"SHELL", ParseShell},
      {"STOPSIGNAL", ParseStopSignal},
      {"USER", ParseUser},
      {"VOLUME", ParseVolume},
      {"WORKDIR", ParseWorkdir},
  };
  return parsers;
}

bool IsStageName(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return plain(c) || c == '-' || c == '_' || c == '.'; });
}

}  // namespace

Result<InstructionBody> ParseInstruction(const SyntaxNode& node) {
  TRY(CheckNoNul(node.original));
  for (const std::string& argument : node.arguments) TRY(CheckNoNul(argument));  // "\u0000" in the JSON form
  const std::string keyword = Upper(node.keyword);
  const auto parser = Parsers().find(keyword);
  if (parser != Parsers().end()) return parser->second(node);
  std::vector<std::string> names = {"FROM"};
  for (const auto& [name, unused] : Parsers()) names.emplace_back(name);
  const std::string nearest = keyword.size() > 20 ? "" : Nearest(keyword, names);
  return Invalid(fmt::format("{} is not an instruction{}", QuoteShort(node.keyword),
                             nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest)));
}

Result<Stage> ParseFrom(const SyntaxNode& node) {
  TRY(CheckNoNul(node.original));
  const Flags flags = TRY(Flags::Parse("FROM", node.flags, {{FlagRule::kText, "platform", {}}}));
  const bool named = node.arguments.size() == 3 && EqualFold(node.arguments[1], "as");
  if (node.arguments.size() != 1 && !named) return Invalid("FROM needs an image, or an image AS a name");
  Stage stage;
  stage.from = node.arguments[0];
  stage.platform = flags.Text("platform");
  stage.line = node.line;
  if (!named) return stage;
  stage.name = Lower(node.arguments[2]);
  if (!IsStageName(stage.name)) {
    return Invalid(
        fmt::format("{} cannot name a stage: use letters, digits, '-', '_' and '.', a letter first",
                    QuoteShort(node.arguments[2])));
  }
  return stage;
}

}  // namespace ingot::build
