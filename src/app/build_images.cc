#include "app/build_images.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>

#include "adapters/crun_sandbox.h"
#include "adapters/mmdebstrap.h"
#include "app/build_view.h"
#include "app/open_store.h"
#include "app/registry_client.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "app/version.h"

namespace ingot::app {

namespace {

constexpr const char* kBuildInterrupted = "interrupted";
// For what is not killed at once: a pull, a copy.
constexpr Milliseconds kInterruptionGrace{5'000};

struct Workshop {
  OpenedStore opened;
  std::unique_ptr<adapters::CrunSandbox> sandbox;
  std::unique_ptr<build::DebianBase> debian;
  std::unique_ptr<RegistryClient> client;
  std::unique_ptr<build::Builder> builder;
};

Result<Workshop> OpenWorkshop(const Invocation& invocation, const BuildRequest& request,
                              build::BuildProgress progress, std::function<void(const std::string&)> notice) {
  if (::geteuid() != 0)
    return Error(Code::kPermission, "building mounts file systems, so it needs root; run it with sudo");
  const Layout layout = invocation.layout();
  Workshop workshop;
  workshop.opened = TRY(OpenStore(layout));
  workshop.sandbox = std::make_unique<adapters::CrunSandbox>(
      adapters::CrunSandbox::Options{layout.run(), layout.key(), request.interrupt});
  // What a build that was killed has left, also when this one runs nothing.
  TRY(workshop.sandbox->Sweep());
  adapters::MmdebstrapBase::Options debian;
  debian.cache_dir = layout.cache() / "deb";
  debian.temp_dir = layout.tmp();
  if (const char* mirrors = std::getenv("INGOT_DEBIAN_MIRROR"); mirrors != nullptr) debian.mirrors = mirrors;
  workshop.debian = std::make_unique<adapters::MmdebstrapBase>(std::move(debian));
  build::BuildOptions options;
  options.progress = std::move(progress);
  options.cache_dir = request.work.empty() ? layout.cache() : request.work / "cache";
  options.layouts = request.layouts;
  options.temp_dir = request.work.empty() ? layout.tmp() : request.work / "tmp";
  options.no_cache = request.no_cache;
  options.locked = request.locked;
  options.builder_version = std::string("ingot ") + kVersion;
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH"); epoch != nullptr)
    options.source_date_epoch_s = std::strtoll(epoch, nullptr, 10);
  if (request.source_date_epoch_s) options.source_date_epoch_s = *request.source_date_epoch_s;
  workshop.client = TRY(RegistryClient::Make(*workshop.opened.clock, std::move(notice)));
  workshop.builder =
      std::make_unique<build::Builder>(*workshop.opened.store, *workshop.sandbox, workshop.debian.get(),
                                       std::move(options), &workshop.client->client());
  return workshop;
}

// So that collections know it, which have no definition at hand. Written when it has changed.
Result<void> RecordRetention(store::Store& store, const definition::Definition& definition) {
  store::ProjectRetention wanted;
  wanted.project = definition.project;
  if (definition.policy) {
    if (definition.policy->keep) wanted.keep = static_cast<uint64_t>(*definition.policy->keep);
    wanted.keep_for = definition.policy->keep_for;
  }
  store::ProjectRetention known;
  known.project = definition.project;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    for (store::ProjectRetention& row : TRY(rows.ListProjectRetention()))
      if (row.project == definition.project) known = std::move(row);
    return {};
  }));
  if (known == wanted) return {};
  return store.catalog().Write([&](store::CatalogRows& rows) { return rows.SetProjectRetention(wanted); });
}

}  // namespace

Result<std::map<std::string, build::BuiltImage>> BuildImages(const Invocation& invocation,
                                                             const Project& project,
                                                             const BuildRequest& request) {
  BuildView view(!request.show_progress);
  const auto interruption = TRY(Interruption::Watch(kInterruptionGrace));
  BuildRequest watched = request;
  watched.interrupt = interruption->fd();
  auto built = BuildImages(
      invocation, project, watched, [&view](const build::BuildEvent& event) { view.On(event); },
      [&view](const std::string& notice) { view.Note(notice); });
  // Whatever it made of it: the step that was killed did not fail.
  if (const int number = interruption->number(); number != 0)
    return Error(Code::kCancelled, std::string(kBuildInterrupted) + (number == SIGTERM ? " (SIGTERM)" : ""));
  return built;
}

int ReportBuild(const Invocation& invocation, const Error& error) {
  if (error.code() != Code::kCancelled || !error.message().starts_with(kBuildInterrupted))
    return Report(invocation, error);
  if (invocation.json) {
    static_cast<void>(Report(invocation, error));
  } else {
    std::fflush(stdout);
    std::fprintf(stderr, "%s\n", kBuildInterrupted);
  }
  return 128 + (error.message() == kBuildInterrupted ? SIGINT : SIGTERM);
}

Result<std::map<std::string, build::BuiltImage>> BuildImages(const Invocation& invocation,
                                                             const Project& project,
                                                             const BuildRequest& request,
                                                             build::BuildProgress progress,
                                                             std::function<void(const std::string&)> notice) {
  Workshop workshop = TRY(OpenWorkshop(invocation, request, std::move(progress), std::move(notice)));
  store::Store& store = *workshop.opened.store;
  // Between the build and the tag nothing else names the new images.
  store::Lease lease = TRY(store.TakeLease("build " + project.definition.project));
  auto built = TRY(workshop.builder->Build(project.definition, project.directory, request.images));
  for (const auto& [name, image] : built) {
    const std::string repository = project.definition.project + "/" + name;
    auto tagged = store.GetTag(repository, "latest");
    if (!tagged || *tagged != image.manifest) TRY(store.SetTag(repository, "latest", image.manifest));
  }
  // What is kept of a project, in every environment, is not for who may build for one.
  if (request.work.empty()) TRY(RecordRetention(store, project.definition));
  return built;
}

Result<build::LockFile> LockPackages(const Invocation& invocation, const Project& project, bool upgrade) {
  BuildView view(invocation.json);
  Workshop workshop = TRY(OpenWorkshop(
      invocation, {}, [&view](const build::BuildEvent& event) { view.On(event); },
      [&view](const std::string& notice) { view.Note(notice); }));
  return workshop.builder->Lock(project.definition, project.directory, upgrade);
}

}  // namespace ingot::app
