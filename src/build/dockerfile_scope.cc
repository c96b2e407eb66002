#include "build/dockerfile_scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "build/dockerfile_check.h"
#include "build/dockerfile_text.h"

namespace ingot::build {
namespace {

// Beyond these a Dockerfile that doubles a variable line by line is refused instead of filling the memory.
constexpr size_t kMaxVariablesBytes = 4 << 20;
constexpr size_t kMaxInstructionBytes = 8 << 20;

Error InvalidScope(std::string message) {
  return Error(Code::kInvalid, std::move(message));
}

Error InScope(std::string_view file_name, int line, const Error& error) {
  return Error(error.code(), fmt::format("{}:{}: {}", file_name, line, error.message()));
}

bool IsProxy(std::string_view name) {
  static constexpr std::array<std::string_view, 5> kNames = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY",
                                                             "NO_PROXY", "ALL_PROXY"};
  return std::find(kNames.begin(), kNames.end(), Upper(name)) != kNames.end();
}

// TARGETPLATFORM=linux/arm/v7, TARGETOS=linux, TARGETARCH=arm, TARGETVARIANT=v7; the same with BUILD.
void SetPlatform(const std::string& prefix, std::string_view platform, Variables* variables) {
  const size_t first = std::min(platform.size(), platform.find('/'));
  const std::string_view rest = platform.substr(std::min(platform.size(), first + 1));
  const size_t second = std::min(rest.size(), rest.find('/'));
  variables->Set(prefix + "PLATFORM", std::string(platform));
  variables->Set(prefix + "OS", std::string(platform.substr(0, first)));
  variables->Set(prefix + "OSVERSION", "");
  variables->Set(prefix + "ARCH", std::string(rest.substr(0, second)));
  variables->Set(prefix + "VARIANT", std::string(rest.substr(std::min(rest.size(), second + 1))));
}

// Puts variables into the parts of one instruction, with a bound on their sum.
class Expander {
 public:
  Expander(const Variables& variables, char escape) : variables_(variables), escape_(escape) {}

  Result<void> Word(std::string* word) {
    *word = TRY(ExpandWord(*word, variables_, {.escape = escape_}));
    return Count(word->size());
  }
  Result<void> Words(std::vector<std::string>* words) {
    for (std::string& word : *words) TRY(Word(&word));
    return {};
  }
  Result<void> Pairs(std::vector<KeyValue>* pairs, std::string_view keyword) {
    for (KeyValue& pair : *pairs) {
      TRY(Word(&pair.key));
      TRY(Word(&pair.value));
      if (pair.key.empty()) return InvalidScope(fmt::format("{}: a name comes out empty", keyword));
    }
    return {};
  }
  Result<std::vector<std::string>> Split(const std::string& word) {
    std::vector<std::string> words = TRY(ExpandWords(word, variables_, {.escape = escape_}));
    for (const std::string& part : words) TRY(Count(part.size() + 1));
    return words;
  }
  // The text of a heredoc: quotes mean nothing in it, and its escape character is always '\'.
  Result<void> Text(InlineFile* file) {
    if (!file->expand) return {};
    file->content = TRY(ExpandWord(file->content, variables_, {.ignore_quotes = true}));
    return Count(file->content.size());
  }

 private:
  Result<void> Count(size_t bytes) {
    bytes_ += bytes;
    if (bytes_ <= kMaxInstructionBytes) return {};
    return InvalidScope("the instruction is larger than 8 MiB once its variables are put in");
  }

