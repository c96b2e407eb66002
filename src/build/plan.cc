#include "build/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "build/image_config_steps.h"
#include "build/key.h"

namespace ingot::build {
namespace {

Error InPlan(const Dockerfile& dockerfile, int line, const Error& error) {
  return Error(error.code(), fmt::format("{}:{}: {}", dockerfile.file_name, line, error.message()));
}

template <typename T>
Result<T> InPlan(const Dockerfile& dockerfile, int line, Result<T> result) {
  if (result) return result;
  return InPlan(dockerfile, line, result.error());
}

const std::string* CopyFrom(const Instruction& instruction) {
  const auto* copy = std::get_if<CopyInstruction>(&instruction.body);
  return copy != nullptr && !copy->from.empty() ? &copy->from : nullptr;
}

// Which stages the target needs, and what every name in them stands for.
struct Reach {
  size_t target = 0;
  std::set<size_t> stages;
  std::map<size_t, std::string> from;  // FROM of each, variables put in
  std::vector<NamedImage> images;
};

Result<size_t> FindTarget(const Dockerfile& dockerfile, const std::string& target) {
  if (target.empty()) return dockerfile.stages.size() - 1;
  const auto found = dockerfile.FindStage(target, dockerfile.stages.size());
  if (found) return *found;
  std::string names;
  for (const Stage& stage : dockerfile.stages)
    if (!stage.name.empty()) names += (names.empty() ? "" : ", ") + stage.name;
  return Error(Code::kInvalid, fmt::format("{} has no stage {}; it has {}", dockerfile.file_name, target,
                                           names.empty() ? "no named stage" : names));
}

// What the build would say at its end, when nothing has been built yet.
Result<void> CheckNotEmpty(const Dockerfile& dockerfile, const Reach& reach) {
  size_t number = reach.target;
  while (true) {
    const Stage& stage = dockerfile.stages[number];
    if (std::any_of(stage.instructions.begin(), stage.instructions.end(), MakesLayer)) return {};
    const std::string& from = reach.from.at(number);
    if (const auto below = dockerfile.FindStage(from, number)) {
      number = *below;
    } else if (from != "scratch") {
      return {};
    } else {
      return InPlan(dockerfile, dockerfile.stages[reach.target].line, Error(Code::kInvalid, kEmptyImage));
    }
  }
}

Result<Reach> FindReach(const Dockerfile& dockerfile, const BuildInputs& inputs) {
  const GlobalScope global = TRY(GlobalScope::Make(dockerfile, inputs));
  Reach reach;
  reach.target = TRY(FindTarget(dockerfile, inputs.target_stage));
  std::vector<size_t> todo = {reach.target};
  const auto name_used = [&](const std::string& name, size_t before, int line) {
    if (const auto stage = dockerfile.FindStage(name, before)) {
      todo.push_back(*stage);
    } else if (name != "scratch" &&
               std::none_of(reach.images.begin(), reach.images.end(),
                            [&](const NamedImage& image) { return image.name == name; })) {
      reach.images.push_back({name, fmt::format("{}:{}", dockerfile.file_name, line)});
    }
  };
  while (!todo.empty()) {
    const size_t number = todo.back();
    todo.pop_back();
    if (!reach.stages.insert(number).second) continue;
    const Stage& stage = dockerfile.stages[number];
    const std::string platform = TRY(InPlan(dockerfile, stage.line, global.ExpandPlatform(stage)));
    if (!platform.empty() && platform != inputs.target_platform) {
      return InPlan(dockerfile, stage.line,
                    Error(Code::kUnsupported,
                          fmt::format("--platform={} is not supported: this machine builds {}. Leave it out.",
                                      platform, inputs.target_platform)));
    }
    reach.from[number] = TRY(global.ExpandFrom(stage));
    name_used(reach.from[number], number, stage.line);
    for (const Instruction& instruction : stage.instructions)
      if (const std::string* from = CopyFrom(instruction)) name_used(*from, number, instruction.line);
  }
  TRY(CheckNotEmpty(dockerfile, reach));
  return reach;
}

class Planner {
 public:
  Planner(const PlanInput& input, Reach reach) : input_(input), reach_(std::move(reach)) {}

