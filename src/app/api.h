// The daemon's HTTP API, version 1: docs/formats/api.md. Requests in, the daemon's answers out; nothing here
// decides.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/http_server.h"
#include "app/daemon.h"
#include "app/host_certificates.h"
#include "app/log_files.h"

namespace ingot::app {

class Api {
 public:
  // `shut_down` is called (once, on a connection's thread) when a client asked for the host to be given up.
  Api(Daemon& daemon, std::function<void()> shut_down)
      : daemon_(daemon), shut_down_(std::move(shut_down)), certificates_(daemon.host()) {}

  // Requests whose body comes as a stream: those that carry files (api_images.cc, api_builds.cc).
  static bool StreamsBody(const adapters::HttpRequest& request);
  // An HttpHandler: safe from several threads.
  void Handle(const adapters::HttpRequest& request, adapters::HttpReply& reply);

 private:
  using Request = adapters::HttpRequest;
  using Reply = adapters::HttpReply;
  using Environment = platform::EnvironmentId;

  Result<Json> Route(const Request& request, Reply& reply, bool& streamed);
  Result<Json> Host(const Request& request, Reply& reply, const std::vector<std::string>& path,
                    bool& streamed);
  Result<Json> InEnvironment(const Request& request, Reply& reply, const Environment& environment,
                             const std::string& what, const std::string& name, bool& streamed);

  Result<Json> StatusOf(const Request& request, const Environment& environment);
  // What a status does not know by itself: the router's and the host's outer side.
  void AddOutsideView(Json& status, const Request& request, const Environment& environment);
  Result<void> Permitted(const Request& request, const Environment& environment, const std::string& what);

  // api_tokens_verbs.cc
  Result<Json> Tokens(const Request& request, const std::string& name);

  // api_rollouts.cc
  Result<Json> Plan(const Request& request, const Environment& environment);
  Result<Json> Apply(const Request& request, Reply& reply, const Environment& environment, bool& streamed);
  // `planned_against`: the revision that was active when the plan was made (0: none). kConflict when another
  // one is by now.
  Result<rollout::Accepted> Submit(const rollout::Command& command, bool wait_turn,
                                   std::optional<uint64_t> planned_against = std::nullopt,
                                   const std::function<bool()>& gone = {});
  // Submits and answers as the request wants it: at once, with `wait` once traffic has moved or will not,
  // with `stream` the events until then as JSON lines.
  Result<Json> Change(const rollout::Command& command, const Request& request, Reply& reply, bool& streamed);
  Result<definition::Resolved> ReadResolved(const Request& request, const Environment& environment);
  Result<plan::Plan> MakePlan(const definition::Resolved& resolved, const Environment& environment);
  Result<Json> DestroyEnvironment(const Request& request, const Environment& environment);

  // Returns the rollout's record once it has settled; `on_change` is called whenever something may have
  // happened.
  Result<Json> WaitForOutcome(const Environment& environment, uint64_t rollout,
                              const std::function<Result<void>()>& on_change);
  Result<void> StreamOutcome(const Environment& environment, const rollout::Accepted& accepted,
                             uint64_t after, Reply& reply);

  // api_migrations.cc
  Result<Json> PutScript(const Request& request, const std::string& name);
  std::vector<plan::MigrationPlan> PlanMigrations(
      const Environment& environment, const std::vector<definition::ResolvedMigration>& migrations);
  Result<std::vector<definition::ResolvedMigration>> ReadMigrations(const Request& request,
                                                                    const Environment& environment);
  Result<Json> MigrationStatus(const Request& request, const Environment& environment);
  Result<Json> RunMigrations(const Request& request, const Environment& environment);

  // api_secrets.cc
  Result<Json> SecretVerbs(const Request& request, const Environment& environment, const std::string& name);
  Result<Json> RotateSecretsKey(const Request& request);

  // api_volumes.cc
  Result<Json> VolumeVerbs(const Request& request, const Environment& environment, const std::string& name);

  // One of so many that are at something at once, while it lives.
  class Turn {
   public:
    // kUnavailable.
    static Result<Turn> Take(std::atomic<int>& count, int most);
    Turn(Turn&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (count_ != nullptr) --*count_;
    }

   private:
    explicit Turn(std::atomic<int>& count) : count_(&count) {}
    std::atomic<int>* count_;
  };
  // api_images.cc
  Result<Json> LackingImages(const Request& request);
  Result<Json> LackingObjects(const Request& request);
  Result<Json> ReceiveImages(const Request& request, const Environment& environment);

  // api_promotions.cc
  Result<Json> DescribeImage(const Request& request, const Environment& environment);
  // `what`: "tree", "blob" or "read"; answers with bytes.
  Result<void> ReadImage(const Request& request, Reply& reply, const Environment& environment,
                         const std::string& what, bool& streamed);
  Result<Json> Channels(const Environment& environment);
  Result<Json> Promote(const Request& request, const Environment& environment);

  // api_builds.cc
  Result<void> BuildHere(const Request& request, Reply& reply, const Environment& environment,
                         bool& streamed);

  // api_jobs.cc
  Result<Json> Jobs(const Environment& environment);
  Result<Json> StartRun(const Request& request, const Environment& environment, const std::string& job);
  Result<Json> Runs(const Request& request, const Environment& environment);
  Result<Json> OneRun(const Request& request, const Environment& environment, uint64_t run);
  Result<Json> CancelRun(const Request& request, const Environment& environment, uint64_t run);
  Result<jobs::Run> FindRun(const Environment& environment, uint64_t run);
  Result<jobs::Run> WaitForRun(const Environment& environment, uint64_t run);
  Result<void> StreamRunLogs(const Request& request, Reply& reply, const Environment& environment,
                             uint64_t run, bool& streamed);
  Result<Json> Artifacts(const Request& request, Reply& reply, const Environment& environment, uint64_t run,
                         bool& streamed);

  // api_streams.cc; `streamed` once the answer has begun: an error can then no longer be told
  Result<void> StreamEvents(const Request& request, Reply& reply, const std::string& environment,
                            bool& streamed);
  Result<void> StreamLogs(const Request& request, Reply& reply, const Environment& environment,
                          bool& streamed);

  // Takes `of` for a service or for an instance.
  Result<void> ChooseLogs(const std::string& of, const Environment& environment, LogQuery& query);

  Daemon& daemon_;
  std::function<void()> shut_down_;
  CertificateWatch certificates_;
  std::atomic<int> transfers_{0};
  std::atomic<int> builds_{0};
};

// A whole number of a query parameter; `otherwise` when it is not given. kInvalid.
Result<uint64_t> QueryNumber(const adapters::HttpRequest& request, const std::string& name,
                             uint64_t otherwise);
// Text of a query parameter, for the record; "" when it is not given. kInvalid: not UTF-8, which no event and
// no journal could hold, or longer than 1000 bytes.
Result<std::string> QueryText(const adapters::HttpRequest& request, const std::string& name);
bool QueryFlag(const adapters::HttpRequest& request, const std::string& name);

}  // namespace ingot::app