  const Variables& variables_;
  char escape_;
  size_t bytes_ = 0;
};

template <typename CopyOrAdd>
Result<void> ExpandCopy(CopyOrAdd* copy, std::string_view keyword, Expander* expander) {
  TRY(expander->Word(&copy->chown));
  TRY(expander->Word(&copy->chmod));
  TRY(CheckChmod(copy->chmod));
  TRY(expander->Words(&copy->sources));
  TRY(expander->Word(&copy->destination));
  for (InlineFile& file : copy->inline_files) TRY(expander->Text(&file));
  const auto empty = [](const std::string& word) { return word.empty(); };
  if (std::any_of(copy->sources.begin(), copy->sources.end(), empty)) {
    return InvalidScope(
        fmt::format("{}: a source comes out empty; is a variable unset? Write . for everything", keyword));
  }
  if (copy->destination.empty()) {
    return InvalidScope(
        fmt::format("{}: the destination comes out empty; is a variable unset? Write ./ for the working "
                    "directory",
                    keyword));
  }
  return {};
}

Result<void> ExpandPorts(ExposeInstruction* expose, Expander* expander) {
  std::vector<std::string> ports;
  for (const std::string& written : expose->ports) {
    const std::vector<std::string> words = TRY(expander->Split(written));
    if (words.empty()) return InvalidScope(fmt::format("EXPOSE {} comes out empty", QuoteShort(written)));
    for (const std::string& word : words) {
      for (std::string& port : TRY(ParseExposedPort(word))) ports.push_back(std::move(port));
    }
    // A hundred times all ports is still a small list.
    std::sort(ports.begin(), ports.end());
    ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
  }
  expose->ports = std::move(ports);
  return {};
}

// Everything but ARG. What a shell or nobody expands is left alone.
struct ExpandBody {
  Expander& expander;

  Result<void> operator()(EnvInstruction& env) const { return expander.Pairs(&env.variables, "ENV"); }
  Result<void> operator()(LabelInstruction& label) const { return expander.Pairs(&label.labels, "LABEL"); }
  Result<void> operator()(CopyInstruction& copy) const { return ExpandCopy(&copy, "COPY", &expander); }
  Result<void> operator()(AddInstruction& add) const {
    TRY(ExpandCopy(&add, "ADD", &expander));
    for (const std::string& source : add.sources) TRY(CheckAddSource(source));
    return {};
  }
  Result<void> operator()(WorkdirInstruction& workdir) const { return expander.Word(&workdir.path); }
  Result<void> operator()(UserInstruction& user) const { return expander.Word(&user.user); }
  Result<void> operator()(ExposeInstruction& expose) const { return ExpandPorts(&expose, &expander); }
  Result<void> operator()(VolumeInstruction& volume) const {
    TRY(expander.Words(&volume.paths));
    for (const std::string& path : volume.paths) {
      if (path.empty()) return InvalidScope("VOLUME: a path comes out empty");
    }
    return {};
  }
  Result<void> operator()(StopSignalInstruction& stop) const {
    TRY(expander.Word(&stop.signal));
    return CheckSignal(stop.signal);
  }
  Result<void> operator()(ArgInstruction&) const { return {}; }
  Result<void> operator()(RunInstruction&) const { return {}; }
  Result<void> operator()(CmdInstruction&) const { return {}; }
  Result<void> operator()(EntrypointInstruction&) const { return {}; }
  Result<void> operator()(ShellInstruction&) const { return {}; }
  Result<void> operator()(HealthcheckInstruction&) const { return {}; }
};

}  // namespace

Result<GlobalScope> GlobalScope::Make(const Dockerfile& dockerfile, const BuildInputs& inputs) {
  GlobalScope scope;
  scope.inputs_ = inputs;
  scope.file_name_ = dockerfile.file_name;
  scope.escape_ = dockerfile.directives.escape;
  SetPlatform("BUILD", inputs.build_platform, &scope.variables_);
  SetPlatform("TARGET", inputs.target_platform, &scope.variables_);
  scope.variables_.Set("TARGETSTAGE", inputs.target_stage.empty() ? "default" : inputs.target_stage);
  const Variables predefined = scope.variables_;
  for (const auto& [name, value] : predefined.pairs()) {
    const auto given = inputs.arguments.find(name);
    if (given == inputs.arguments.end()) continue;
    scope.used_.insert(name);
    scope.variables_.Set(name, given->second);
  }
  size_t bytes = 0;
  for (const Instruction& instruction : dockerfile.global_args) {
    for (const auto& argument : std::get<ArgInstruction>(instruction.body).arguments) {
      const auto given = inputs.arguments.find(argument.name);
      if (given != inputs.arguments.end()) {
        scope.used_.insert(argument.name);
        scope.variables_.Set(argument.name, given->second);
      } else if (argument.default_value) {
        auto value = ExpandWord(*argument.default_value, scope.variables_, {.escape = scope.escape_});
        if (!value) return InScope(scope.file_name_, instruction.line, value.error());
        bytes += value->size();
        if (bytes > kMaxVariablesBytes) {
          return InScope(scope.file_name_, instruction.line,
                         InvalidScope("the arguments take more than 4 MiB together"));
        }
        scope.variables_.Set(argument.name, std::move(*value));
      }
    }
  }
  return scope;
}