  Result<BuildPlan> Make() {
    const GlobalScope global = TRY(GlobalScope::Make(*input_.dockerfile, input_.inputs));
    plan_.target = reach_.target;
    std::set<std::string> unused;
    for (const auto& [name, value] : input_.inputs.arguments) unused.insert(name);
    for (const size_t number : reach_.stages) {
      TRY(AddStage(number, global));
      const std::set<std::string> left = scopes_.at(number).UnusedArguments();
      std::erase_if(unused, [&](const std::string& name) { return !left.contains(name); });
    }
    plan_.unused_arguments.assign(unused.begin(), unused.end());
    plan_.key = plan_.target_stage().key;
    return std::move(plan_);
  }

 private:
  Result<BaseImage> Image(const std::string& name, int line) {
    auto found = input_.find_image(name);
    if (!found) return InPlan(*input_.dockerfile, line, found.error());
    if (!*found)
      return InPlan(*input_.dockerfile, line, Error(Code::kNotFound, "there is no image or stage " + name));
    plan_.images.insert((*found)->manifest);
    return std::move(**found);
  }

  Result<void> AddStage(size_t number, const GlobalScope& global) {
    const Stage& stage = input_.dockerfile->stages[number];
    const std::string& from = reach_.from.at(number);
    PlannedStage planned;
    planned.number = number;
    planned.name = stage.name;
    KeyHasher key("stage/1");
    key.AddNumber(static_cast<uint64_t>(input_.source_date_epoch_s)).Add(input_.inputs.target_platform);
    if (const auto base = input_.dockerfile->FindStage(from, number)) {
      planned.base_stage = *base;
      planned.needs.insert(*base);
      planned.config = plan_.stages.at(*base).config;
      scopes_.emplace(number, scopes_.at(*base));
      key.Add("stage").Add(plan_.stages.at(*base).key);
    } else if (from == "scratch") {
      planned.config = ScratchConfig();
      scopes_.emplace(number, StageScope(global, planned.config.env));
      key.Add("scratch");
    } else {
      BaseImage image = TRY(Image(from, stage.line));
      planned.base_image = image.manifest;
      planned.config = std::move(image.config);
      scopes_.emplace(number, StageScope(global, planned.config.env));
      key.Add("image").Add(image.manifest.Render());
    }
    planned.key = key.Finish();
    ConfigSteps config(planned.config);
    StageScope& scope = scopes_.at(number);
    for (const Instruction& instruction : stage.instructions) {
      PlannedStep step;
      step.instruction = TRY(scope.Apply(instruction));
      step.config = config.config();
      TRY(FillStep(step, planned, scope));
      step.key = StepKey(step, planned);
      planned.key = step.key;
      config.Apply(step.instruction);
      planned.steps.push_back(std::move(step));
    }
    planned.config = config.config();
    plan_.stages.emplace(number, std::move(planned));
    return {};
  }

  // What a step copies, and the environment it runs in.
  Result<void> FillStep(PlannedStep& step, PlannedStage& stage, const StageScope& scope) {
    const Instruction& instruction = step.instruction;
    if (std::holds_alternative<RunInstruction>(instruction.body)) {
      step.environment = scope.run_variables().ToEnv();
      step.proxies = scope.ProxyEnv();
      return {};
    }
    if (const std::string* from = CopyFrom(instruction)) {
      if (const auto other = input_.dockerfile->FindStage(*from, stage.number)) {
        step.from_stage = *other;
        stage.needs.insert(*other);
      } else {
        step.from_image = TRY(Image(*from, instruction.line)).manifest;
      }
      return {};
    }
    const std::vector<std::string>* sources = nullptr;
    if (const auto* copy = std::get_if<CopyInstruction>(&instruction.body)) sources = &copy->sources;
    if (const auto* add = std::get_if<AddInstruction>(&instruction.body)) sources = &add->sources;
    if (sources == nullptr || sources->empty()) return {};
    if (input_.context == nullptr)
      return InPlan(*input_.dockerfile, instruction.line, Error(Code::kInvalid, "there is no build context"));
    step.selection = TRY(InPlan(*input_.dockerfile, instruction.line,
                                SelectFromContext(*input_.context, *sources, input_.source_date_epoch_s)));
    return {};
  }

