#include "build/stage_executor.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "build/archive.h"
#include "build/image_config_steps.h"
#include "build/key.h"

namespace ingot::build {
namespace {

using Steady = std::chrono::steady_clock;

class StageRun {
 public:
  StageRun(const StageEnvironment& environment, const PlannedStage& stage,
           const std::map<size_t, StageResult>& done)
      : env_(environment), stage_(stage), done_(done), below_(environment.store, {}) {}

  Result<StageResult> Execute() {
    if (stage_.base_stage) {
      const StageResult& base = done_.at(*stage_.base_stage);
      below_ = LayersBelow(env_.store, base.layers);
      result_.history = base.history;
    } else if (stage_.base_image) {
      store::Image base = TRY(env_.store.GetImage(*stage_.base_image));
      below_ = LayersBelow(env_.store, std::move(base.layers));
      result_.history = std::move(base.config.history);
    }
    for (const PlannedStep& step : stage_.steps) {
      auto made = Step(step);
      if (!made) return Located(step, std::move(made).error());
      oci::HistoryEntry entry;
      entry.created = RenderSeconds(env_.source_date_epoch_s);
      entry.created_by = step.instruction.source;
      entry.empty_layer = !*made;
      result_.history.push_back(std::move(entry));
    }
    result_.layers = below_.layers();
    return std::move(result_);
  }

 private:
  // The front end's and the executor's messages begin with the place already where they know better.
  Error Located(const PlannedStep& step, Error error) const {
    const std::string where = fmt::format("{}:{}: ", env_.file_name, step.instruction.line);
    if (error.message().starts_with(env_.file_name + ":")) return error;
    return Error(error.code(), where + error.message());
  }

  // True when it made a layer.
  Result<bool> Step(const PlannedStep& step) {
    if (!MakesLayer(step.instruction)) return false;
    const int number = env_.next_number();
    ++result_.steps;
    BuildEvent event;
    event.number = number;
    event.text = step.instruction.source;
    const std::string key = TRY(Key(step));
    if (!env_.no_cache) {
      const auto entry = TRY(env_.store.CacheGet(key, &env_.lease));
      if (entry) {
        ++result_.cached_steps;
        event.kind = BuildEvent::Kind::kStepCached;
        env_.report(event);
        if (entry->refs.layers.empty()) return false;
        TRY(below_.Push(TRY(env_.store.FindLayer(entry->refs.layers.front())), nullptr));
        return true;
      }
    }
    event.kind = BuildEvent::Kind::kStepStarted;
    env_.report(event);
    const auto begin = Steady::now();
    const store::Tree tree = TRY(Do(step, number));
    store::CacheRefs refs;
    std::optional<store::Layer> layer;
    if (!tree.empty()) {
      layer = TRY(env_.store.SealLayer(tree, env_.lease));
      refs.layers.push_back(layer->id);
    }
    // A context that changed meanwhile would be remembered under the key of what it was.
    if (env_.context != nullptr) TRY(env_.context->CheckUnchanged());
    TRY(env_.store.CachePut(key, layer ? R"({"step":"layer"})" : R"({"step":"empty"})", refs));
    if (layer) TRY(below_.Push(*layer, &tree));
    event.kind = BuildEvent::Kind::kStepDone;
    event.took = std::chrono::duration_cast<Milliseconds>(Steady::now() - begin);
    env_.report(event);
    return layer.has_value();
  }

  void AddLayers(KeyHasher& key, const std::vector<store::Layer>& layers) const {
    key.AddNumber(layers.size());
    for (const store::Layer& layer : layers) {
      key.Add({reinterpret_cast<const char*>(layer.id.bytes().data()), layer.id.bytes().size()});
    }
  }

  Result<std::string> Key(const PlannedStep& step) {
    KeyHasher key("layer/1");
    AddLayers(key, below_.layers());
    key.AddNumber(static_cast<uint64_t>(env_.source_date_epoch_s));
    key.Add(InstructionName(step.instruction.body)).Add(step.config.user).Add(step.config.working_dir);
    if (const auto* run = std::get_if<RunInstruction>(&step.instruction.body)) {
      const RunProcess process =
          ResolveRun(run->command, step.config.shell.empty() ? DefaultShell() : step.config.shell);
      key.AddAll(process.argv).Add(process.script_path).Add(process.script_content).AddAll(step.environment);
    } else if (const auto* workdir = std::get_if<WorkdirInstruction>(&step.instruction.body)) {
      key.Add(workdir->path);
    } else {
      const Sources sources = SourcesOf(step.instruction);
      key.Add(*sources.destination).Add(*sources.chown).Add(*sources.chmod).Add(SelectionKey(step.selection));
      key.AddNumber(sources.inline_files->size());
      for (const InlineFile& file : *sources.inline_files) key.Add(file.name).Add(file.content);
      if (step.from_stage || step.from_image) {
        AddLayers(key, TRY(LayersOf(step)));
        key.AddAll(*sources.paths);
      }
    }
    return key.Finish();
  }

