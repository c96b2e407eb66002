#include "app/daemon.h"

#include <sys/prctl.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "adapters/crun_sandbox.h"
#include "app/host_config.h"
#include "app/secret_keys.h"
#include "app/signals.h"
#include "base/subprocess.h"
#include "store/quarantine.h"

namespace ingot::app {

namespace {

constexpr uint64_t kLogLimitBytes = uint64_t{64} << 20;
constexpr int kLogsKept = 3;
constexpr auto kLockOfTheFormer = std::chrono::seconds(1);
constexpr auto kHousekeeping = std::chrono::seconds(30);
constexpr auto kCertificates = std::chrono::seconds(1);
// Revisions whose images stay: the default of `policy.retention`, and the most that is looked at.
constexpr size_t kRevisionsKept = 10;
constexpr size_t kRevisionsLookedAt = 10'000;

platform::RootFs RootOf(const store::Store& store, const store::Image& image, const fs::path& objects) {
  platform::RootFs root;
  for (const store::Layer& layer : image.layers) root.layers.push_back(store.LayerPath(layer.id));
  root.objects = objects;
  return root;
}

// What a daemon was starting when it was killed holds its lock until it executes, which is soon: to be told
// apart from another daemon, which stays.
Result<FileLock> LockOut(const Layout& layout) {
  const auto deadline = std::chrono::steady_clock::now() + kLockOfTheFormer;
  for (;;) {
    auto lock = FileLock::Take(layout.daemon_lock(), /*wait=*/false);
    if (lock || lock.error().code() != Code::kConflict) return lock;
    if (std::chrono::steady_clock::now() > deadline)
      return Error(Code::kConflict,
                   "another daemon runs on " + layout.root.string() + "; `ingot status` shows it");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Not those of this daemon, which builds nothing itself.
adapters::CrunSandbox SandboxesOf(const Layout& layout) {
  return adapters::CrunSandbox({layout.run(), layout.key()});
}

void AddImages(const definition::Resolved& resolved, std::set<oci::Digest>& images) {
  for (const definition::ResolvedService& service : resolved.services) images.insert(service.image);
  for (const definition::ResolvedJob& job : resolved.jobs) images.insert(job.instance.image);
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::Open(const Layout& layout, const definition::Host& host,
                                             const std::function<Result<void>()>& before) {
  std::unique_ptr<Daemon> daemon(new Daemon(layout, host));
  if (auto wired = daemon->Wire(before); !wired) {
    // Its threads come last in Wire: there are none yet.
    if (daemon->fresh_)
      if (auto undone = daemon->RemoveFromHost(); !undone)
        LogToStderr("cannot undo what was made: " + undone.error().Render());
    return std::move(wired).error();
  }
  return daemon;
}

Result<void> Daemon::Wire(const std::function<Result<void>()>& before) {
  if (::geteuid() != 0)
    return Error(Code::kPermission, "the daemon mounts file systems and makes namespaces, so it needs root");
  TRY(MakeDirectories(layout_.root, 0711));
  TRY(MakeDirectories(layout_.run(), 0711));
  lock_ = std::make_unique<FileLock>(TRY(LockOut(layout_)));

  // Before anything is made that a daemon that cannot start would leave behind.
  for (const char* program : {"crun", "conmon", "haproxy"}) TRY(FindProgram(program));
  sockaddr_un longest{};
  if (layout_.socket().string().size() >= sizeof longest.sun_path)
    return Error(Code::kInvalid, "the path of the socket " + layout_.socket().string() +
                                     " is longer than the " + std::to_string(sizeof longest.sun_path - 1) +
                                     " bytes that the kernel allows; choose a shorter --root");

  TRY(before());

  opened_ = TRY(OpenStore(layout_));
  secrets_ = TRY(secrets::SecretStore::Open(SecretOptions(layout_), clock_));
  for (const std::string& problem : secrets_->problems()) LogToStderr("secrets: " + problem);
  scripts_ = std::make_unique<ScriptFiles>(TRY(ScriptFiles::Open(layout_.scripts())));
  tokens_ = TRY(ApiTokens::Open(layout_.tokens(), clock_));
  events_ = TRY(adapters::SqliteEvents::Open(layout_.state_db(), clock_));
  notices_ = TRY(Notices::Start(layout_, *events_, *secrets_, clock_));
  journal_ = TRY(adapters::SqliteJournal::Open(layout_.state_db()));
  job_journal_ = TRY(adapters::SqliteJobs::Open(layout_.state_db()));
  if (auto swept = SandboxesOf(layout_).Sweep(); !swept)
    LogToStderr("cannot remove what builds have left: " + swept.error().Render());
  fresh_ = !adapters::LinuxNetwork::IsThere(layout_.run());
  network_ = TRY(adapters::LinuxNetwork::Open({.run_dir = layout_.run()}));
  adapters::HaproxyOptions haproxy;
  haproxy.directory = layout_.run() / "router";
  haproxy.root_key = layout_.key();
  haproxy.router_namespace = network_->router_namespace();
  edge_files_.Load();
  haproxy.edge = edge_files_.Options();
  *edge_.lock() = edge_files_.Edge();
  *file_names_.lock() = edge_files_.Edge().certificates.value_or(std::vector<std::string>());
  TRY(OpenAcme());
  haproxy.edge.certificates = CertificatePems();
  SayEdgeProblems();
  router_ = TRY(adapters::HaproxyRouter::Open(haproxy));
  adapters::IdRanges::Options ids;
  ids.root_key = layout_.key();
  ids.root = layout_.root;
  ids_ = std::make_unique<adapters::IdRanges>(ids);
  volumes_ = TRY(adapters::Volumes::Open(layout_.volumes()));

  adapters::CrunRuntime::Options runtime;
  runtime.run_dir = layout_.run();
  runtime.log_dir = layout_.logs();
  runtime.root_key = layout_.key();
  runtime.on_exit = [this](const platform::InstanceId& id) { OnExit(id); };
  runtime_ = TRY(adapters::CrunRuntime::Open(std::move(runtime)));

  adapters::LocalPlatform::Options platform;
  platform.run_dir = layout_.run();
  platform.artifacts_dir = layout_.artifacts();
  platform.image = [this](const oci::Digest& digest) -> Result<adapters::RunnableImage> {
    TRY(store::RequireWhole(*opened_.store, digest));
    store::Image image = TRY(opened_.store->GetImage(digest));
    return adapters::RunnableImage{RootOf(*opened_.store, image, layout_.objects()), std::move(image.config)};
  };
  platform.secret = [this](const platform::EnvironmentId& environment, const platform::SecretRef& ref) {
    return secrets_->Get(environment, ref);
  };
  platform.volumes = volumes_.get();
  platform.on_change = [this] { Poke(); };
  auto opened = adapters::LocalPlatform::Open(std::move(platform), *runtime_, *network_, *router_, *ids_);
  SetExitTarget(opened ? opened->get() : nullptr);
  platform_ = TRY(std::move(opened));
  migrator_ = std::make_unique<DatabaseMigrator>(*secrets_, *scripts_, clock_, CommandsOfMigrations(),
                                                 [this] { Poke(); });
  checks_ = std::make_unique<Checks>(*secrets_, clock_, [this] { Poke(); });
  controller_ = TRY(rollout::Controller::Open(*platform_, *journal_, *events_, clock_, edge(),
                                              migrator_.get(), &checks_->checker()));
  jobs_ = TRY(jobs::Controller::Open(
      *platform_, *job_journal_, *events_, clock_,
      [this](const std::vector<platform::InstanceId>& instances) { return ForgetRuns(instances); }));
  control_ = std::thread([this] { ControlLoop(); });
  housekeeping_ = std::thread([this] { HousekeepingLoop(); });
  collector_ = std::thread([this] { CollectorLoop(); });
  scaler_ = std::thread([this] { ScaleLoop(); });
  if (acme_) acme_->Start();
  return {};
}

Daemon::~Daemon() {
  if (volumes_ != nullptr) volumes_->Interrupt();
  EndAcme();
  EndScaling();
  if (migrator_) migrator_->EndCommands();
  queue_.lock()->closing = true;
  queue_changed_.notify_all();
  changed_.notify_all();
  if (control_.joinable()) control_.join();
  if (housekeeping_.joinable()) housekeeping_.join();
  if (collector_.joinable()) collector_.join();
  jobs_.reset();
  controller_.reset();
  migrator_.reset();
  checks_.reset();
  // The platform's threads call the runtime, and the runtime's watch calls the platform: first the watch is
  // cut off, then the threads end, then the runtime.
  SetExitTarget(nullptr);
  platform_.reset();
}

void Daemon::SetExitTarget(adapters::LocalPlatform* platform) {
  auto target = exit_target_.lock();
  target->platform = platform;
  target->decided = true;
  exit_target_decided_.notify_all();
}

void Daemon::OnExit(const platform::InstanceId& instance) {
  auto target = exit_target_.lock();
  while (!target->decided) target.Wait(exit_target_decided_);
  if (target->platform != nullptr) target->platform->OnExit(instance);
}

void Daemon::Enqueue(Task task) {
  queue_.lock()->tasks.push_back(std::move(task));
  queue_changed_.notify_all();
}

void Daemon::Poke() {
  queue_.lock()->poked = true;
  queue_changed_.notify_all();
}

void Daemon::ControlLoop() {
  ::prctl(PR_SET_NAME, "control");  // by which tests and a curious administrator (top -H) find it
  auto due = clock_.Steady();
  while (true) {
    std::deque<Task> tasks;
    bool tick = false;
    {
      auto queue = queue_.lock();
      while (queue->tasks.empty() && !queue->poked && !queue->closing && clock_.Steady() < due)
        queue.WaitFor(queue_changed_, due - clock_.Steady());
      // Work that somebody waits for is finished even while closing.
      if (queue->closing && queue->tasks.empty()) return;
      tasks.swap(queue->tasks);
      tick = std::exchange(queue->poked, false);
    }
    for (Task& task : tasks) {
      task.work(*controller_);
      tick |= task.acts;
    }
    if (!tick && clock_.Steady() < due) continue;
    due = clock_.Steady() + controller_->Tick();
    due = std::min<SteadyTime>(due, clock_.Steady() + TickJobs());
    NoteProofs();
    ++*changes_.lock();
    changed_.notify_all();
    notices_->notifier().Poke();
  }
}

uint64_t Daemon::WaitForChange(uint64_t seen, Milliseconds timeout) {
  auto changes = changes_.lock();
  const auto until = clock_.Steady() + timeout;
  while (*changes == seen) {
    const auto left = until - clock_.Steady();
    if (left <= SteadyTime::duration::zero()) break;
    changes.WaitFor(changed_, left);
  }
  return *changes;
}

void Daemon::HousekeepingLoop() {
  auto due = clock_.Steady() + kHousekeeping;
  while (true) {
    std::vector<store::Proof> proofs;
    {
      auto queue = queue_.lock();
      const auto wake = std::min<SteadyTime>(due, clock_.Steady() + kCertificates);
      while (!queue->closing && queue->proofs.empty() && clock_.Steady() < wake)
        queue.WaitFor(queue_changed_, wake - clock_.Steady());
      // What has been proven is recorded even while closing.
      if (queue->closing && queue->proofs.empty()) return;
      proofs.swap(queue->proofs);
    }
    if (!proofs.empty()) {
      if (auto recorded = RecordProofs(proofs); !recorded)
        LogToStderr("cannot record what has been proven: " + recorded.error().Render());
      continue;
    }
    RefreshCertificates();
    if (clock_.Steady() < due) continue;
    due = clock_.Steady() + kHousekeeping;
    // A failure (a full disk) is met again at the next turn; the log itself is never lost by it.
    static_cast<void>(runtime_->RotateLogs(kLogLimitBytes, kLogsKept).has_value());
    SweepForgotten();
  }
}

void Daemon::SayEdgeProblems() {
  for (const std::string& problem : edge_files_.TakeProblems()) {
    LogToStderr(problem);
    if (auto put =
            events_->Append({{"", "", "certificate.refused", "ingot", JsonObject{{"reason", problem}}}});
        !put)
      LogToStderr("cannot record certificate.refused: " + put.error().Render());
  }
}

Result<void> Daemon::OpenAcme() {
  const auto& acme = edge_files_.host().router.acme;
  if (!acme) return {};
  AcmeService::Parts parts{*acme,
                           acme->ca.empty() ? fs::path() : HostFile(edge_files_.host(), acme->ca),
                           layout_.acme(),
                           clock_,
                           *events_,
                           [this] { return NamesToIssue(); },
                           [this](const std::map<std::string, std::string>& challenges) {
                             return router_->SetChallenges(challenges);
                           },
                           [this] { issued_changed_ = true; }};
  acme_ = TRY(AcmeService::Open(std::move(parts)));
  return {};
}

void Daemon::EndAcme() {
  if (acme_) acme_->Stop();
}

std::vector<std::string> Daemon::CertificatePems() const {
  std::vector<std::string> out = edge_files_.Pems();
  if (!acme_) return out;
  for (std::string& pem : acme_->Pems()) out.push_back(std::move(pem));
  return out;
}

Result<std::set<std::string>> Daemon::NamesToIssue() {
  auto names = TRY(Ask([](rollout::Controller& controller) -> Result<std::set<std::string>> {
    std::set<std::string> all;
    for (const platform::EnvironmentId& environment : controller.Environments()) {
      const rollout::EnvironmentState* state = controller.State(environment);
      if (state == nullptr) continue;
      for (const auto& [number, live] : state->live)
        if (live.role == rollout::Role::kActive || live.role == rollout::Role::kCandidate)
          for (const auto& route : state->RevisionOf(number).resolved.routes)
            if (route.tls && !route.host.empty()) all.insert(route.host);
    }
    return all;
  }));
  const std::vector<std::string> files = *file_names_.lock();
  plan::HostEdge edge;
  edge.acme = edge_files_.host().router.acme->domains;
  std::erase_if(names, [&](const std::string& name) {
    return plan::Covers(files, name) || !plan::IsIssued(edge, name);
  });
  return names;
}

void Daemon::RefreshCertificates() {
  const bool files = edge_files_.Refresh();
  if (files || issued_changed_.exchange(false)) certificates_due_ = true;
  SayEdgeProblems();
  if (!certificates_due_) return;
  auto set = router_->SetCertificates(CertificatePems());
  certificates_due_ = false;
  const std::string outcome = set ? "" : set.error().Render();
  // One that HAProxy refuses is not tried again; what could not be said to it is.
  if (!set && set.error().code() != Code::kFailed) certificates_due_ = true;
  *edge_.lock() = edge_files_.Edge();
  *file_names_.lock() = edge_files_.Edge().certificates.value_or(std::vector<std::string>());
  if (set && !files) return;  // who got it from an authority has said so
  JsonObject detail;
  if (!set) detail["reason"] = outcome;
  if (!set) LogToStderr("certificates: " + outcome);
  if (auto put = events_->Append(
          {{"", "", set ? "certificate.renewed" : "certificate.refused", "ingot", std::move(detail)}});
      !put)
    LogToStderr("cannot record a change of certificates: " + put.error().Render());
}

Result<std::vector<rollout::RevisionPtr>> Daemon::KeptRevisions(rollout::Controller& controller,
                                                                const platform::EnvironmentId& environment) {
  // What the project's last build said of retention.
  size_t keep = kRevisionsKept;
  std::optional<WallTime> young;
  TRY(opened_.store->catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    for (const store::ProjectRetention& retention : TRY(rows.ListProjectRetention())) {
      if (retention.project != environment.project()) continue;
      if (retention.keep) keep = static_cast<size_t>(*retention.keep);
      if (retention.keep_for) young = clock_.Now() - *retention.keep_for;
    }
    return {};
  }));
  std::vector<rollout::RevisionPtr> kept;
  const size_t looked_at = young ? kRevisionsLookedAt : keep;
  size_t newer = 0;
  for (plan::Revision& revision : TRY(journal_->ReadRevisions(environment, looked_at))) {
    if (newer++ >= keep && !(young && revision.created >= *young)) continue;
    kept.push_back(std::make_shared<const plan::Revision>(std::move(revision)));
  }
  if (const rollout::EnvironmentState* state = controller.State(environment); state != nullptr)
    for (const auto& [number, revision] : state->revisions) kept.push_back(revision);
  return kept;
}

Result<void> Daemon::Pin(const platform::EnvironmentId& environment, const definition::Resolved* next) {
  std::set<oci::Digest> images =
      TRY(Ask([&](rollout::Controller& controller) -> Result<std::set<oci::Digest>> {
        std::set<oci::Digest> kept;
        for (const rollout::RevisionPtr& revision : TRY(KeptRevisions(controller, environment)))
          AddImages(revision->resolved, kept);
        for (const jobs::Run& run : jobs_->OpenRuns(environment)) kept.insert(run.spec.image);
        return kept;
      }));
  if (next != nullptr) AddImages(*next, images);
  return opened_.store->Pin(environment.Render(), images);
}

Result<std::optional<uint64_t>> Daemon::RevisionWithVolume(const platform::EnvironmentId& environment,
                                                           const std::string& volume) {
  return Ask([&](rollout::Controller& controller) -> Result<std::optional<uint64_t>> {
    std::optional<uint64_t> newest;
    for (const rollout::RevisionPtr& revision : TRY(KeptRevisions(controller, environment)))
      for (const definition::ResolvedService& service : revision->resolved.services)
        for (const definition::ResolvedVolume& one : service.volumes)
          if (one.name == volume) newest = std::max(newest.value_or(0), revision->number);
    return newest;
  });
}

Result<void> Daemon::Teardown() {
  const bool empty = Ask([this](rollout::Controller& controller) {
    for (const platform::EnvironmentId& environment : controller.Environments())
      if (const auto* state = controller.State(environment);
          state != nullptr && (state->active || state->rollout || !jobs_->OpenRuns(environment).empty()))
        return false;
    return true;
  });
  if (!empty)
    return Error(Code::kRefused, "there are environments that still run; `ingot destroy` them first");
  EndAcme();
  EndScaling();
  if (migrator_) migrator_->EndCommands();
  queue_.lock()->closing = true;
  queue_changed_.notify_all();
  control_.join();
  housekeeping_.join();
  collector_.join();
  return RemoveFromHost();
}

Result<void> Daemon::Undo() {
  if (!fresh_) return {};
  auto torn = Teardown();
  if (!torn && torn.error().code() == Code::kRefused) return {};
  return torn;
}

Result<void> Daemon::RemoveFromHost() {
  jobs_.reset();
  controller_.reset();
  migrator_.reset();
  checks_.reset();
  SetExitTarget(nullptr);
  platform_.reset();
  runtime_.reset();
  if (router_) TRY(router_->Destroy());
  router_.reset();
  network_.reset();
  adapters::CrunRuntime::Options runtime;
  runtime.run_dir = layout_.run();
  runtime.log_dir = layout_.logs();
  runtime.root_key = layout_.key();
  TRY(adapters::CrunRuntime::Teardown(runtime));
  TRY(adapters::LinuxNetwork::Teardown(layout_.run()));
  TRY(SandboxesOf(layout_).Sweep());
  return ids_ ? ids_->KeepOnly({}) : Result<void>();
}

}  // namespace ingot::app
