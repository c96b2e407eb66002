#include <chrono>

#include "base/json.h"
#include "build/build_session.h"
#include "build/key.h"
#include "build/stage_executor.h"
#include "store/capture.h"

namespace ingot::build {
namespace {

// A folder that exists only for the host or the moment, and paths that never belong to an image. The assembly
// removes what it can; these are left out of the layer whatever made them.
const std::vector<std::string>& LeftOut() {
  static const std::vector<std::string> paths = {
      "dev/console", "dev/full", "dev/null",  "dev/ptmx",   "dev/random", "dev/tty", "dev/urandom",
      "dev/zero",    "dev/fd",   "dev/stdin", "dev/stdout", "dev/stderr", "dev/pts", "dev/shm",
  };
  return paths;
}

std::string LayerKey(const BuildSession& session, const LockedBase& base) {
  return KeyHasher("debian-layer/1").Add(base.Identity().Render()).Add(session.debian->Version()).Finish();
}

JsonObject ProvenanceOf(const BuildSession& session, const LockedBase& base) {
  JsonArray packages;
  for (const DebianPackage& package : base.packages) {
    packages.push_back(JsonObject{{"name", package.name},
                                  {"version", package.version},
                                  {"architecture", package.architecture},
                                  {"sha256", package.sha256}});
  }
  return {{"builder", session.options.builder_version},
          {"commit", session.options.commit},
          {"from", "debian:" + base.suite},
          {"lock", base.Identity().Render()},
          {"packages", std::move(packages)}};
}

}  // namespace

std::string DebianImageKey(const BuildSession& session, const LockedBase& base) {
  return KeyHasher("debian-image/1")
      .Add(base.Identity().Render())
      .Add(session.debian == nullptr ? "" : session.debian->Version())
      .AddNumber(static_cast<uint64_t>(session.options.source_date_epoch_s))
      .Finish();
}

Result<MadeImage> MakeDebianImage(BuildSession& session, const std::string& name, const LockedBase& base) {
  if (session.debian == nullptr)
    return Error(Code::kUnsupported, "images from debian:" + base.suite + " cannot be built in this program");
  store::Lease* lease = TRY(session.workspace.GetLease());
  BuildEvent step;
  step.number = step.total = 1;
  step.text = "debian:" + base.suite;
  for (const std::string& package : base.requested) step.text += " " + package;
  const std::string key = LayerKey(session, base);
  std::optional<store::Layer> layer;
  MadeImage made{{}, 1, 0};
  if (!session.options.no_cache) {
    if (const auto entry = TRY(session.store.CacheGet(key, lease)); entry && !entry->refs.layers.empty())
      layer = TRY(session.store.FindLayer(entry->refs.layers.front()));
  }
  if (layer) {
    made.cached_steps = 1;
    step.kind = BuildEvent::Kind::kStepCached;
    session.Report(name, step);
  } else {
    step.kind = BuildEvent::Kind::kStepStarted;
    session.Report(name, step);
    const auto begin = std::chrono::steady_clock::now();
    TRY(session.debian->Assemble(base, session.NoteOf(name), [&](const fs::path& root) -> Result<void> {
      store::CaptureOptions options;
      options.clamp_mtime_s = base.NewestRelease();
      options.exclude = LeftOut();
      const store::Captured captured = TRY(store::CaptureDirectory(root, session.store.objects(), options));
      layer = TRY(session.store.SealLayer(captured.tree, *lease));
      return {};
    }));
    TRY(session.store.CachePut(key, R"({"step":"layer"})", {{layer->id}, {}}));
    step.kind = BuildEvent::Kind::kStepDone;
    step.took = std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - begin);
    session.Report(name, step);
  }
  store::NewImage image;
  image.config.created = RenderSeconds(session.options.source_date_epoch_s);
  image.config.architecture = base.architecture;
  image.config.os = "linux";
  image.config.config.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  image.config.config.cmd = {"/bin/bash"};
  oci::HistoryEntry history;
  history.created = image.config.created;
  history.created_by = step.text;
  image.config.history.push_back(std::move(history));
  image.layers = {*layer};
  image.provenance = RenderJson(ProvenanceOf(session, base));
  made.manifest = TRY(session.store.PutImage(image, *lease));
  return made;
}

}  // namespace ingot::build
