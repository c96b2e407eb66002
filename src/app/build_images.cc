#include "app/build_images.h"

#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <sstream>

#include "adapters/crun_sandbox.h"
#include "adapters/curl.h"
#include "adapters/mmdebstrap.h"
#include "app/open_store.h"
#include "app/terminal.h"
#include "app/version.h"
#include "base/units.h"
#include "registry/client.h"

namespace ingot::app {

namespace {

// One line per thing done; what is going on now on the live line.
class BuildView {
 public:
  explicit BuildView(bool quiet) : progress_(quiet) {}

  void On(const build::BuildEvent& event) {
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
  Progress progress_;
};

struct Workshop {
  OpenedStore opened;
  std::unique_ptr<adapters::CrunSandbox> sandbox;
  std::unique_ptr<build::DebianBase> debian;
  std::unique_ptr<registry::Credentials> credentials;
  std::unique_ptr<adapters::CurlHttp> http;
  std::unique_ptr<registry::Client> client;
  std::unique_ptr<build::Builder> builder;
};

std::string VariableOr(const char* name, std::string otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::move(otherwise) : std::string(value);
}

// Nothing is loaded or read before something is asked of a registry.
Result<void> AddClient(Workshop& workshop) {
  adapters::CurlHttp::Options http;
  http.trust.system_authorities = VariableOr("SSL_CERT_FILE", "");
  http.user_agent = std::string("ingot/") + kVersion;
  auto patience = ParseDuration(VariableOr("INGOT_REGISTRY_TIMEOUT", "30s"));
  if (!patience) return std::move(patience).error().While("reading INGOT_REGISTRY_TIMEOUT");
  http.stall_timeout = *patience;
  http.connect_timeout = std::min(http.connect_timeout, *patience);
  workshop.http = std::make_unique<adapters::CurlHttp>(std::move(http));
  workshop.credentials = std::make_unique<registry::Credentials>(registry::DockerConfigFiles());
  registry::Client::Options options;
  std::istringstream mirrors(VariableOr("INGOT_DOCKER_MIRROR", ""));
  for (std::string mirror; mirrors >> mirror;) options.mirrors.push_back(mirror);
  workshop.client = std::make_unique<registry::Client>(
      *workshop.http,
      [credentials = workshop.credentials.get()](const std::string& registry, const std::string& repository) {
        return credentials->Find(registry, repository);
      },
      *workshop.opened.clock, std::move(options));
  return {};
}

Result<Workshop> OpenWorkshop(const Invocation& invocation, const BuildRequest& request,
                              build::BuildProgress progress) {
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
  TRY(AddClient(workshop));
  workshop.builder =
      std::make_unique<build::Builder>(*workshop.opened.store, *workshop.sandbox, workshop.debian.get(),
                                       std::move(options), workshop.client.get());
  return workshop;
}

}  // namespace

Result<std::map<std::string, build::BuiltImage>> BuildImages(const Invocation& invocation,
                                                             const Project& project,
                                                             const BuildRequest& request) {
  BuildView view(!request.show_progress);
  Workshop workshop =
      TRY(OpenWorkshop(invocation, request, [&view](const build::BuildEvent& event) { view.On(event); }));
  store::Store& store = *workshop.opened.store;
  // Between the build and the tag nothing else names the new images.
  store::Lease lease = TRY(store.TakeLease("build " + project.definition.project));
  auto built = TRY(workshop.builder->Build(project.definition, project.directory, request.images));
  for (const auto& [name, image] : built) {
    const std::string repository = project.definition.project + "/" + name;
    auto tagged = store.GetTag(repository, "latest");
    if (!tagged || *tagged != image.manifest) TRY(store.SetTag(repository, "latest", image.manifest));
  }
  return built;
}

Result<build::LockFile> LockPackages(const Invocation& invocation, const Project& project, bool upgrade) {
  BuildView view(invocation.json);
  Workshop workshop =
      TRY(OpenWorkshop(invocation, {}, [&view](const build::BuildEvent& event) { view.On(event); }));
  return workshop.builder->Lock(project.definition, project.directory, upgrade);
}

}  // namespace ingot::app
