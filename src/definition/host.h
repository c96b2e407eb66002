// Host: /etc/ingot/host.yaml, version 1: what belongs to the host and to no project. Pure: bytes in, value
// out; docs/formats/host.md.
//
// Reading is that of ingot.yaml (reader.h, shape.h), so both report every mistake at its line. A file that is
// not there is a Host{}: every default below.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "definition/definition.h"
#include "definition/problem.h"

namespace ingot::definition {

// Files as written; relative ones are relative to the directory of host.yaml.
struct RegistryTls {
  std::string certificate;  // PEM: the server's and those between it and its authority
  std::string key;          // PEM
  std::string client_ca;    // PEM; empty: no client is asked for a certificate
  bool operator==(const RegistryTls&) const = default;
};

// Who may: user names, "cert:NAME" (a common name), "anonymous" (everybody), "authenticated".
using Grant = std::vector<std::string>;

struct ImmutableTags {
  enum class Kind { kNone, kVersions, kAll, kMatching };
  Kind kind = Kind::kVersions;
  std::vector<std::string> matching;  // kMatching: globs (base/glob.h) over tags
  bool operator==(const ImmutableTags&) const = default;
};

// What is kept; a tag that none of them keeps may go. None given: everything is kept.
struct Retention {
  std::optional<int> keep;                  // this many newest tags
  std::optional<Milliseconds> keep_for;     // what was pushed within that time
  std::vector<std::string> keep_tags;       // what these globs (base/glob.h) mean
  std::optional<Milliseconds> keep_pulled;  // what was pulled within that time
  bool operator==(const Retention&) const = default;
};

// Of repositories whose name `match` (a glob, base/glob.h) means.
struct RepositoryRule {
  std::string match;
  // Unset: whoever has logged in; anonymous when the host has no log-in at all.
  std::optional<Grant> read;
  std::optional<Grant> push;
  std::optional<Grant> remove;  // `delete`
  ImmutableTags immutable_tags;
  std::optional<Retention> retention;
  bool operator==(const RepositoryRule&) const = default;
};

// Repositories that are a cache of another registry's.
struct Upstream {
  std::string match;                         // a glob over repository names of this registry: "docker.io/**"
  std::string url;                           // of the other registry: http or https, a host, no path
  Milliseconds ttl = std::chrono::hours(1);  // how long a tag is believed without asking
  bool offline = false;                      // never asked; what is here is served
  bool operator==(const Upstream&) const = default;
};

struct HostRegistry {
  std::vector<std::string> listen;  // "127.0.0.1:5000"; empty: only what the command line says
  std::optional<RegistryTls> tls;
  std::string htpasswd;  // a file of NAME:BCRYPT lines; empty: nobody can log in by password
  Milliseconds token_lifetime = std::chrono::minutes(10);
  std::string access_log;                    // a file; empty: in the daemon's folder; "none": none is written
  std::vector<RepositoryRule> repositories;  // the first that matches counts
  std::vector<Upstream> upstreams;           // the first that matches counts
  bool operator==(const HostRegistry&) const = default;

  // Somebody can prove who they are: there is a log-in or client certificates.
  bool HasAuthentication() const { return !htpasswd.empty() || (tls && !tls->client_ca.empty()); }
  // The first rule whose `match` means the repository; a rule of defaults when none does.
  const RepositoryRule& RuleFor(std::string_view repository) const;
  // Null when no upstream has it.
  const Upstream* UpstreamFor(std::string_view repository) const;
};

// The check of everything stored, in the background.
struct Scrub {
  uint64_t rate_bytes = uint64_t{20} << 20;         // per second
  Milliseconds every = std::chrono::hours(7 * 24);  // from one round's begin to the next
  bool operator==(const Scrub&) const = default;
};

// Certificates that an authority issues by ACME (RFC 8555), for host names of routes that have none from a
// file; proven over http-01.
struct HostAcme {
  std::string directory;  // URL of the authority's directory
  std::string email;      // of the account; empty: none
  std::string ca;         // a file: whom the directory's own TLS is believed by; empty: the system's
  std::vector<std::string> domains;  // globs of host names it may be asked for; empty: every one of a route
  bool operator==(const HostAcme&) const = default;
};

// The daemon's API for others than this host's own users.
struct HostApi {
  std::vector<std::string> listen;  // ":7443"; empty: only the Unix socket
  std::optional<RegistryTls> tls;   // required beside `listen`
  bool operator==(const HostApi&) const = default;
};

// How the outside reaches services: docs/formats/host.md, "router".
struct HostRouter {
  struct Certificate {
    std::string certificate;  // files, as written
    std::string key;
    bool operator==(const Certificate&) const = default;
  };
  std::vector<std::string> http{":80"};    // listeners of routes by host name
  std::vector<std::string> https{":443"};  // the same with TLS
  std::vector<Certificate> certificates;   // the first is for clients that name no host
  std::optional<HostAcme> acme;
  std::vector<std::string> proxy_protocol_from;  // "10.0.0.0/8"
  std::vector<std::string> trusted_proxies;
  std::string maintenance;  // a file; empty: a line of text
  std::optional<uint64_t> request_body_bytes;
  Milliseconds request_headers = std::chrono::seconds(10);
  Milliseconds response = std::chrono::minutes(5);
  Milliseconds idle = std::chrono::minutes(5);
  Milliseconds tunnel = std::chrono::hours(1);
  bool operator==(const HostRouter&) const = default;
};

struct Host {
  std::string file;                          // as named
  std::optional<uint64_t> disk_limit_bytes;  // of the store
  HostRegistry registry;
  HostRouter router;
  std::optional<Scrub> scrub;
  std::string api_group;  // whose members may use the daemon's socket besides root; empty: nobody
  HostApi api;
  std::string metrics;  // where they are served: "127.0.0.1:9464"; empty: nowhere
  std::vector<Written> written;
};

struct ParsedHost {
  std::optional<Host> host;       // set exactly when there is no problem
  std::vector<Problem> problems;  // in the order of the file, at most kMaxProblems
};

// The limits of ParseAll (parse.h) hold. There are no variables: a host's configuration does not depend on
// who starts the daemon. Never throws.
ParsedHost ParseHost(std::string_view bytes, std::string_view file_name);

// JSON Schema 2020-12 of it, indented.
std::string HostJsonSchema();

}  // namespace ingot::definition
