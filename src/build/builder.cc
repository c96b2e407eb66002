#include "build/builder.h"

#include <sys/file.h>

#include "base/sha256.h"
#include "build/build_session.h"
#include "build/task_graph.h"

namespace ingot::build {
namespace {

// Removes what builds that were killed left: each holds the lock of its folder while it lives.
void SweepTemp(const fs::path& temp_dir) {
  auto names = ListDirectory(temp_dir);
  if (!names) return;
  for (const std::string& name : *names) {
    if (name.ends_with(".lock")) continue;
    auto lock = FileLock::Take(temp_dir / (name + ".lock"), false);
    if (!lock) continue;
    // Whatever cannot be removed now is tried again by the next build.
    static_cast<void>(RemoveTree(temp_dir / name).has_value());
    std::error_code ignored;
    fs::remove(temp_dir / (name + ".lock"), ignored);
  }
}

}  // namespace

Builder::Builder(store::Store& store, platform::Sandbox& sandbox, DebianBase* debian, BuildOptions options)
    : store_(store), sandbox_(sandbox), debian_(debian), options_(std::move(options)) {}

Result<std::map<std::string, BuiltImage>> Builder::Build(const definition::Definition& definition,
                                                         const fs::path& project,
                                                         const std::vector<std::string>& images,
                                                         store::Lease* keep) {
  std::error_code failed;
  const fs::path directory = fs::absolute(project, failed);
  BuildSession session{store_,
                       sandbox_,
                       debian_,
                       options_,
                       definition,
                       directory,
                       TRY(ReadImageInputs(definition, directory, images)),
                       {store_, keep},
                       {debian_, directory},
                       {},
                       {}};
  TaskNeeds needs;
  for (const auto& [name, inputs] : session.inputs) needs[name] = inputs.needs;
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
  const std::map<std::string, ImageInputs> inputs = TRY(ReadImageInputs(definition, directory, {}));
  SessionLock lock(debian_, directory);
  for (const auto& [name, image] : inputs) {
    if (image.debian_suite.empty()) continue;
    const auto note = [&](std::string_view line) {
      BuildEvent event;
      event.kind = BuildEvent::Kind::kNote;
      event.image = name;
      event.text = std::string(line);
      if (options_.progress) options_.progress(event);
    };
    auto locked = lock.Get(name, image, upgrade, note);
    if (!locked) return std::move(locked).error().While("locking image " + name);
  }
  return lock.All();
}

}  // namespace ingot::build
