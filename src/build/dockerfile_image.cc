#include <atomic>

#include "base/json.h"
#include "base/units.h"
#include "build/build_session.h"
#include "build/context.h"
#include "build/key.h"
#include "build/plan.h"
#include "build/pulled_image.h"
#include "build/stage_executor.h"
#include "build/task_graph.h"
#include "store/oci_layout.h"

namespace ingot::build {

struct DockerfileImage::State {
  BuildSession& session;
  std::string name;
  const ImageInputs& inputs;
  std::optional<Context> context;
  std::optional<BuildPlan> plan;

  Result<std::optional<BaseImage>> Find(const std::string& image);
  Result<oci::Digest> ImportLayout(const std::string& reference);
  Result<oci::Digest> Pull(const std::string& written, const oci::Reference& reference);
  std::string Provenance() const;
};

namespace {

// "PATH" or "PATH:NAME", as skopeo writes it: the folder and the name of the image in it.
std::pair<fs::path, std::string> SplitLayout(const fs::path& project, std::string_view reference) {
  const std::string text(reference.substr(kLayoutPrefix.size()));
  std::error_code ignored;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || fs::is_directory(project / text, ignored)) return {project / text, ""};
  return {project / text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace

Result<oci::Digest> DockerfileImage::State::ImportLayout(const std::string& reference) {
  if (!session.options.layouts)
    return Error(Code::kRefused,
                 "FROM " + reference + ": a build for another host reads no folders of this one");
  const auto [directory, image] = SplitLayout(session.project, reference);
  auto index = ReadFile(directory / "index.json", size_t{4} << 20);
  if (!index) {
    if (index.error().code() != Code::kNotFound) return std::move(index).error();
    return Error(Code::kNotFound, reference + ": there is no OCI layout in " + directory.string());
  }
  // The index names everything below it by digest.
  const std::string key = KeyHasher("oci-layout/1").Add(*index).Add(image).Finish();
  if (const auto entry = TRY(session.store.CacheGet(key, session.workspace.LeaseIfTaken()));
      entry && !entry->refs.images.empty()) {
    return entry->refs.images.front();
  }
  store::Lease* lease = TRY(session.workspace.GetLease());
  const oci::Digest digest = TRY(store::ImportLayout(session.store, directory, image, *lease));
  TRY(session.store.CachePut(key, R"({"step":"import"})", {{}, {digest}}));
  return digest;
}

Result<oci::Digest> DockerfileImage::State::Pull(const std::string& written,
                                                 const oci::Reference& reference) {
  auto pulled = PulledImage(session, name, reference);
  if (pulled) return pulled;
  const Error& error = pulled.error();
  std::string message = error.Render();
  // A short name that no registry has may be a slip of the pen.
  const bool absent = error.code() == Code::kNotFound || error.code() == Code::kPermission;
  if (absent && written.find('/') == std::string::npos) {
    std::vector<std::string> names;
    for (const auto& [known, unused] : session.definition.images) names.push_back(known);
    const std::string near = Nearest(written, names);
    message += ". " + written + " is neither a stage nor an image of " + session.definition.file +
               (near.empty() ? "" : "; did you mean " + near + "?");
  }
  return Error(error.code(), message);
}

Result<std::optional<BaseImage>> DockerfileImage::State::Find(const std::string& image) {
  BaseImage base;
  if (session.definition.images.contains(image)) {
    auto built = session.built.lock();
    const auto found = built->find(image);
    if (found == built->end()) return Error(Code::kInternal, "image " + image + " is not built yet");
    base.manifest = found->second.manifest;
  } else if (image.starts_with(kLayoutPrefix)) {
    base.manifest = TRY(ImportLayout(image));
  } else if (const auto reference = inputs.references.find(image); reference != inputs.references.end()) {
    base.manifest = TRY(Pull(image, reference->second));
  } else {
    return std::optional<BaseImage>();
  }
  base.config = TRY(session.store.GetImage(base.manifest)).config.config;
  return std::optional<BaseImage>(std::move(base));
}

std::string DockerfileImage::State::Provenance() const {
  JsonArray bases;
  for (const oci::Digest& image : plan->images) bases.emplace_back(image.Render());
  JsonObject arguments;
  for (const auto& [argument, value] : inputs.inputs.arguments) arguments[argument] = value;
  return RenderJson(JsonObject{{"builder", session.options.builder_version},
                               {"commit", session.options.commit},
                               {"dockerfile", inputs.dockerfile->file_name},
                               {"dockerfile_digest", oci::Digest::Of(inputs.dockerfile_bytes).Render()},
                               {"target", inputs.inputs.target_stage},
                               {"args", std::move(arguments)},
                               {"inputs_digest", "sha256:" + plan->key},
                               {"bases", std::move(bases)}});
}

DockerfileImage::DockerfileImage(BuildSession& session, const std::string& name)
    : state_(new State{session, name, session.inputs.at(name), std::nullopt, std::nullopt}) {}
DockerfileImage::~DockerfileImage() = default;

Result<std::string> DockerfileImage::Plan() {
  BuildSession& session = state_->session;
  state_->context = TRY(Context::Scan(state_->inputs.context, session.options.cache_dir / "context",
                                      state_->inputs.dockerfile_path));
  PlanInput input;
  input.dockerfile = &*state_->inputs.dockerfile;
  input.inputs = state_->inputs.inputs;
  input.context = &*state_->context;
  input.find_image = [this](const std::string& image) { return state_->Find(image); };
  input.source_date_epoch_s = session.options.source_date_epoch_s;
  state_->plan = TRY(MakePlan(input));
  return state_->plan->key;
}

int DockerfileImage::CountSteps() const {
  return state_->plan->CountSteps();
}

Result<void> DockerfileImage::Finish() {
  TRY(state_->context->CheckUnchanged());
  return state_->context->SaveIndex();
}

Result<MadeImage> DockerfileImage::Make() {
  BuildSession& session = state_->session;
  const BuildPlan& plan = *state_->plan;
  for (const std::string& argument : plan.unused_arguments)
    session.NoteOf(state_->name)("the build argument " + argument + " is not used: no ARG asks for it");
  std::atomic<int> number{0};
  const int total = plan.CountSteps();
  store::Lease* lease = TRY(session.workspace.GetLease());
  const StageEnvironment environment{
      session.store,
      *lease,
      session.sandbox,
      &*state_->context,
      session.workspace.temp_dir(),
      state_->inputs.dockerfile->file_name,
      session.options.no_cache,
      session.options.source_date_epoch_s,
      [&](BuildEvent event) {
        event.total = total;
        session.Report(state_->name, std::move(event));
      },
      [&] { return ++number; },
  };
  TaskNeeds needs;
  std::map<std::string, size_t> numbers;
  for (const auto& [stage, planned] : plan.stages) {
    const std::string task = std::to_string(stage);
    numbers[task] = stage;
    for (const size_t need : planned.needs) needs[task].insert(std::to_string(need));
    needs.try_emplace(task);
  }
  Sync<std::map<size_t, StageResult>> done;
  TRY(RunTasks(needs, session.options.jobs, [&](const std::string& task) -> Result<void> {
    const size_t stage = numbers.at(task);
    const std::map<size_t, StageResult> before = *done.lock();
    StageResult result = TRY(ExecuteStage(environment, plan.stages.at(stage), before));
    done.lock()->emplace(stage, std::move(result));
    return {};
  }));
  MadeImage made;
  auto results = done.lock();
  for (const auto& [stage, result] : *results) {
    made.steps += result.steps;
    made.cached_steps += result.cached_steps;
  }
  StageResult& target = results->at(plan.target);
  if (target.layers.empty()) {
    return Error(Code::kInvalid, state_->inputs.dockerfile->file_name + ": " + kEmptyImage);
  }
  store::NewImage image;
  image.config.created = RenderSeconds(session.options.source_date_epoch_s);
  image.config.architecture = MachineArchitecture();
  image.config.os = "linux";
  image.config.config = plan.target_stage().config;
  image.config.history = std::move(target.history);
  image.layers = std::move(target.layers);
  image.provenance = state_->Provenance();
  TRY(state_->context->CheckUnchanged());
  made.manifest = TRY(session.store.PutImage(image, *lease));
  return made;
}

}  // namespace ingot::build
