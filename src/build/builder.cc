#include "build/builder.h"

#include "build/build_session.h"
#include "build/task_graph.h"

namespace ingot::build {
Builder::Builder(store::Store& store, platform::Sandbox& sandbox, DebianBase* debian, BuildOptions options)
    : store_(store), sandbox_(sandbox), debian_(debian), options_(std::move(options)) {}

Result<std::map<std::string, BuiltImage>> Builder::Build(const definition::Definition& definition,
                                                         const fs::path& project,
                                                         const std::vector<std::string>& images,
                                                         store::Lease* keep) {
  std::error_code failed;
  const fs::path directory = fs::absolute(project, failed);
  auto inputs = TRY(ReadImageInputs(definition, directory, images));
  BuildSession session{store_,
                       sandbox_,
                       debian_,
                       options_,
                       definition,
                       directory,
                       std::move(inputs),
                       {store_, options_, directory, keep},
                       {debian_, directory},
                       {},
                       {}};
  TaskNeeds needs;
  for (const auto& [name, of] : session.inputs) needs[name] = of.needs;
  TRY(RunTasks(needs, options_.jobs, [&](const std::string& name) -> Result<void> {
    auto built = BuildImage(session, name);
    if (!built) return std::move(built).error().While("building image " + name);
    session.built.lock()->emplace(name, *built);
    return {};
  }));
  return std::move(*session.built.lock());
}

Result<LockFile> Builder::Lock(const definition::Definition& definition, const fs::path& project,
                               bool upgrade) {
  std::error_code failed;
  const fs::path directory = fs::absolute(project, failed);
  SessionLock lock(debian_, directory);
  std::set<std::string> names;
  for (const auto& [name, image] : definition.images) {
    ImageInputs inputs;
    inputs.image = &image;
    inputs.debian_suite = DebianSuite(image);
    if (inputs.debian_suite.empty()) continue;
    names.insert(name);
    const auto note = [&](std::string_view line) {
      BuildEvent event;
      event.kind = BuildEvent::Kind::kNote;
      event.image = name;
      event.text = std::string(line);
      if (options_.progress) options_.progress(event);
    };
    auto locked = lock.Get(name, inputs, upgrade, note);
    if (!locked) return std::move(locked).error().While("locking image " + name);
  }
  return lock.KeepOnly(names);
}

}  // namespace ingot::build
