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

// Whether an environment deploys only what is promoted from one on another host. What was proven there is
// what is deployed: to build it again could make another image of it.
bool FollowsAnotherHost(const definition::Definition& definition, const std::string& environment) {
  const auto found = definition.environments.find(environment);
  if (found == definition.environments.end() || found->second.promote_from.empty()) return false;
  const auto from = definition.environments.find(found->second.promote_from);
  return from != definition.environments.end() && from->second.host != found->second.host;
}

// Those that the environment's channels hold; what is only pulled is pulled there by its pinned digest.
Result<std::map<std::string, oci::Digest>> PromotedImages(const Invocation& invocation, DaemonClient& client,
                                                          const Project& project,
                                                          const std::set<std::string>& needed,
                                                          BuildRequest request) {
  const definition::Definition& definition = project.definition;
  const Json answer =
      TRY(client.Call("GET", EnvironmentPath(definition.project, invocation.environment, "/channels")));
  if (!answer.is_object()) return Error(Code::kInternal, "the host's answer about channels is not an object");
  const JsonObject& channels = *TRY(GetObject(answer.get_object(), "channels"));
  std::map<std::string, oci::Digest> digests;
  request.images.clear();
  for (const std::string& name : needed) {
    if (const std::string held = StringOr(channels, name, ""); !held.empty())
      digests.emplace(name, TRY(oci::Digest::Parse(held)));
    else if (!definition.images.at(name).image.empty())
      request.images.push_back(name);
    else
      return Error(Code::kRefused,
                   invocation.environment + " deploys only what its channels hold, and that is no " + name +
                       " yet; missing: `ingot promote " + name + " --to " + invocation.environment + "`");
  }
  if (request.images.empty()) return digests;
  for (const auto& [name, image] : TRY(BuildThere(invocation, client, project, request)))
    if (needed.contains(name)) digests.emplace(name, image.manifest);
  return digests;
}

// In the store of the host that the environment is on; their digests by name.
Result<std::map<std::string, oci::Digest>> ProvideImages(const Invocation& invocation, DaemonClient& client,
                                                         const Project& project,
                                                         const std::set<std::string>& needed,
                                                         const BuildRequest& request,
                                                         const std::string& build_on) {
  const bool elsewhere = TRY(client.Remote()) != nullptr;
  if (elsewhere && FollowsAnotherHost(project.definition, invocation.environment))
    return PromotedImages(invocation, client, project, needed, request);
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
