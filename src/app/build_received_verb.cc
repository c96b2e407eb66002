// ingot build-received FOLDER: what the daemon starts for a build that somebody on another host asked for.
// Nothing in the folder is trusted.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <mutex>

#include "app/build_images.h"
#include "app/build_json.h"
#include "app/build_paths.h"
#include "app/host_config.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

constexpr const char* kReceivedFile = "ingot.yaml";  // as messages call it

void SayLine(const Json& json) {
  std::fputs((RenderJson(json) + "\n").c_str(), stdout);
  std::fflush(stdout);
}

Result<definition::Definition> ReadDefinition(const JsonObject& document) {
  definition::Variables variables;
  for (const auto& variable : *TRY(GetObject(document, "variables"))) {
    if (!variable.value().is_string()) return Error(Code::kInvalid, "variables: expected text");
    variables.environment.emplace(std::string(variable.key()), std::string(variable.value().get_string()));
  }
  if (const std::string sha = StringOr(document, "git_sha", ""); !sha.empty()) variables.git_sha = sha;
  definition::Definition definition =
      TRY(definition::Parse(TRY(GetString(document, "definition")), kReceivedFile, variables));
  const std::string project = TRY(GetString(document, "project"));
  if (definition.project != project)
    return Error(Code::kInvalid, "the definition is of " + definition.project + ", not of " + project);
  return definition;
}

Result<BuildRequest> ReadRequest(const JsonObject& document, const definition::Definition& definition) {
  BuildRequest request;
  for (const Json& image : *TRY(GetArray(document, "images"))) {
    if (!image.is_string()) return Error(Code::kInvalid, "images: expected text");
    request.images.emplace_back(image.get_string());
    if (!definition.images.contains(request.images.back()))
      return Error(Code::kNotFound, "the definition has no image " + request.images.back());
  }
  request.locked = TRY(GetBool(document, "locked"));
  request.no_cache = TRY(GetBool(document, "no_cache"));
  const Json* epoch = document.if_contains("source_date_epoch_s");
  request.source_date_epoch_s = epoch != nullptr && epoch->is_int64() ? epoch->get_int64() : 0;
  return request;
}

Result<Json> BuildReceived(Invocation& invocation, const fs::path& folder) {
  const Json json = TRY(ParseJson(TRY(ReadFile(folder / "request.json", 64 << 20))));
  if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
  const JsonObject& document = json.get_object();
  if (TRY(GetInt(document, "version")) != 1)
    return Error(Code::kUnsupported, "the build was asked for by another version of ingot");
  Project project{TRY(ReadDefinition(document)), folder / "project"};
  BuildRequest request = TRY(ReadRequest(document, project.definition));
  // Before anything is read: a link of the client's could lead to files of this host.
  for (const auto& [name, image] : project.definition.images) {
    if (!image.build) continue;
    const auto paths = BuildPathsOf(project.definition, name);
    if (!paths) return paths.error();
    TRY(RefuseLinks(project.directory, paths->context));
    for (const std::string& path : paths->reads) TRY(RefuseLinks(project.directory, path));
  }
  TRY(RefuseLinks(project.directory, "ingot.lock"));
  if (const std::string lock = StringOr(document, "lock", ""); !lock.empty())
    TRY(TRY(build::LockFile::Parse(lock)).Save(project.directory));
  request.work = folder / "work";
  request.layouts = false;
  std::mutex mutex;
  const auto say = [&mutex](const Json& line) {
    const std::lock_guard lock(mutex);
    SayLine(line);
  };
  const auto built = TRY(BuildImages(
      invocation, project, request,
      [&](const build::BuildEvent& event) {
        say(JsonObject{{"event", ToJson(event)}});
      },
      [&](const std::string& note) {
        say(JsonObject{{"note", note}});
      }));
  JsonObject images;
  for (const auto& [name, image] : built) images[name] = ToJson(image);
  const build::LockFile lock = TRY(build::LockFile::Load(project.directory));
  return Json(JsonObject{{"images", std::move(images)},
                         {"lock", lock == build::LockFile{} ? Json(nullptr) : Json(lock.Render())}});
}

}  // namespace

void AddBuildReceived(CLI::App& app, Invocation& invocation) {
  auto folder = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, invocation, "build-received",
                           "build what another host has sent; of the daemon", [&invocation, folder] {
                             invocation.json = true;
                             auto built = BuildReceived(invocation, *folder);
                             if (!built) return Report(invocation, built.error());
                             SayLine(*built);
                             return static_cast<int>(kDone);
                           });
  verb->group("");
  AddHostOption(*verb, invocation);
  verb->add_option("folder", *folder, "that it was sent to")->required();
}

}  // namespace ingot::app