Result<std::string> GlobalScope::ExpandFrom(const Stage& stage) const {
  auto name = ExpandWord(stage.from, variables_, {.escape = escape_});
  if (!name) return InScope(file_name_, stage.line, name.error());
  if (!name->empty()) return name;
  return InScope(file_name_, stage.line,
                 InvalidScope(fmt::format(
                     "FROM {} comes out empty: give its ARG before the first FROM a default, or pass the "
                     "build argument",
                     stage.from)));
}

Result<std::string> GlobalScope::ExpandPlatform(const Stage& stage) const {
  auto platform = ExpandWord(stage.platform, variables_, {.escape = escape_});
  if (!platform) return InScope(file_name_, stage.line, platform.error());
  if (platform->empty() && !stage.platform.empty()) {
    return InScope(file_name_, stage.line,
                   InvalidScope(fmt::format("--platform={} comes out empty", stage.platform)));
  }
  return platform;
}

StageScope::StageScope(const GlobalScope& global, const std::vector<std::string>& base_env)
    : global_(global), env_(Variables::FromEnv(base_env)), all_(env_), used_(global.used_) {
  for (const auto& [name, value] : all_.pairs()) bytes_ += name.size() + value.size();
}

Result<void> StageScope::Set(std::string_view name, const std::string& value) {
  const std::string* old = all_.Find(name);
  bytes_ += old == nullptr ? name.size() + value.size() : value.size();
  bytes_ -= old == nullptr ? 0 : old->size();
  if (bytes_ > kMaxVariablesBytes) return InvalidScope("the variables take more than 4 MiB together");
  if (name.find('=') != std::string_view::npos) {
    return InvalidScope(fmt::format("{} cannot be the name of a variable", QuoteShort(name)));
  }
  all_.Set(name, value);
  return {};
}

Result<void> StageScope::ApplyArg(ArgInstruction* arg) {
  for (ArgInstruction::Argument& argument : arg->arguments) {
    const auto given = global_.inputs_.arguments.find(argument.name);
    if (given != global_.inputs_.arguments.end()) {
      argument.default_value = given->second;
      used_.insert(argument.name);
    } else if (argument.default_value) {
      // An argument sees the ones before it on its own line, unlike ENV.
      argument.default_value = TRY(ExpandWord(*argument.default_value, all_, {.escape = global_.escape_}));
    } else if (const std::string* inherited = global_.variables_.Find(argument.name)) {
      argument.default_value = *inherited;
    }
    if (argument.default_value) TRY(Set(argument.name, *argument.default_value));
  }
  return {};
}

Result<void> StageScope::ApplyEnv(const EnvInstruction& env) {
  for (const KeyValue& pair : env.variables) {
    TRY(Set(pair.key, pair.value));
    env_.Set(pair.key, pair.value);
  }
  return {};
}

Result<Instruction> StageScope::Apply(const Instruction& instruction) {
  Instruction expanded = instruction;
  const auto apply = [&]() -> Result<void> {
    Expander expander(all_, global_.escape_);
    TRY(std::visit(ExpandBody{expander}, expanded.body));
    if (auto* arg = std::get_if<ArgInstruction>(&expanded.body)) return ApplyArg(arg);
    if (const auto* env = std::get_if<EnvInstruction>(&expanded.body)) return ApplyEnv(*env);
    return {};
  };
  const Result<void> applied = apply();
  if (!applied) return InScope(global_.file_name_, instruction.line, applied.error());
  return expanded;
}

std::vector<std::string> StageScope::ProxyEnv() const {
  std::vector<std::string> env;
  for (const auto& [name, value] : global_.inputs_.arguments) {
    if (!IsProxy(name)) continue;
    for (const std::string& spelling : {Upper(name), Lower(name)}) {
      if (all_.Find(spelling) == nullptr) env.push_back(spelling + "=" + value);
    }
  }
  return env;
}

std::set<std::string> StageScope::UnusedArguments() const {
  std::set<std::string> unused;
  for (const auto& [name, value] : global_.inputs_.arguments) {
    const bool of_builder = IsProxy(name) || name == "SOURCE_DATE_EPOCH" || name.starts_with("BUILDKIT_");
    if (!of_builder && !used_.contains(name)) unused.insert(name);
  }
  return unused;
}

}  // namespace ingot::build
