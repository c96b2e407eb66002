#include "app/deployment.h"

#include <cstdlib>
#include <future>

#include "app/build_images.h"
#include "app/image_push.h"
#include "app/migration_scripts.h"
#include "app/remote_build.h"
#include "base/aead.h"
#include "definition/resolve.h"
#include "definition/unsupported.h"

namespace ingot::app {

namespace {

Result<std::string> ReadSecret(const Project& project, const std::string& name) {
  const definition::SecretSource& source = project.definition.secrets.at(name);
  if (source.kind == definition::SecretSource::Kind::kEnv) {
    const char* value = std::getenv(source.name.c_str());
    if (value == nullptr)
      return Error(Code::kNotFound, project.definition.Locate("secrets." + name) +
                                        ": the environment variable " + source.name + " is not set");
    return std::string(value);
  }
  auto bytes = ReadFile(project.directory / source.name, 1 << 20);
  if (!bytes) return std::move(bytes).error().While(project.definition.Locate("secrets." + name));
  return bytes;
}

}  // namespace

Result<void> RefuseUnsupported(const definition::Definition& definition, const std::string& environment) {
  std::string message;
  for (const auto& unsupported : definition::NotYetSupported(definition, environment)) {
    if (!message.empty()) message += "\n       ";
    message += definition::RenderUnsupported(definition, unsupported);
  }
  if (message.empty()) return {};
  return Error(Code::kInvalid, message);
}

Result<std::map<std::string, std::string>> SendSecrets(DaemonClient& client, const Project& project,
                                                       const std::string& environment,
                                                       const std::set<std::string>& names) {
  std::map<std::string, std::string> versions;
  for (const std::string& name : names) {
    const std::string target =
        EnvironmentPath(project.definition.project, environment, "/secrets/" + adapters::PercentEncode(name));
    const bool stored = project.definition.secrets.at(name).kind == definition::SecretSource::Kind::kStore;
    auto called = stored ? client.CallRaw("GET", target, "")
                         : client.CallRaw("PUT", target, SecretText(TRY(ReadSecret(project, name))).text());
    if (!called) return std::move(called).error().While(project.definition.Locate("secrets." + name));
    const std::string answer = std::move(*called);
    const Json json = TRY(ParseJson(answer));
    if (!json.is_object())
      return Error(Code::kInternal, "the daemon's answer about a secret is not an object");
    versions[name] = TRY(GetString(json.get_object(), "version"));
  }
  return versions;
}

namespace {

// In the store of the host that the environment is on; their digests by name.
Result<std::map<std::string, oci::Digest>> ProvideImages(const Invocation& invocation, DaemonClient& client,
                                                         const Project& project,
                                                         const std::set<std::string>& needed,
                                                         const BuildRequest& request,
                                                         const std::string& build_on) {
  const bool elsewhere = TRY(client.Remote()) != nullptr;
  const bool there = elsewhere && TRY(BuildsThere(build_on));
  std::map<std::string, oci::Digest> digests;
  for (const auto& [name, image] : TRY(there ? BuildThere(invocation, client, project, request)
                                             : BuildImages(invocation, project, request)))
    if (needed.contains(name)) digests.emplace(name, image.manifest);
  if (elsewhere && !there) TRY(PushImages(invocation, client, project.definition.project, digests));
  return digests;
}

}  // namespace

Result<Deployment> PrepareDeployment(const Invocation& invocation, DaemonClient& client,
                                     const DeploymentOptions& options) {
  Deployment deployment;
  deployment.project = TRY(LoadProject(invocation));
  const Project& project = deployment.project;
  const std::string& environment = invocation.environment;
  TRY(RefuseUnsupported(project.definition, environment));
  const LocalScripts scripts = TRY(ReadScripts(project.definition, project.directory));
  // git looks while the images are built: it is another process and needs no CPU of ours.
  std::future<Result<GitState>> git =
      std::async(std::launch::async, [directory = project.directory] { return LookAtGit(directory); });

  definition::ResolveInput input;
  input.environment = environment;
  input.allow_dirty = options.allow_dirty;
  BuildRequest request;
  const std::set<std::string> needed = TRY(definition::ImagesNeeded(project.definition, environment));
  request.images.assign(needed.begin(), needed.end());
  request.show_progress = !invocation.json;
  request.locked = options.locked;
  input.image_digests = TRY(ProvideImages(invocation, client, project, needed, request, options.build_on));
  input.secret_versions = TRY(SendSecrets(client, project, environment,
                                          TRY(definition::SecretsNeeded(project.definition, environment))));
  TRY(SendScripts(client, project.definition.project, environment, scripts));
  input.scripts = scripts.scripts;
  const GitState state = TRY(git.get());
  input.commit = state.commit;
  input.dirty = state.dirty;
  deployment.resolved = TRY(definition::Resolve(project.definition, input));
  return deployment;
}

}  // namespace ingot::app
