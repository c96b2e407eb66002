// Definition: ingot.yaml version 1 as types, before it is resolved for one environment.
//
// definition/ turns bytes into data in three pure steps: Parse (parse.h: YAML → Definition, with every
// mistake reported at its line), NotYetSupported (unsupported.h: what this version cannot do yet) and Resolve
// (resolve.h: Definition → Resolved, the plain document of one environment whose canonical JSON identifies
// fleets and revisions). Field names and meanings are those of docs/formats/definition.md.
//
// An unset optional is "not written"; defaults are applied by Resolve and listed in defaults.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "definition/condition.h"

namespace ingot::definition {

// Both from 1; 0 when there is none.
struct Position {
  int line = 0;
  int column = 0;
  bool operator==(const Position&) const = default;
};

// A key (or list item) as it stands in the file.
struct Written {
  std::string path;  // "services.web.ports.http", "routes[0].listen"
  Position at;       // of the key; of the item in a list
  std::string text;  // of a scalar value, variables replaced; else empty
  bool operator==(const Written&) const = default;
};

enum class Protocol { kHttp, kTcp };

// ---- images ----

struct Build {
  std::string context;                    // directory, relative to the definition's
  std::string dockerfile = "Dockerfile";  // relative to the context
  std::string target;                     // stage; empty: the last
  std::map<std::string, std::string> args;
  std::vector<std::string> secrets;    // names of `secrets`, mounted during RUN
  std::vector<std::string> platforms;  // "linux/amd64"
  bool operator==(const Build&) const = default;
};

struct Configure {
  std::string ansible;           // playbook, or
  std::vector<std::string> run;  // a command
  bool operator==(const Configure&) const = default;
};

struct HttpTest {
  uint16_t port = 0;
  std::string path = "/";
  int status = 200;
  bool operator==(const HttpTest&) const = default;
};

// One test of a built image. Exactly one of `run` and `http` is set.
struct ImageTest {
  using Http = HttpTest;
  std::vector<std::string> run;  // passes when it exits 0
  std::optional<Http> http;
  std::optional<Milliseconds> timeout;
  bool operator==(const ImageTest&) const = default;
};

enum class Compression { kNone, kZstd };

// Exactly one of `from`, `build` and `image` is set.
struct Image {
  std::string from;  // "debian:bookworm", or another image of this definition
  std::vector<std::string> packages;
  std::optional<Build> build;
  std::string image;  // somebody else's: a reference
  std::vector<Configure> configure;
  std::vector<ImageTest> test;
  std::optional<Compression> compression;
  bool operator==(const Image&) const = default;
};

// ---- services ----

enum class Kind { kService, kWorker, kStateful };

struct Port {
  uint16_t number = 0;
  Protocol protocol = Protocol::kHttp;
  bool operator==(const Port&) const = default;
};

// At most one of `http`, `tcp` and `run` is set.
struct Probe {
  std::optional<std::string> http;  // path
  std::optional<bool> tcp;
  std::optional<std::vector<std::string>> run;
  std::optional<std::string> port;  // name of a port of the service
  std::optional<Milliseconds> interval;
  std::optional<Milliseconds> timeout;
  std::optional<int> passes;             // ready only
  std::optional<Milliseconds> deadline;  // ready only
  std::optional<int> fails;              // live only
  bool operator==(const Probe&) const = default;
};

struct Health {
  std::optional<Probe> ready;
  std::optional<Probe> live;
  bool operator==(const Health&) const = default;
};

struct Resources {
  std::optional<uint32_t> millicpus;
  std::optional<uint64_t> memory_bytes;
  std::optional<uint32_t> pids;
  bool operator==(const Resources&) const = default;
};

struct Scratch {
  std::string path;
  std::optional<uint64_t> size_bytes;
  std::optional<bool> exec;
  bool operator==(const Scratch&) const = default;
};

struct Mount {
  std::string name;  // of `volumes`
  std::string path;
  bool read_only = false;
  bool operator==(const Mount&) const = default;
};

enum class Strategy { kBlueGreen, kRolling, kCanary, kRecreate };

// A pause that ends when somebody says so (written `pause: manual`).
inline constexpr Milliseconds kUntilAdvance{0};

// Requests that are copied to the new fleet before it serves anybody; its answers are compared and dropped.
struct Shadow {
  std::optional<int> share;            // percent of the requests
  Milliseconds hold{0};                // written `for`
  std::optional<int64_t> differences;  // the largest share of other answers, basis points
  std::optional<int64_t> errors;       // the largest share without an answer, basis points
  std::optional<int> least;            // answers that are compared
  std::optional<bool> bodies;          // false: statuses are compared alone
  std::optional<std::vector<std::string>> methods;
  std::optional<Milliseconds> timeout;  // of one copy
  bool operator==(const Shadow&) const = default;
};

// Exactly one of `weight`, `shadow`, `approve` and `pause` is set; `hold` (written `for`) only beside
// `weight`, `within` only beside `approve`.
struct Step {
  std::optional<int> weight;  // percent
  std::optional<Milliseconds> hold;
  std::optional<Shadow> shadow;
  std::string approve;                 // a role of `access`
  std::optional<Milliseconds> within;  // only beside `approve`: after it, it is refused
  std::optional<Milliseconds> pause;   // kUntilAdvance: until it is told to go on
  bool operator==(const Step&) const = default;
};

// "< 1%", "<= 250ms". A bound on what is measured: a share in basis points (1 % = 100) or a duration.
struct Bound {
  bool or_equal = false;  // "<=" instead of "<"
  int64_t value = 0;      // basis points or milliseconds
  bool operator==(const Bound&) const = default;
};

// A measurement that something other than the router makes. Exactly one of `prometheus`, `http` and `run` is
// set.
struct AnalysisCheck {
  std::string prometheus;  // URL of its API
  std::string query;       // beside prometheus
  std::optional<Condition> success_condition;
  std::string http;           // URL
  std::optional<int> status;  // beside http
  std::vector<std::string> run;
  std::string secret;  // of `secrets`: a token or USER:PASSWORD, for prometheus and http; empty: none
  std::optional<Milliseconds> interval;
  std::optional<Milliseconds> timeout;
  std::optional<int> fails;
  bool operator==(const AnalysisCheck&) const = default;
};

struct Analysis {
  std::optional<Bound> error_rate;
  std::optional<Bound> p50;
  std::optional<Bound> p90;
  std::optional<Bound> p95;
  std::optional<Bound> p99;
  std::optional<int> min_requests;
  std::optional<int64_t> confidence;  // basis points
  std::map<std::string, AnalysisCheck> checks;
  bool operator==(const Analysis&) const = default;
};

// What keeps a user on one side of a canary. Exactly one is set.
struct Sticky {
  std::string cookie;  // its name; the router sets it
  std::string header;  // one that tells users apart
  bool operator==(const Sticky&) const = default;
};

// Which requests reach the new fleet of a canary in any step, also in one that gives it nothing: those with a
// cookie or header, or all that come to a port of its own. At most one of `cookie` and `header` is set, with
// `value`.
struct Preview {
  std::string cookie;
  std::string header;
  std::string value;  // what it has to hold
  uint16_t port = 0;  // of the host; 0: none
  bool operator==(const Preview&) const = default;
};

struct Rollout {
  std::optional<Strategy> strategy;
  std::optional<Milliseconds> keep_old;
  std::optional<Milliseconds> drain;
  std::optional<std::vector<Step>> steps;
  std::optional<Analysis> analysis;
  std::optional<Sticky> sticky;
  std::optional<Preview> preview;
  std::optional<uint32_t> batch;  // rolling: new instances at a time
  std::optional<uint32_t> surge;  // rolling: instances beyond the count
  bool operator==(const Rollout&) const = default;
};

// A number that is not the instances' own, such as the length of a queue.
// Exactly one of `prometheus` and `run` is set.
struct ScaleQueue {
  std::string prometheus;        // URL of its API
  std::string query;             // beside prometheus
  std::vector<std::string> run;  // prints the number
  std::string secret;            // of `secrets`, as a check has it; empty: none
  int each = 0;                  // how much of it is one instance's
  std::optional<Milliseconds> interval;
  std::optional<Milliseconds> timeout;
  bool operator==(const ScaleQueue&) const = default;
};

// As a measurement that nothing is judged by.
inline AnalysisCheck SourceOf(const ScaleQueue& queue) {
  AnalysisCheck source;
  source.prometheus = queue.prometheus;
  source.query = queue.query;
  source.run = queue.run;
  source.secret = queue.secret;
  source.interval = queue.interval;
  source.timeout = queue.timeout;
  return source;
}

struct ScaleTarget {
  std::optional<int> cpu;       // percent
  std::optional<int> memory;    // percent
  std::optional<int> requests;  // per second and instance
  std::optional<ScaleQueue> queue;
  bool Any() const { return cpu || memory || requests || queue; }
  bool operator==(const ScaleTarget&) const = default;
};

// From its minute on these are the bounds, until that of another one.
struct ScaleSchedule {
  std::string at;          // five cron fields, UTC
  std::optional<int> min;  // unset: as in Scale
  std::optional<int> max;
  bool operator==(const ScaleSchedule&) const = default;
};

struct Scale {
  std::optional<int> min;
  std::optional<int> max;
  std::optional<ScaleTarget> target;
  std::optional<Milliseconds> cooldown;
  std::optional<std::vector<ScaleSchedule>> schedules;
  std::optional<int> spares;  // ready instances beyond the count, which get no requests
  bool operator==(const Scale&) const = default;
};

struct Service {
  std::string image;  // of `images`; empty only in an environment's override
  std::optional<Kind> kind;
  std::optional<std::vector<std::string>> command;
  std::optional<std::string> user;
  std::optional<std::string> workdir;
  std::optional<int> replicas;
  std::optional<std::map<std::string, Port>> ports;  // by name; `port: N` is {http: N}
  std::map<std::string, std::string> environment;
  std::optional<std::vector<std::string>> secrets;
  std::optional<std::vector<std::string>> uses;
  std::optional<Health> health;
  std::optional<Resources> resources;
  std::optional<std::vector<Scratch>> scratch;
  std::optional<std::vector<std::string>> capabilities;  // without CAP_
  std::optional<std::vector<Mount>> volumes;
  std::optional<std::string> stop_signal;
  std::optional<Milliseconds> stop_grace_period;
  std::optional<Milliseconds> keepalive_timeout;
  std::optional<Rollout> rollout;
  std::optional<Scale> scale;
  std::optional<Milliseconds> max_age;
  bool operator==(const Service&) const = default;
};

// ---- around them ----

// A server that is not Ingot's and gets a share of a route's requests, while a service takes its place.
struct OutsideServer {
  std::string address;  // "10.0.0.7:8080", "old.example:80", "[fd00::7]:80"
  int weight = 0;       // percent of the requests
  bool operator==(const OutsideServer&) const = default;
};

// Exactly one of `listen` and `host` is set.
struct Route {
  std::string listen;  // ":8000", "127.0.0.1:8000", "[::1]:8000"
  std::string host;
  std::string path;                      // only beside `host`; empty: "/"
  std::string to;                        // a service
  std::optional<OutsideServer> outside;  // beside `to`, which gets the rest
  std::string port;                      // name of one of its ports; empty: the only one
  std::optional<Protocol> protocol;
  bool tls = false;
  bool operator==(const Route&) const = default;
};

struct Endpoint {
  std::string url;
  bool check_tcp = false;
  bool operator==(const Endpoint&) const = default;
};

enum class Snapshot { kNone, kBeforeRollout };

struct Volume {
  std::optional<uint64_t> size_bytes;
  Snapshot snapshot = Snapshot::kNone;
  bool operator==(const Volume&) const = default;
};

struct SecretSource {
  enum class Kind { kStore, kFile, kEnv };
  Kind kind = Kind::kStore;
  std::string name;  // file: its path, relative to the definition's directory; env: the variable's name
  bool operator==(const SecretSource&) const = default;
};

struct Migration {
  std::string endpoint;
  std::string scripts;           // directory, or
  std::vector<std::string> run;  // a command
  std::string image;             // what `run` runs in
  std::string secret;            // of `secrets`: the password, or a whole postgres:// URL; empty: none
  bool operator==(const Migration&) const = default;
};

// The job that runs a migration's command.
inline std::string MigrationJob(const std::string& migration) {
  return "migrate-" + migration;
}

// What happens to a run of a job that comes while another one goes on.
enum class Concurrency { kForbid, kAllow, kReplace };

struct Job {
  std::string image;
  std::optional<std::vector<std::string>> command;
  std::string schedule;  // five cron fields; empty: only when asked for
  bool on_release = false;
  Concurrency concurrency = Concurrency::kForbid;
  std::optional<Milliseconds> timeout;
  int retries = 0;
  std::map<std::string, std::string> environment;
  std::vector<std::string> secrets;
  std::vector<std::string> uses;
  std::optional<Resources> resources;
  std::vector<Scratch> scratch;
  std::vector<std::string> artifacts;  // directories that are copied out of a run
  bool operator==(const Job&) const = default;
};

struct Verify {
  std::vector<std::string> run;
  std::optional<Milliseconds> timeout;
  bool operator==(const Verify&) const = default;
};

enum class PlatformKind { kLocal, kKubernetes };

// What a rollout waits for before it begins.
struct Approval {
  std::string role;  // of `access`
  std::optional<Milliseconds> within;
  bool operator==(const Approval&) const = default;
};

struct Environment {
  std::string host;  // URL of another host's API; empty: this host
  PlatformKind platform = PlatformKind::kLocal;
  std::string context;       // kubernetes
  std::string promote_from;  // another environment
  std::optional<Approval> approval;
  std::vector<Verify> verify;
  std::map<std::string, Service> services;  // what differs from `services`
  bool operator==(const Environment&) const = default;
};

struct Role {
  std::vector<std::string> may;
  std::vector<std::string> in;       // environments; empty: all
  std::vector<std::string> members;  // users of the host, "group:NAME"; empty: the group of the role's name
  bool operator==(const Role&) const = default;
};

// When nothing new is released: once (`from`, `until`), or as often as `at` says, for `hold` (written `for`).
struct Freeze {
  std::optional<WallTime> from;
  std::optional<WallTime> until;
  std::string at;  // five cron fields, UTC
  std::optional<Milliseconds> hold;
  std::string reason;
  std::vector<std::string> in;  // environments; empty: all
  bool operator==(const Freeze&) const = default;
};

enum class DriftAction { kReplace, kReport };

struct Policy {
  std::optional<int> keep;  // revisions
  std::optional<Milliseconds> keep_for;
  std::vector<std::string> signed_by;
  std::optional<DriftAction> drift;
  std::vector<Freeze> freeze;
  bool operator==(const Policy&) const = default;
};

// Exactly one of `webhook` and `run` is set.
struct Notify {
  std::string webhook;
  std::vector<std::string> run;
  std::vector<std::string> on;  // events, or what their names begin with (event_names.h)
  std::string secret;           // of `webhook`: what it is signed with; empty: not signed
  bool operator==(const Notify&) const = default;
};

struct Pipeline {
  std::string git;
  std::string branch = "main";
  std::string deploy;  // an environment
  bool operator==(const Pipeline&) const = default;
};

struct Definition {
  std::string file;  // as given to Parse, for messages
  std::string project;
  std::map<std::string, Image> images;
  std::map<std::string, Service> services;
  std::vector<Route> routes;
  std::map<std::string, Endpoint> endpoints;
  std::map<std::string, Volume> volumes;
  std::map<std::string, SecretSource> secrets;
  std::map<std::string, Migration> migrations;
  std::map<std::string, Job> jobs;
  std::optional<std::string> flags_file;
  std::map<std::string, Environment> environments;  // always has "local"
  std::map<std::string, Role> access;
  std::optional<Policy> policy;
  std::vector<Notify> notify;
  std::optional<Pipeline> pipeline;

  // Every key that was written, in the order of the file: where later steps find the position of what they
  // object to.
  std::vector<Written> written;
  // The position of a path or, when it is not written, of the nearest parent that is.
  Position Where(std::string_view path) const;
  // "ingot.yaml:12:5"
  std::string Locate(std::string_view path) const;

  bool operator==(const Definition&) const = default;
};

// What a run of the job is an instance of: a worker whose scratch has the job's artifacts among it.
Service AsService(const Job& job);

// The names used in the file and in JSON: "blue-green", "stateful", "http", …
std::string_view NameOf(Protocol protocol);
std::string_view NameOf(Kind kind);
std::string_view NameOf(Strategy strategy);
std::string_view NameOf(Concurrency concurrency);

}  // namespace ingot::definition