  struct Sources {
    const std::vector<std::string>* paths;
    const std::vector<InlineFile>* inline_files;
    const std::string* destination;
    const std::string* chown;
    const std::string* chmod;
  };
  static Sources SourcesOf(const Instruction& instruction) {
    if (const auto* copy = std::get_if<CopyInstruction>(&instruction.body))
      return {&copy->sources, &copy->inline_files, &copy->destination, &copy->chown, &copy->chmod};
    const auto& add = std::get<AddInstruction>(instruction.body);
    return {&add.sources, &add.inline_files, &add.destination, &add.chown, &add.chmod};
  }

  Result<std::vector<store::Layer>> LayersOf(const PlannedStep& step) const {
    if (step.from_stage) return done_.at(*step.from_stage).layers;
    return TRY(env_.store.GetImage(*step.from_image)).layers;
  }

  Result<store::Tree> Do(const PlannedStep& step, int number) {
    if (std::holds_alternative<RunInstruction>(step.instruction.body))
      return ExecuteRun(env_, step, below_, number);
    if (const auto* workdir = std::get_if<WorkdirInstruction>(&step.instruction.body)) {
      Owner owner{0, 0};
      if (!step.config.user.empty()) owner = TRY(ResolveOwner(step.config.user, below_.Reader()));
      return MakeDirectoryLayer(AbsolutePath(step.config.working_dir, workdir->path), owner,
                                env_.source_date_epoch_s, below_.Finder());
    }
    return Copy(step);
  }

  Result<store::Tree> Copy(const PlannedStep& step) {
    const Sources sources = SourcesOf(step.instruction);
    Selection selection = step.selection;
    if (step.from_stage || step.from_image) {
      const store::Tree tree = TRY(env_.store.MergeLayers(TRY(LayersOf(step))));
      const std::string shown = std::get<CopyInstruction>(step.instruction.body).from;
      selection = TRY(SelectFromTree(tree, *sources.paths, shown));
    }
    for (SelectedSource& source : selection) {
      for (const SelectedItem& item : source.items) {
        if (!item.context_path.empty()) TRY(env_.context->PutInPool(item.context_path, env_.store.objects()));
      }
    }
    const bool add = std::holds_alternative<AddInstruction>(step.instruction.body);
    if (add) TRY(UnpackArchives(selection, env_.store.objects(), env_.source_date_epoch_s));
    for (const InlineFile& file : *sources.inline_files) {
      SelectedItem item;
      item.node = store::Node::Regular(TRY(env_.store.objects().Put(file.content)), file.content.size());
      item.node.mtime_s = env_.source_date_epoch_s;
      selection.push_back({file.name, false, {std::move(item)}});
    }
    CopyTarget target;
    target.destination = AbsolutePath(step.config.working_dir, *sources.destination);
    const std::string& written = *sources.destination;
    target.directory = written.ends_with('/') || written == "." || written.ends_with("/.");
    if (sources.paths->size() + sources.inline_files->size() > 1 && !target.directory) {
      return Error(
          Code::kInvalid,
          "with several sources the destination must be a directory and end with /: " + written + "/");
    }
    const std::string facts = FactsKey(selection, target.destination, *sources.chown);
    below_.Recall(facts);
    if (!sources.chown->empty()) target.owner = TRY(ResolveOwner(*sources.chown, below_.Reader()));
    if (!sources.chmod->empty())
      target.mode = static_cast<uint32_t>(std::strtoul(sources.chmod->c_str(), nullptr, 8));
    target.mtime_s = env_.source_date_epoch_s;
    auto tree = MakeCopyLayer(selection, target, below_.Finder());
    below_.Remember(facts);
    return tree;
  }

  // What MakeCopyLayer asks about the layers below depends on this alone: not on what is in the files.
  std::string FactsKey(const Selection& selection, const std::string& destination,
                       const std::string& chown) const {
    KeyHasher key("below/1");
    AddLayers(key, below_.layers());
    key.Add(destination).Add(chown);
    for (const SelectedSource& source : selection) {
      key.Add(source.name).AddNumber(source.items.size());
      for (const SelectedItem& item : source.items)
        key.Add(item.path).AddNumber(static_cast<uint64_t>(item.node.type));
    }
    return key.Finish();
  }

  const StageEnvironment& env_;
  const PlannedStage& stage_;
  const std::map<size_t, StageResult>& done_;
  LayersBelow below_;
  StageResult result_;
};

}  // namespace

std::string RenderSeconds(int64_t seconds) {
  std::string text = RenderTime(WallTime(std::chrono::seconds(seconds)));
  return text.substr(0, text.find('.')) + "Z";
}

Result<StageResult> ExecuteStage(const StageEnvironment& environment, const PlannedStage& stage,
                                 const std::map<size_t, StageResult>& done) {
  return StageRun(environment, stage, done).Execute();
}

}  // namespace ingot::build
