// Which versions of secrets are needed, and what becomes of the others.
#include "app/daemon.h"
#include "app/signals.h"
#include "plan/secrets.h"

namespace ingot::app {

namespace {

std::string UsersOf(const Daemon::SecretUse& use) {
  std::string out;
  for (const uint64_t revision : use.revisions) out += (out.empty() ? "r" : ", r") + std::to_string(revision);
  if (use.otherwise) out += std::string(out.empty() ? "" : " and ") + "a run of a job or a webhook";
  return out;
}

}  // namespace

Result<Daemon::SecretUses> Daemon::FindUsesOfSecrets(rollout::Controller& controller,
                                                     const platform::EnvironmentId& environment) {
  SecretUses uses;
  const rollout::EnvironmentState* state = controller.State(environment);
  for (const rollout::RevisionPtr& revision : TRY(KeptRevisions(controller, environment)))
    for (const platform::SecretRef& ref : plan::SecretsOf(revision->resolved)) {
      SecretUse& use = uses[{ref.name, ref.version}];
      use.revisions.insert(revision->number);
      use.active |= state != nullptr && state->active == revision->number;
    }
  // By what counts follow is of the last definition applied, also where that made no revision.
  if (state != nullptr)
    for (const auto& [number, live] : state->live)
      for (const auto& [service, scale] : live.scales) {
        if (!scale.queue || scale.queue->source.secret.empty()) continue;
        SecretUse& use = uses[{scale.queue->source.secret, scale.queue->source.secret_version}];
        use.revisions.insert(number);
        use.active |= state->active == number;
      }
  for (const jobs::Run& run : jobs_->OpenRuns(environment))
    for (const platform::SecretRef& ref : run.spec.secrets) uses[{ref.name, ref.version}].otherwise = true;
  for (const observe::Subscriber& subscriber : TRY(notices_->Subscribers()))
    if (subscriber.environment == environment.Render() && !subscriber.to.secret.empty())
      uses[{subscriber.to.secret, subscriber.to.secret_version}].otherwise = true;
  return uses;
}

Result<Daemon::SecretUses> Daemon::UsesOfSecrets(const platform::EnvironmentId& environment) {
  return Ask([&](rollout::Controller& controller) { return FindUsesOfSecrets(controller, environment); });
}

Result<Daemon::RemovedSecrets> Daemon::RemoveSecret(const platform::EnvironmentId& environment,
                                                    const std::string& name, const std::string& version,
                                                    bool force) {
  RemovedSecrets removed;
  for (const secrets::Secret& secret : TRY(secrets_->List(environment)))
    for (const secrets::SecretVersion& one : secret.versions)
      if (secret.name == name && (version.empty() || one.version == version))
        removed.versions.push_back(one.version);
  if (removed.versions.empty())
    return Error(Code::kNotFound, "the secret " + name + " of " + environment.Render() + " has no " +
                                      (version.empty() ? "version" : "version " + version) +
                                      " here; `ingot secret ls` shows those that there are");
  // On the control thread, so that no apply comes to need one meanwhile.
  return Ask([&](rollout::Controller& controller) -> Result<RemovedSecrets> {
    const SecretUses uses = TRY(FindUsesOfSecrets(controller, environment));
    std::set<uint64_t> revisions;
    for (const std::string& one : removed.versions) {
      const auto use = uses.find({name, one});
      if (use == uses.end()) continue;
      revisions.insert(use->second.revisions.begin(), use->second.revisions.end());
      if (!force)
        return Error(Code::kRefused,
                     "version " + one + " of the secret " + name + " is needed by " + UsersOf(use->second) +
                         " of " + environment.Render() +
                         (use->second.active ? ", which serves; no instance of it could be started again"
                                             : "; nothing could go back to it") +
                         "; --force removes it all the same");
    }
    for (const std::string& one : removed.versions) {
      auto gone = secrets_->Remove(environment, {name, one});
      if (!gone && gone.error().code() != Code::kNotFound) return std::move(gone).error();
    }
    removed.revisions.assign(revisions.begin(), revisions.end());
    return removed;
  });
}

void Daemon::CollectSecrets() {
  const auto environments = secrets_->Environments();
  if (!environments) {
    LogToStderr("cannot look for secrets that nothing needs: " + environments.error().Render());
    return;
  }
  for (const platform::EnvironmentId& environment : *environments)
    if (auto collected = CollectSecrets(environment); !collected)
      LogToStderr("cannot remove secrets of " + environment.Render() +
                  " that nothing needs: " + collected.error().Render());
}

// A version is handed over some time before the revision that names it is accepted; so one that nothing needs
// goes at the second look only. The newest stays: `from: store` means it.
Result<void> Daemon::CollectSecrets(const platform::EnvironmentId& environment) {
  const std::vector<secrets::Secret> listed = TRY(secrets_->List(environment));
  auto& before = unneeded_secrets_[environment];
  const auto removed =
      TRY(Ask([&](rollout::Controller& controller) -> Result<std::vector<platform::SecretRef>> {
        const SecretUses uses = TRY(FindUsesOfSecrets(controller, environment));
        std::vector<platform::SecretRef> gone;
        std::remove_reference_t<decltype(before)> unneeded;
        for (const secrets::Secret& secret : listed) {
          for (size_t i = 1; i < secret.versions.size(); ++i) {
            const secrets::SecretVersion& one = secret.versions[i];
            if (!one.problem.empty() || uses.contains({secret.name, one.version})) continue;
            if (!before.contains({secret.name, one.version, one.order})) {
              unneeded.emplace(secret.name, one.version, one.order);
              continue;
            }
            TRY(secrets_->Remove(environment, {secret.name, one.version}));
            gone.push_back({secret.name, one.version});
          }
        }
        before = std::move(unneeded);
        return gone;
      }));
  std::vector<audit::Draft> drafts;
  for (const platform::SecretRef& ref : removed)
    drafts.push_back({"", environment.Render(), "secret.removed", "ingot",
                      JsonObject{{"secret", ref.name},
                                 {"version", ref.version},
                                 {"reason", "nothing has needed it any longer"}}});
  if (!drafts.empty()) TRY(events_->Append(std::move(drafts)));
  return {};
}

}  // namespace ingot::app
