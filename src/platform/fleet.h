// What a platform needs to know to run a fleet, its state as observed, and the routes between fleets. Pure
// data.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "oci/digest.h"
#include "platform/ids.h"

namespace ingot::platform {

enum class Protocol { kHttp, kTcp };

struct Port {
  std::string name;  // "http"
  uint16_t number = 0;
  Protocol protocol = Protocol::kHttp;
  bool operator==(const Port&) const = default;
};

struct Probe {
  enum class Kind { kNone, kHttp, kTcp, kRun };
  Kind kind = Kind::kNone;
  uint16_t port = 0;                 // http, tcp
  std::string path;                  // http: GET, healthy when the status is 200 to 399
  std::vector<std::string> command;  // run: healthy when it exits 0 inside the instance
  Milliseconds interval{5};          // between the ends of two probes
  Milliseconds timeout{1000};        // of one probe
  int passes = 1;                    // consecutive ones that make it ready
  int fails = 3;                     // consecutive ones that make it unhealthy (live probes)
  Milliseconds deadline{30000};      // from start to ready; after it, the instance has failed (ready probes)
  bool operator==(const Probe&) const = default;
};

// Another service or an endpoint that an instance may reach, by name.
struct Use {
  std::string name;       // as in `uses`
  bool endpoint = false;  // false: a service of the same environment
  std::string host;       // endpoints: the host name of its URL, under which the instance reaches it as well
  std::vector<Port> ports;
  bool operator==(const Use&) const = default;
};

struct Scratch {
  std::string path;
  uint64_t size_bytes = 64ull << 20;
  bool exec = false;
  bool kept = false;  // what is in it when the instance ends is copied out (platform.h)
  bool operator==(const Scratch&) const = default;
};

// Data that outlives instances. Of a fleet with volumes every instance is a member, 0, 1, …, and each member
// has its own of each.
struct VolumeMount {
  std::string name;  // of the volume; with the member's number it is the one that is mounted
  std::string path;
  bool read_only = false;
  uint64_t size_bytes = 0;  // the most it holds, where the file system can limit it; 0: no limit
  bool operator==(const VolumeMount&) const = default;
};

// A copy of a member's volumes, made before its instance starts. One that is there already stays as it is.
struct VolumeSnapshot {
  std::string name;
  std::vector<std::string> volumes;  // as in VolumeMount; empty: none is made
  bool operator==(const VolumeSnapshot&) const = default;
};

struct Limits {
  uint32_t millicpus = 0;     // 0: no limit
  uint64_t memory_bytes = 0;  // 0: no limit
  uint32_t pids = 0;          // 0: no limit
  bool operator==(const Limits&) const = default;
};

struct SecretRef {
  std::string name;     // the file under /run/secrets
  std::string version;  // names the bytes in the secret store
  bool operator==(const SecretRef&) const = default;
};

// Everything an instance of the fleet can see. Two FleetSpecs with equal ids are equal; those of a job's runs
// but for `arguments` and `environment`, which each run may be given, and those of members but for `member`
// and `snapshot`, and of every fleet but for `held`.
struct FleetSpec {
  FleetId id;
  oci::Digest image;                               // manifest
  bool job = false;                                // an instance is a run: it is never routed to, and ends
  std::vector<std::string> args;                   // empty: the image's ENTRYPOINT and CMD
  std::vector<std::string> arguments;              // after `args`; without these, instead of the image's CMD
  std::map<std::string, std::string> environment;  // on top of the image's
  std::string user;                                // empty: the image's
  std::string workdir;                             // empty: the image's
  std::vector<Port> ports;
  std::vector<Use> uses;
  Probe ready;
  Probe live;
  Limits limits;
  std::vector<Scratch> scratch;
  std::vector<VolumeMount> volumes;
  std::optional<uint32_t> member;  // set for an instance of a fleet with volumes
  bool held = false;               // this instance is ready without the router, until Platform::Serve
  VolumeSnapshot snapshot;
  std::vector<SecretRef> secrets;
  std::vector<std::string> capabilities;  // "NET_BIND_SERVICE"; nothing else is granted
  std::string stop_signal;                // empty: the image's, else SIGTERM
  Milliseconds grace{10000};              // from the stop signal to SIGKILL
  Milliseconds drain{5000};               // longest wait for requests in flight
  bool operator==(const FleetSpec&) const = default;
};

enum class InstanceState {
  kStarting,   // asked for; not running yet
  kRunning,    // its process runs; the health gate has not passed
  kReady,      // passed the health gate, and has not failed its live probe since
  kUnhealthy,  // was ready, and its live probe failed `fails` times
  kExited,     // its process has ended; what it leaves is kept until Stop
  kFailed,     // could not be started, or missed its readiness deadline; `reason` says why
  kStopping,   // being drained or ended
  kUnknown,    // could not look
};
std::string_view StateName(InstanceState state);
Result<InstanceState> ParseState(std::string_view name);

struct InstanceStatus {
  InstanceId id;
  InstanceState state = InstanceState::kUnknown;
  std::string reason;                       // for people; set for kUnhealthy, kExited, kFailed, kUnknown
  std::optional<int> exit_code;             // kExited, when it is known
  bool interrupted = false;                 // kFailed: its start was cut off; whether it ran is not known
  std::string address;                      // IPv4, once it has one
  int64_t pid = 0;                          // on the host; 0 when it does not run
  WallTime started{};                       // when its process was started
  std::optional<Milliseconds> ready_after;  // from start to ready
  std::vector<std::string> volumes;         // that it has, or is about to have: VolumesOf
  bool copying = false;                     // kStarting: a snapshot is being made, which takes its time
  bool held = false;                        // the router does not have it: FleetSpec::held
};

// The volumes of the member that `fleet` describes, as "cache-0"; none when it describes no member.
std::vector<std::string> VolumesOf(const FleetSpec& fleet);
// "cache-0" of ("cache", 0).
std::string VolumeName(const std::string& volume, uint32_t member);

// The part of what goes to one fleet that goes to another instead.
struct Share {
  FleetId fleet;
  uint32_t per_mille = 0;  // 0 to 1000; with 0 only Topology::Preview leads there
  // 0 to 1000: so many of the requests that stay with the other fleet (HTTP, of Topology::Shadow) are copied
  // to this one, whose answers are compared and dropped.
  uint32_t shadow = 0;
  bool operator==(const Share&) const = default;
};

// The part of a route's requests (HTTP) that goes to a server elsewhere. When that one takes no connection,
// the fleets get them.
struct ServerShare {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 0;
  uint32_t per_mille = 0;  // 0 to 1000
  bool operator==(const ServerShare&) const = default;
};

// Where connections go. Complete: what is not named here goes nowhere.
struct RouteTable {
  // A host-owned address and port, or a host name and path on the host's own listeners → a port of a fleet.
  struct Outside {
    std::string listen;  // ":8000" or "127.0.0.1:8000"; empty: by host name
    FleetId fleet;
    uint16_t port = 0;
    Protocol protocol = Protocol::kHttp;
    std::optional<Share> split{};
    std::string host{};  // "shop.example", "*.shop.example" (one label); empty: by listener
    std::string path{};  // "/", "/api": it and what is below it
    bool tls = false;
    std::optional<ServerShare> server{};  // dealt out first; `split` divides the rest
    bool operator==(const Outside&) const = default;
  };
  // What instances of `asker` reach under the name `service`.
  struct Inside {
    FleetId asker;
    std::string service;
    FleetId fleet;
    std::optional<Share> split{};
    bool operator==(const Inside&) const = default;
  };
  // Which endpoints instances of `asker` may reach. Where an endpoint is, the topology says.
  struct Endpoint {
    FleetId asker;
    std::string name;
    bool operator==(const Endpoint&) const = default;
  };
  std::vector<Outside> outside;
  std::vector<Inside> inside;
  std::vector<Endpoint> endpoints;
  // Which rollout and step of it the splits belong to, 0 without any: users are dealt anew by the first, and
  // FleetCounters::latency_ms begins anew with each step.
  uint64_t rollout = 0;
  uint32_t step = 0;
  bool operator==(const RouteTable&) const = default;
};

// What a router has counted of a fleet's HTTP requests. Only differences of `answered` and `errors_5xx` mean
// something; a smaller value than before says that the router was started anew.
// What an instance takes. Unset: could not look.
struct InstanceUsage {
  std::optional<uint64_t> cpu_us;        // since it started
  std::optional<uint64_t> memory_bytes;  // now, without the page cache that the kernel would give up first
  std::optional<uint64_t> requests;      // that the router has sent it since it started
  bool operator==(const InstanceUsage&) const = default;
};

// What became of requests that were copied to a fleet.
struct ShadowCounters {
  uint64_t same = 0;          // it answered alike
  uint64_t other_status = 0;  // it answered with another status
  uint64_t other_body = 0;    // with the same status, and another body
  uint64_t body_unknown = 0;  // with the same status; a body could not be compared, and was to be
  uint64_t failed = 0;        // no whole answer: refused, cut, no HTTP
  uint64_t timed_out = 0;     // no whole answer in time
  uint64_t skipped = 0;       // not sent: too many at once, too large, or the other answer was not whole
  uint64_t in_flight = 0;     // sent, and not over yet
  uint64_t real_ms = 0;       // of those answered: the sums of the times to the answers' headers
  uint64_t shadow_ms = 0;
  std::vector<std::string> examples;  // the first differences and failures: "GET /a: 200, new 500"
  uint64_t Compared() const { return same + other_status + other_body; }
  uint64_t Different() const { return other_status + other_body; }
  uint64_t Unanswered() const { return failed + timed_out; }
  uint64_t Over() const { return Compared() + body_unknown + Unanswered(); }
  bool operator==(const ShadowCounters&) const = default;
};

struct FleetCounters {
  uint64_t answered = 0;    // the router's own answers for the fleet (503) among them
  uint64_t errors_5xx = 0;  // of these
  // Since the table's step began: answers by the time from the request to the answer's headers, rounded down
  // (to 1 ms below 100 ms, 10 ms below 1 s, else 100 ms).
  std::map<uint32_t, uint64_t> latency_ms;
  ShadowCounters shadow;  // since the table's step began, or who counts was started
  bool operator==(const FleetCounters&) const = default;
};

// What has to exist in the router before any of its fleets can be routed to: changes with the definition, not
// with a rollout of new code. Per environment.
struct Topology {
  // What keeps a user on one side of a split: a cookie that the router sets, or a header. At most one is set.
  struct Sticky {
    std::string cookie;
    std::string header;
    bool operator==(const Sticky&) const = default;
  };
  // Requests with this cookie or header of this value go to the other side of a split, whatever its share.
  // All are empty, or the value and one other are set.
  struct Preview {
    std::string cookie;
    std::string header;
    std::string value;
    bool operator==(const Preview&) const = default;
  };
  // Which requests may be copied (Share::shadow). No method: none, and the router is as without it.
  struct Shadow {
    std::vector<std::string> methods;
    bool bodies = true;  // answers' bodies are compared besides their statuses
    Milliseconds timeout{0};
    bool operator==(const Shadow&) const = default;
  };
  struct Service {
    std::string name;
    std::vector<Port> ports;
    uint32_t replicas = 1;  // the largest number of instances one fleet of it may have
    Sticky sticky{};
    Preview preview{};
    Shadow shadow{};
    bool operator==(const Service&) const = default;
  };
  struct Endpoint {
    std::string name;
    std::string host;
    uint16_t port = 0;
    bool operator==(const Endpoint&) const = default;
  };
  struct Listener {
    std::string listen;
    std::string service;
    Protocol protocol = Protocol::kHttp;
    bool tls = false;
    bool operator==(const Listener&) const = default;
  };
  // A host name and path on the listeners that belong to the host.
  struct Host {
    std::string host;  // as RouteTable::Outside
    std::string path;
    std::string service;
    bool tls = false;  // also: plain HTTP is sent there
    bool operator==(const Host&) const = default;
  };
  // A server elsewhere that a route may give a share to.
  struct Server {
    std::string listen;  // the route: as RouteTable::Outside
    std::string route_host;
    std::string path;
    bool tls = false;
    std::string host;  // the server: as ServerShare
    uint16_t port = 0;
    bool operator==(const Server&) const = default;
    auto operator<=>(const Server&) const = default;
  };
  std::vector<Service> services;
  std::vector<Endpoint> endpoints;
  std::vector<Listener> listeners;
  std::vector<Host> hosts;
  std::vector<Server> servers{};
  bool operator==(const Topology&) const = default;
};

}  // namespace ingot::platform
