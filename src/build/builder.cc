#include "build/builder.h"

#include "build/build_session.h"
#include "build/task_graph.h"
#include "registry/client.h"
#include "registry/pushed_image.h"

namespace ingot::build {
Builder::Builder(store::Store& store, platform::Sandbox& sandbox, DebianBase* debian, BuildOptions options,
                 registry::Client* client)
    : store_(store), sandbox_(sandbox), debian_(debian), options_(std::move(options)), client_(client) {}

Result<std::map<std::string, BuiltImage>> Builder::Build(const definition::Definition& definition,
                                                         const fs::path& project,
                                                         const std::vector<std::string>& images,
                                                         store::Lease* keep) {
  std::error_code failed;
  const fs::path directory = fs::absolute(project, failed);
  auto inputs = TRY(ReadImageInputs(definition, directory, images));
  BuildReporter reporter(options_.progress);
  BuildSession session{store_,
                       sandbox_,
                       debian_,
                       client_,
                       options_,
                       definition,
                       directory,
                       std::move(inputs),
                       reporter,
                       {store_, options_, directory, keep, reporter},
                       {debian_, directory, options_.locked},
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
  SessionLock lock(debian_, directory, false);
  std::set<std::string> names;
  std::set<oci::Reference> references;
  for (const auto& [name, inputs] : TRY(ReadImageInputs(definition, directory, {}))) {
    const auto note = [&, image = name](std::string_view line) {
      BuildEvent event;
      event.kind = BuildEvent::Kind::kNote;
      event.image = image;
      event.text = std::string(line);
      if (options_.progress) options_.progress(event);
    };
    if (!inputs.debian_suite.empty()) {
      names.insert(name);
      auto locked = lock.Get(name, inputs, upgrade, note);
      if (!locked) return std::move(locked).error().While("locking image " + name);
    }
    for (const auto& [written, reference] : inputs.references) {
      if (!references.insert(reference).second) continue;
      auto pinned = LockReference(lock, reference, upgrade);
      if (!pinned) return std::move(pinned).error().While("locking image " + name);
    }
  }
  return lock.KeepOnly(names, references);
}

Result<void> Builder::LockReference(SessionLock& lock, const oci::Reference& reference, bool upgrade) {
  if (reference.digest) return {};  // pinned by itself
  if (!upgrade && TRY(lock.GetPin(reference))) return {};
  if (const auto pushed = TRY(registry::FindPushed(store_, reference)))
    return lock.SetPin(reference, pushed->digest);
  if (client_ == nullptr)
    return Error(Code::kUnsupported, reference.Render() + ": images cannot be pulled in this program");
  return lock.SetPin(reference, TRY(client_->GetManifest(reference)).digest);
}

}  // namespace ingot::build
