// The daemon: every part wired together, one control thread that owns the Controller, and the API.
//
// Instances, HAProxy and the network outlive it; a new daemon with the same root finds them again.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "adapters/crun_runtime.h"
#include "adapters/haproxy.h"
#include "adapters/id_ranges.h"
#include "adapters/linux_network.h"
#include "adapters/local_platform.h"
#include "adapters/sqlite_events.h"
#include "adapters/sqlite_jobs.h"
#include "adapters/sqlite_journal.h"
#include "adapters/volumes.h"
#include "app/acme_service.h"
#include "app/api_tokens.h"
#include "app/checks.h"
#include "app/database_migrator.h"
#include "app/host_edge.h"
#include "app/layout.h"
#include "app/notices.h"
#include "app/open_store.h"
#include "base/sync.h"
#include "jobs/controller.h"
#include "rollout/controller.h"
#include "secrets/secret_store.h"

namespace ingot::app {

class Daemon {
 public:
  // Wires everything and resumes what the journal says. kConflict when another daemon has this root. `before`
  // is called once this daemon has the root and nothing is made on the host yet; its error is Open's. When
  // Open fails, what it has made on the host is undone.
  static Result<std::unique_ptr<Daemon>> Open(const Layout& layout, const definition::Host& host,
                                              const std::function<Result<void>()>& before);
  // Ends its threads; what runs goes on.
  ~Daemon();

  // Runs `work` on the control thread and returns its value. Any thread but that one. Act is followed by a
  // Tick; Ask only looks, so that somebody who waits for a change does not make one.
  template <typename Work>
  auto Act(Work work) -> decltype(work(std::declval<rollout::Controller&>())) {
    return Run(std::move(work), true);
  }
  template <typename Work>
  auto Ask(Work work) -> decltype(work(std::declval<rollout::Controller&>())) {
    return Run(std::move(work), false);
  }

  // The same for runs of jobs; on the same thread.
  template <typename Work>
  auto ActOnJobs(Work work) {
    return Run([this, work = std::move(work)](
                   rollout::Controller& controller) mutable { return work(*jobs_, controller); },
               true);
  }
  template <typename Work>
  auto AskJobs(Work work) {
    return Run([this, work = std::move(work)](
                   rollout::Controller& controller) mutable { return work(*jobs_, controller); },
               false);
  }

  // Blocks until something has happened since `seen` (a number from a former call; 0 at first) or the time is
  // over; returns the present number.
  uint64_t WaitForChange(uint64_t seen, Milliseconds timeout);

  const Layout& layout() const { return layout_; }
  store::Store& store() { return *opened_.store; }
  audit::Sink& events() { return *events_; }
  observe::Notifier& notifier() { return notices_->notifier(); }
  secrets::SecretStore& secrets() { return *secrets_; }
  // Who needs a version of a secret, and why it must not go.
  struct SecretUse {
    std::set<uint64_t> revisions;  // kept ones
    bool active = false;           // among them that which serves
    bool otherwise = false;        // a run of a job, or a webhook
    bool Any() const { return !revisions.empty() || otherwise; }
  };
  using SecretUses = std::map<std::pair<std::string, std::string>, SecretUse>;  // by name and version
  // daemon_secrets.cc
  Result<SecretUses> UsesOfSecrets(const platform::EnvironmentId& environment);
  struct RemovedSecrets {
    std::vector<std::string> versions;
    std::vector<uint64_t> revisions;  // that needed them
  };
  // Removes a version, or every one when it is empty. kRefused, naming them: kept revisions, runs or webhooks
  // need it and `force` is not set.
  Result<RemovedSecrets> RemoveSecret(const platform::EnvironmentId& environment, const std::string& name,
                                      const std::string& version, bool force);
  const ScriptFiles& scripts() const { return *scripts_; }
  ApiTokens& tokens() { return *tokens_; }
  adapters::Volumes& volumes() { return *volumes_; }
  // The newest kept revision of which a service has the volume (as the definition names it); unset: none.
  Result<std::optional<uint64_t>> RevisionWithVolume(const platform::EnvironmentId& environment,
                                                     const std::string& volume);
  DatabaseMigrator& migrator() { return *migrator_; }
  adapters::HaproxyRouter& router() { return *router_; }
  // Images that may be started again: kept from collection until Pin is called anew for the environment.
  Result<void> Pin(const platform::EnvironmentId& environment, const definition::Resolved* next);

  // Certificates of an authority; empty when none is asked.
  std::vector<IssuedName> issued() const { return acme_ ? acme_->Names() : std::vector<IssuedName>(); }

  // How the outside reaches this host, with the certificates of now.
  // host.yaml as it was when the daemon started.
  const definition::Host& host() const { return edge_files_.host(); }
  plan::HostEdge edge() { return *edge_.lock(); }

  // Removes every namespace, mount and process of this root. Every environment must have been destroyed.
  Result<void> Teardown();
  // Teardown for a daemon that cannot go on, if there was nothing on the host before it and nothing is to
  // run; else nothing is done.
  Result<void> Undo();

 private:
  struct Task {
    std::function<void(rollout::Controller&)> work;
    bool acts = false;
  };
  struct Queue {
    std::deque<Task> tasks;
    bool poked = false;
    bool closing = false;
    bool scaling_ends = false;
    std::vector<store::Proof> proofs;  // to be recorded
  };

