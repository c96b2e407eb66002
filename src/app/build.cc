#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>

#include "app/build_images.h"
#include "app/daemon_client.h"
#include "app/remote_build.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

int Build(Invocation& invocation, BuildRequest request, const std::string& build_on) {
  const auto begin = std::chrono::steady_clock::now();
  auto project = LoadProject(invocation);
  if (!project) return Report(invocation, project.error());
  request.show_progress = !invocation.json;
  DaemonClient client(invocation);
  auto remote = client.Remote();
  if (!remote) return Report(invocation, remote.error());
  auto there = *remote == nullptr ? Result<bool>(false) : BuildsThere(build_on);
  if (!there) return Report(invocation, there.error());
  auto built =
      *there ? BuildThere(invocation, client, *project, request) : BuildImages(invocation, *project, request);
  if (!built) return ReportBuild(invocation, built.error());
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  if (invocation.json) {
    JsonObject images;
    for (const auto& [name, image] : *built)
      images[name] = JsonObject{{"digest", image.manifest.Render()},
                                {"golden", image.golden},
                                {"cached", image.cached},
                                {"steps", image.steps},
                                {"cached_steps", image.cached_steps},
                                {"build_ms", image.took.count()}};
    PrintJson(JsonObject{{"images", std::move(images)}, {"build_ms", static_cast<int64_t>(ms)}});
    return kDone;
  }
  std::printf("%zu images golden in %s\n", built->size(), RenderElapsed(ms).c_str());
  return kDone;
}

}  // namespace

void AddBuild(CLI::App& app, Invocation& invocation) {
  auto request = std::make_shared<BuildRequest>();
  auto build_on = std::make_shared<std::string>();
  CLI::App* verb =
      AddVerb(app, invocation, "build", "build and test the images of the definition",
              [&invocation, request, build_on] { return Build(invocation, *request, *build_on); });
  AddProjectOptions(*verb, invocation);
  verb->add_option("image", request->images, "images to build (default: all)");
  verb->add_flag("--no-cache", request->no_cache, "run every step again");
  verb->add_option(
          "--build-on", *build_on,
          "of an environment on another host, where: here or host (default: here as root, else host)")
      ->type_name("PLACE");
  verb->add_flag("--locked", request->locked, "refuse what ingot.lock does not pin");
  verb->footer("An image that fails its tests is not golden, and only golden images can be deployed.");
}

}  // namespace ingot::app