  std::string StepKey(const PlannedStep& step, const PlannedStage& stage) const {
    KeyHasher key("step/1");
    key.Add(stage.key).Add(InstructionName(step.instruction.body));
    const auto inline_files = [&](const std::vector<InlineFile>& files) {
      key.AddNumber(files.size());
      for (const InlineFile& file : files) key.Add(file.name).Add(file.content);
    };
    if (const auto* run = std::get_if<RunInstruction>(&step.instruction.body)) {
      const RunProcess process =
          ResolveRun(run->command, step.config.shell.empty() ? DefaultShell() : step.config.shell);
      key.AddAll(process.argv).Add(process.script_path).Add(process.script_content);
      key.AddAll(step.environment).Add(step.config.user).Add(step.config.working_dir);
    } else if (const auto* copy = std::get_if<CopyInstruction>(&step.instruction.body)) {
      key.Add(AbsolutePath(step.config.working_dir, copy->destination));
      key.AddNumber(copy->destination.ends_with('/') ? 1 : 0).Add(copy->chown).Add(copy->chmod);
      if (step.from_stage) key.Add("stage").Add(plan_.stages.at(*step.from_stage).key).AddAll(copy->sources);
      if (step.from_image) key.Add("image").Add(step.from_image->Render()).AddAll(copy->sources);
      key.Add(SelectionKey(step.selection));
      inline_files(copy->inline_files);
    } else if (const auto* add = std::get_if<AddInstruction>(&step.instruction.body)) {
      key.Add(AbsolutePath(step.config.working_dir, add->destination));
      key.AddNumber(add->destination.ends_with('/') ? 1 : 0).Add(add->chown).Add(add->chmod);
      key.Add(SelectionKey(step.selection));
      inline_files(add->inline_files);
    } else if (!std::holds_alternative<ArgInstruction>(step.instruction.body)) {
      // What only changes the configuration is told by the configuration it makes.
      ConfigSteps after(step.config);
      after.Apply(step.instruction);
      oci::ImageConfig shown;
      shown.config = after.config();
      key.Add(shown.Render());
    } else {
      return stage.key;  // an ARG counts where it is used
    }
    return key.Finish();
  }

  const PlanInput& input_;
  const Reach reach_;
  BuildPlan plan_;
  std::map<size_t, StageScope> scopes_;
};

}  // namespace

bool MakesLayer(const Instruction& instruction) {
  return std::holds_alternative<RunInstruction>(instruction.body) ||
         std::holds_alternative<CopyInstruction>(instruction.body) ||
         std::holds_alternative<AddInstruction>(instruction.body) ||
         std::holds_alternative<WorkdirInstruction>(instruction.body);
}

int BuildPlan::CountSteps() const {
  int count = 0;
  for (const auto& [number, stage] : stages) {
    for (const PlannedStep& step : stage.steps) count += MakesLayer(step.instruction) ? 1 : 0;
  }
  return count;
}

Result<std::vector<NamedImage>> ImagesNamed(const Dockerfile& dockerfile, const BuildInputs& inputs) {
  return TRY(FindReach(dockerfile, inputs)).images;
}

Result<BuildPlan> MakePlan(const PlanInput& input) {
  return Planner(input, TRY(FindReach(*input.dockerfile, input.inputs))).Make();
}

}  // namespace ingot::build