  template <typename Work>
  auto Run(Work work, bool acts) -> decltype(work(std::declval<rollout::Controller&>())) {
    using Value = decltype(work(std::declval<rollout::Controller&>()));
    // shared: std::function asks for a copyable target.
    auto task = std::make_shared<std::packaged_task<Value(rollout::Controller&)>>(std::move(work));
    std::future<Value> value = task->get_future();
    Enqueue({[task](rollout::Controller& controller) { (*task)(controller); }, acts});
    return value.get();
  }

  Daemon(Layout layout, const definition::Host& host) : layout_(std::move(layout)), edge_files_(host) {}
  Result<void> Wire(const std::function<Result<void>()>& before);
  // The end of Teardown: nobody uses the parts any more.
  Result<void> RemoveFromHost();
  // Those that a rollback may lead to, and those that live. On the control thread.
  Result<std::vector<rollout::RevisionPtr>> KeptRevisions(rollout::Controller& controller,
                                                          const platform::EnvironmentId& environment);
  void Enqueue(Task task);
  void Poke();
  void ControlLoop();
  void HousekeepingLoop();
  // Gives certificates that were renewed to the router. Of the housekeeping thread.
  void RefreshCertificates();
  void SayEdgeProblems();
  Result<void> OpenAcme();
  // Those of files, then those of an authority.
  std::vector<std::string> CertificatePems() const;
  // Names of routes with TLS that live, and that no file has.
  Result<std::set<std::string>> NamesToIssue();
  // Before the control thread ends, which it asks.
  void EndAcme();
  // daemon_collect.cc: what the store needs now and then, on a thread of its own.
  void CollectorLoop();
  // daemon_scale.cc: counts that follow the load, on a thread of its own.
  void ScaleLoop();
  // Before the control thread ends, which the loop asks.
  void EndScaling();
  void Collect();
  // Versions of secrets that nothing has needed since the last time either. Of the collector's thread.
  void CollectSecrets();
  Result<void> CollectSecrets(const platform::EnvironmentId& environment);
  // On the control thread.
  Result<SecretUses> FindUsesOfSecrets(rollout::Controller& controller,
                                       const platform::EnvironmentId& environment);
  void WatchDisk();
  // daemon_jobs.cc: runs of jobs that migrations of a rollout consist of.
  MigrationCommands CommandsOfMigrations();
  // On the control thread, after the controller of rollouts.
  Milliseconds TickJobs();
  // Removes logs, and puts artifacts where SweepForgotten, on the housekeeping thread, finds them.
  Result<void> ForgetRuns(const std::vector<platform::InstanceId>& instances);
  void SweepForgotten();
  // On the control thread: notes what has carried traffic since the last look.
  void NoteProofs();
  Result<void> RecordProofs(const std::vector<store::Proof>& proofs);

  Layout layout_;
  std::unique_ptr<FileLock> lock_;
  bool fresh_ = false;  // nothing of this root was on the host
  SystemClock clock_;
  OpenedStore opened_;
  std::unique_ptr<secrets::SecretStore> secrets_;
  std::unique_ptr<ScriptFiles> scripts_;
  std::unique_ptr<ApiTokens> tokens_;
  std::unique_ptr<adapters::SqliteEvents> events_;
  std::unique_ptr<Notices> notices_;
  std::unique_ptr<adapters::SqliteJournal> journal_;
  std::unique_ptr<adapters::SqliteJobs> job_journal_;
  std::unique_ptr<adapters::LinuxNetwork> network_;
  std::unique_ptr<adapters::HaproxyRouter> router_;
  std::unique_ptr<adapters::IdRanges> ids_;
  std::unique_ptr<adapters::Volumes> volumes_;
  // Where the runtime's watch reports an exit: it waits until the platform exists, and drops it once it is
  // gone.
  struct ExitTarget {
    adapters::LocalPlatform* platform = nullptr;
    bool decided = false;
  };
  void SetExitTarget(adapters::LocalPlatform* platform);
  void OnExit(const platform::InstanceId& instance);
  Sync<ExitTarget> exit_target_;
  std::condition_variable exit_target_decided_;
  std::unique_ptr<adapters::CrunRuntime> runtime_;
  std::unique_ptr<adapters::LocalPlatform> platform_;
  std::unique_ptr<DatabaseMigrator> migrator_;
  std::unique_ptr<Checks> checks_;
  std::unique_ptr<rollout::Controller> controller_;
  std::unique_ptr<jobs::Controller> jobs_;
  Sync<Queue> queue_;
  std::condition_variable queue_changed_;
  Sync<uint64_t> changes_{1};
  std::condition_variable changed_;
  HostEdgeFiles edge_files_;       // of Wire, then of the housekeeping thread
  bool certificates_due_ = false;  // the router does not have the present ones
  std::atomic<bool> issued_changed_{false};
  std::unique_ptr<AcmeService> acme_;
  // What files have, for the thread that asks an authority for the rest.
  Sync<std::vector<std::string>> file_names_;
  Sync<plan::HostEdge> edge_;
  std::thread control_;
  std::thread housekeeping_;
  std::thread collector_;
  std::thread scaler_;
  std::map<platform::EnvironmentId, uint64_t> proven_;  // active revisions; of the control thread
  // Versions with their order that nothing needed when it was last looked; of the collector's thread.
  std::map<platform::EnvironmentId, std::set<std::tuple<std::string, std::string, uint64_t>>>
      unneeded_secrets_;
  bool disk_warned_ = false;  // of the collector's thread
};

}  // namespace ingot::app
