#include "app/build_images.h"

#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>

#include "adapters/crun_sandbox.h"
#include "adapters/mmdebstrap.h"
#include "app/open_store.h"
#include "app/registry_client.h"
#include "app/terminal.h"
#include "app/version.h"

namespace ingot::app {

namespace {

// One line per thing done; what is going on now on the live line.
class BuildView {
 public:
  explicit BuildView(bool quiet) : progress_(quiet) {}

  // Of what takes its time at a registry. Any thread.
  void Note(const std::string& text) {
    const std::lock_guard lock(mutex_);
    progress_.Line(Paint(Colour::kYellow, text));
  }

  void On(const build::BuildEvent& event) {
    const std::lock_guard lock(mutex_);
    using Kind = build::BuildEvent::Kind;
    const std::string name = Paint(Colour::kBlue, event.image);
    const std::string step =
        event.number > 0 ? " [" + std::to_string(event.number) + "/" + std::to_string(event.total) + "] "
                         : " ";
    switch (event.kind) {
      case Kind::kImageStarted:
        progress_.Live(event.image + " …");
        break;
      case Kind::kStepStarted:
        progress_.Live(event.image + step + event.text);
        break;
      case Kind::kStepCached:
        break;
      case Kind::kStepDone:
        progress_.Line(name + step + event.text + "  " +
                       Paint(Colour::kDim, RenderElapsed(static_cast<double>(event.took.count()))));
        break;
      case Kind::kOutput:
        progress_.Live(event.image + "   " + event.text);
        break;
      case Kind::kNote:
        progress_.Line(name + " " + event.text);
        break;
      case Kind::kTestStarted:
        progress_.Live(event.image + " test " + event.text);
        break;
      case Kind::kTestPassed:
        progress_.Line(name + " test passed: " + event.text + "  " +
                       Paint(Colour::kDim, RenderElapsed(static_cast<double>(event.took.count()))));
        break;
      case Kind::kImageDone:
        progress_.Line(name + " " + Paint(Colour::kGreen, "golden") + " " + event.text.substr(0, 19) + "  " +
                       Paint(Colour::kDim, event.cached
                                               ? std::string("unchanged")
                                               : RenderElapsed(static_cast<double>(event.took.count()))));
        break;
    }
  }

 private:
  std::mutex mutex_;
  Progress progress_;
};

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
      adapters::CrunSandbox::Options{.run_dir = layout.run(), .root_key = layout.key()});
  adapters::MmdebstrapBase::Options debian;
  debian.cache_dir = layout.cache() / "deb";
  debian.temp_dir = layout.tmp();
  if (const char* mirrors = std::getenv("INGOT_DEBIAN_MIRROR"); mirrors != nullptr) debian.mirrors = mirrors;
  workshop.debian = std::make_unique<adapters::MmdebstrapBase>(std::move(debian));
  build::BuildOptions options;
  options.progress = std::move(progress);
  options.cache_dir = layout.cache();
  options.temp_dir = layout.tmp();
  options.no_cache = request.no_cache;
  options.locked = request.locked;
  options.builder_version = std::string("ingot ") + kVersion;
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH"); epoch != nullptr)
    options.source_date_epoch_s = std::strtoll(epoch, nullptr, 10);
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
  Workshop workshop = TRY(OpenWorkshop(
      invocation, request, [&view](const build::BuildEvent& event) { view.On(event); },
      [&view](const std::string& notice) { view.Note(notice); }));
  store::Store& store = *workshop.opened.store;
  // Between the build and the tag nothing else names the new images.
  store::Lease lease = TRY(store.TakeLease("build " + project.definition.project));
  auto built = TRY(workshop.builder->Build(project.definition, project.directory, request.images));
  for (const auto& [name, image] : built) {
    const std::string repository = project.definition.project + "/" + name;
    auto tagged = store.GetTag(repository, "latest");
    if (!tagged || *tagged != image.manifest) TRY(store.SetTag(repository, "latest", image.manifest));
  }
  TRY(RecordRetention(store, project.definition));
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
