// Resolved: a definition for one environment, with every default written out. Its canonical JSON
// (docs/formats/resolved.md) is what `apply` hands to the daemon, and what fleets and revisions are known by.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"
#include "definition/definition.h"
#include "definition/rules.h"
#include "migrate/script.h"
#include "oci/digest.h"

namespace ingot::definition {

struct ResolvedPort {
  std::string name;
  uint16_t number = 0;
  Protocol protocol = Protocol::kHttp;
  bool operator==(const ResolvedPort&) const = default;
};

// What an instance may reach by name.
struct ResolvedUse {
  std::string name;
  bool endpoint = false;            // false: a service of the same revision
  std::vector<ResolvedPort> ports;  // service: all its ports; endpoint: one, named as its URL's scheme
  std::string host;                 // endpoint: the host name (or address literal) of its URL
  bool tls = false;                 // endpoint: the URL's scheme speaks TLS
  bool operator==(const ResolvedUse&) const = default;
};

struct ResolvedProbe {
  enum class Kind { kNone, kHttp, kTcp, kRun };
  Kind kind = Kind::kNone;
  uint16_t port = 0;                 // http, tcp
  std::string path;                  // http
  std::vector<std::string> command;  // run
  Milliseconds interval{0};          // between two probes
  Milliseconds timeout{0};           // of one probe
  int passes = 0;                    // ready: consecutive successes that make it ready
  Milliseconds deadline{0};          // ready: from start to ready
  int fails = 0;                     // live: consecutive failures that make it unhealthy
  bool operator==(const ResolvedProbe&) const = default;
};

struct ResolvedScratch {
  std::string path;
  uint64_t size_bytes = 0;
  bool exec = false;
  bool operator==(const ResolvedScratch&) const = default;
};

struct ResolvedLimits {
  uint32_t millicpus = 0;     // 0: no limit
  uint64_t memory_bytes = 0;  // 0: no limit
  uint32_t pids = 0;          // 0: no limit
  bool operator==(const ResolvedLimits&) const = default;
};

// What is copied in a step, and what is expected of the answers.
struct ResolvedShadow {
  uint32_t share = 0;        // percent of the requests
  uint32_t differences = 0;  // basis points of the answers that were compared
  uint32_t errors = 0;       // basis points of the copies that are over
  uint32_t least = 0;        // answers that have to be compared
  bool bodies = true;        // besides statuses
  std::vector<std::string> methods;
  Milliseconds timeout{0};  // of one copy
  bool operator==(const ResolvedShadow&) const = default;
};

// One step of a canary before the last, which is everything.
struct ResolvedStep {
  uint32_t percent = 0;  // of the requests
  Milliseconds hold{0};  // the least time at this weight
  bool manual = false;   // and until somebody says to go on
  std::map<std::string, Milliseconds>
      approve{};                           // and until somebody of each role approves, within that time
  std::optional<ResolvedShadow> shadow{};  // with 0 percent only
  bool operator==(const ResolvedStep&) const = default;
};

struct ResolvedCheck {
  enum class Kind { kPrometheus, kHttp, kRun };
  std::string name;
  Kind kind = Kind::kRun;
  std::string url;      // prometheus, http
  std::string query;    // prometheus
  Condition condition;  // prometheus
  int status = 0;       // http; 0: any from 200 to 299
  std::vector<std::string> command;
  std::string secret;  // prometheus, http: what the request is authorised with; empty: nothing
  std::string secret_version;
  Milliseconds interval{0};  // from the begin of one measurement to that of the next
  Milliseconds timeout{0};   // of one measurement
  int fails = 0;             // failures in a row that fail the step
  bool operator==(const ResolvedCheck&) const = default;
};

struct ResolvedAnalysis {
  std::optional<Bound> error_rate;
  std::map<uint32_t, Bound> latency;  // by percentile: 50, 90, 95, 99
  uint32_t min_requests = 0;
  uint32_t confidence = 0;            // basis points
  bool router = true;                 // what the router counts is judged, by the members above
  std::vector<ResolvedCheck> checks;  // sorted by name
  bool operator==(const ResolvedAnalysis&) const = default;
};

// A volume in an instance. Each member of its service has one of its own.
struct ResolvedVolume {
  std::string name;  // of `volumes`
  std::string path;
  bool read_only = false;
  uint64_t size_bytes = 0;  // the most it holds; 0: no limit
  bool operator==(const ResolvedVolume&) const = default;
};

struct ResolvedRollout {
  Strategy strategy = Strategy::kBlueGreen;
  Milliseconds keep_old{0};
  // A canary only.
  std::vector<ResolvedStep> steps{};
  std::optional<ResolvedAnalysis> analysis{};
  Sticky sticky{};    // both empty: each request is dealt by chance
  Preview preview{};  // all empty: none
  // Rolling only.
  uint32_t batch = 0;
  uint32_t surge = 0;
  // A stateful service, which rolls by one: volumes that are copied before a member is replaced, sorted.
  std::vector<std::string> snapshot{};
  bool operator==(const ResolvedRollout&) const = default;
};

// A number that says how many instances are needed: so many that `each` of it is one's.
struct ResolvedQueue {
  ResolvedCheck source;  // kPrometheus or kRun; its condition and `fails` mean nothing
  uint32_t each = 1;
  bool operator==(const ResolvedQueue&) const = default;
};

// Bounds from a time on.
struct ResolvedSchedule {
  std::string at;  // five cron fields, UTC
  uint32_t min = 1;
  uint32_t max = 1;
  bool operator==(const ResolvedSchedule&) const = default;
};

// How many instances of a service there are follows from what they do, and from the time. At least one target
// is set, or one schedule.
struct ResolvedScale {
  uint32_t min = 1;
  uint32_t max = 1;
  uint32_t cpu = 0;          // percent of an instance's limit, of one CPU where it has none; 0: no target
  uint32_t memory = 0;       // percent of an instance's limit; 0: no target
  uint32_t requests = 0;     // per second and instance; 0: no target
  Milliseconds cooldown{0};  // fewer have to be enough for so long
  std::vector<ResolvedSchedule> schedules{};
  std::optional<ResolvedQueue> queue{};
  uint32_t spares = 0;  // ready instances beyond the count, which get no requests
  // Of what the instances themselves take.
  bool HasLoadTarget() const { return cpu > 0 || memory > 0 || requests > 0; }
  // Without a target the count is `min`.
  bool HasTarget() const { return HasLoadTarget() || queue.has_value(); }
  bool operator==(const ResolvedScale&) const = default;
};

struct ResolvedService {
  std::string name;
  Kind kind = Kind::kService;
  oci::Digest image;                               // manifest
  std::vector<std::string> command;                // empty: as in the image
  std::string user;                                // empty: as in the image
  std::string workdir;                             // empty: as in the image
  std::map<std::string, std::string> environment;  // on top of the image's
  std::map<std::string, std::string> secrets;      // file under /run/secrets → version
  std::vector<ResolvedUse> uses;                   // sorted by name
  std::vector<ResolvedPort> ports;                 // sorted by name
  ResolvedProbe ready;
  ResolvedProbe live;
  ResolvedLimits limits;
  std::vector<ResolvedScratch> scratch;   // sorted by path
  std::vector<std::string> capabilities;  // sorted, without CAP_
  std::vector<ResolvedVolume> volumes;    // sorted by path; a stateful service only, which has some
  std::string stop_signal;                // "SIGQUIT"; empty: the image's, else SIGTERM
  Milliseconds grace{0};                  // from the stop signal to SIGKILL
  Milliseconds drain{0};                  // longest wait for requests in flight
  // Below: how many and how replaced; no part of the fleet's identity.
  uint32_t replicas = 1;
  ResolvedRollout rollout;
  std::optional<ResolvedScale> scale;
  Milliseconds max_age{0};  // an instance of that age is replaced; 0: never
  bool operator==(const ResolvedService&) const = default;
};

// Work with an end. A run is an instance of `instance`, whose replicas and rollout mean nothing.
struct ResolvedJob {
  ResolvedService instance;
  std::string schedule;  // five cron fields, UTC; empty: only when asked for
  bool on_release = false;
  bool migrates =
      false;  // a command of `migrations`: each apply of a new revision runs it before any instance
  Concurrency concurrency = Concurrency::kForbid;
  Milliseconds timeout{0};             // from its first instruction
  uint32_t retries = 0;                // after the first attempt
  std::vector<std::string> artifacts;  // paths of `instance.scratch`, sorted
  bool operator==(const ResolvedJob&) const = default;
};

// A server that is not Ingot's.
struct ResolvedOutside {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 0;
  uint32_t percent = 0;  // of the route's requests
  bool operator==(const ResolvedOutside&) const = default;
};

struct ResolvedRoute {
  std::string listen;  // as a listener is written, canonical: ":8000", "127.0.0.1:8000"; empty: by host
  std::string listen_address;  // "" (all), "127.0.0.1", "::1"
  uint16_t listen_port = 0;    // 0 when the route is by host
  std::string host;            // empty: any
  std::string path;            // prefix; empty when the route is by listener
  std::string service;
  uint16_t port = 0;  // of the service
  Protocol protocol = Protocol::kHttp;
  bool tls = false;
  std::optional<ResolvedOutside> outside{};  // gets a share of the requests; the service has the rest
  bool operator==(const ResolvedRoute&) const = default;
};

struct ResolvedEndpoint {
  std::string name;
  std::string url;
  std::string host;
  uint16_t port = 0;
  bool tls = false;
  bool check_tcp = false;
  bool operator==(const ResolvedEndpoint&) const = default;
};

// Who is told of events. Exactly one of `webhook` and `command` is set.
struct ResolvedNotify {
  std::string webhook;
  std::vector<std::string> command;
  std::vector<std::string> on;  // sorted; names of events, or what they begin with
  std::string secret;           // what webhooks are signed with; empty: not signed
  std::string secret_version;
  bool operator==(const ResolvedNotify&) const = default;
};

// Changes of a database's schema that come with the revision (docs/formats/migrations.md).
struct ResolvedMigration {
  std::string name;
  std::string url;     // of its endpoint
  std::string secret;  // with the password, or a whole URL; empty: none
  std::string secret_version;
  std::vector<migrate::Script> scripts;  // sorted by version
  migrate::Engine engine() const {
    return url.starts_with("sqlite:") ? migrate::Engine::kSqlite : migrate::Engine::kPostgres;
  }
  bool operator==(const ResolvedMigration&) const = default;
};

struct Resolved {
  std::string project;
  std::string environment;
  std::string commit;                         // empty: not in a git work tree
  bool dirty = false;                         // the work tree differed from the commit
  std::string promote_from;                   // it deploys only what its channel holds; empty: anything
  std::vector<ResolvedService> services;      // sorted by name
  std::vector<ResolvedJob> jobs;              // sorted by name
  std::vector<ResolvedRoute> routes;          // sorted by listener, host, path
  std::vector<ResolvedEndpoint> endpoints;    // sorted by name
  std::vector<ResolvedNotify> notify;         // in the order of the definition
  std::vector<ResolvedMigration> migrations;  // sorted by name
  ResolvedRules rules;
  bool operator==(const Resolved&) const = default;
};

// The document of docs/formats/resolved.md, version 1. Inverses: FromJson(ToJson(x)) == x. RenderCanonical of
// it is its identity.
Json ToJson(const Resolved& resolved);
Json ToJson(const ResolvedService& service);
Json ToJson(const ResolvedJob& job);
Json ToJson(const ResolvedNotify& notify);
Json ToJson(const ResolvedShadow& shadow);
Json ToJson(const ResolvedScale& scale);
Result<ResolvedScale> ScaleFromJson(const Json& json);
Json ToJson(const ResolvedMigration& migration);
Result<ResolvedMigration> MigrationFromJson(const Json& json);
Result<ResolvedNotify> NotifyFromJson(const Json& json);
// kInvalid naming the member ("services[0].image: …"); kUnsupported for another version. The input may be
// hostile: names, ports and sizes are checked as Parse checks them.
Result<Resolved> ResolvedFromJson(const Json& json);

// The digest by which a fleet is known: SHA-256 of the canonical JSON of all that its instances can see and
// of how they are judged and stopped; replicas and rollout are left out. Two services with different names
// differ.
oci::Digest FleetDigest(const ResolvedService& service);
// The same of what a run of the job is an instance of; never that of a service.
oci::Digest FleetDigest(const ResolvedJob& job);
// The digest of all fleets by name, of the jobs, of the routes, and of the migrations. Counts, retention and
// commit are no part of it: equal digests mean "nothing to do" but perhaps a different count.
oci::Digest RevisionDigest(const Resolved& resolved);

}  // namespace ingot::definition
