// host.yaml's blocks, their keys, types, limits and descriptions.
#include "definition/shapes_host.h"

#include <algorithm>

#include "definition/endpoint_url.h"
#include "definition/scalars.h"

namespace ingot::definition {

namespace {

constexpr size_t kLongestGlob = 255;  // as a repository's name
constexpr size_t kMostRules = 500;
constexpr size_t kMostApiListeners = 16;

bool IsGlobOf(std::string_view text, std::string_view more) {
  return !text.empty() && text.size() <= kLongestGlob && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
  });
}

Shape<std::string> RepositoryGlob() {
  return TextThat("a pattern over repository names such as shop/** or docker.io/library/*",
                  "^[a-z0-9._/*?-]{1,255}$", [](std::string_view text) {
                    return IsGlobOf(text, "._-/*?") && text.front() != '/' && text.back() != '/' &&
                           text.find("//") == std::string_view::npos;
                  });
}

Shape<std::string> TagGlob() {
  return TextThat("a pattern over tags such as v*", "^[A-Za-z0-9._*?-]{1,255}$",
                  [](std::string_view text) { return IsGlobOf(text, "._-*?ABCDEFGHIJKLMNOPQRSTUVWXYZ"); });
}

// A listener of the registry has an address: that it is reached from elsewhere has to be said.
Shape<std::string> RegistryListen() {
  Shape<std::string> shape = Listen();
  shape.what = "an address and port such as 127.0.0.1:5000";
  return shape;
}

Shape<std::string> Grantee() {
  return TextThat("a user's name, cert:NAME, anonymous or authenticated", "^[!-9;-~]+$|^cert:[ -~]+$",
                  [](std::string_view text) {
                    constexpr std::string_view kCertificate = "cert:";
                    const bool certificate = text.starts_with(kCertificate);
                    if (certificate) text.remove_prefix(kCertificate.size());
                    return !text.empty() && text.size() <= 128 &&
                           std::all_of(text.begin(), text.end(), [&](char c) {
                             return c < 0x7f && (certificate ? c >= ' ' : c > ' ' && c != ':');
                           });
                  });
}

Shape<std::string> RegistryUrl() {
  return TextThat("a registry's URL such as https://registry-1.docker.io", "^https?://[^/]+/?$",
                  [](std::string_view text) {
                    const Result<EndpointUrl> url = EndpointUrl::Parse(text);
                    return url && (url->scheme == "https" || url->scheme == "http") &&
                           (url->path.empty() || url->path == "/");
                  });
}

Shape<ImmutableTags> ImmutableTagsShape() {
  using Kind = ImmutableTags::Kind;
  return Either<ImmutableTags>(
      As<ImmutableTags, Kind>(
          Choice<Kind>({{"none", Kind::kNone}, {"versions", Kind::kVersions}, {"all", Kind::kAll}}),
          [](Kind kind, ImmutableTags& out) {
            out = {kind, {}};
          }),
      As<ImmutableTags, std::vector<std::string>>(ListOf(TagGlob(), 1),
                                                  [](std::vector<std::string> globs, ImmutableTags& out) {
                                                    out = {Kind::kMatching, std::move(globs)};
                                                  }));
}

Shape<Retention> RetentionShape() {
  Fields<Retention> fields("retention", "What of a repository is kept: what any of these keeps.");
  fields.Optional("keep", &Retention::keep, Integer(1, 1'000'000), "This many newest tags.")
      .Optional("keep_for", &Retention::keep_for, Duration(), "What was pushed within that time.")
      .Optional("keep_tags", &Retention::keep_tags, ListOf(TagGlob(), 1), "Tags that these patterns mean.")
      .Optional("keep_pulled", &Retention::keep_pulled, Duration(), "What was pulled within that time.")
      .Check([](Reader& reader, const Node&, Retention& retention) {
        if (retention != Retention{}) return true;
        return reader.Fail("keeps nothing; expected one of keep, keep_for, keep_tags or keep_pulled");
      });
  return fields.ToShape();
}

Shape<RepositoryRule> RepositoryRuleShape() {
  Fields<RepositoryRule> fields("repository_rule", "What holds for the repositories that it matches.");
  fields
      .Required("match", &RepositoryRule::match, RepositoryGlob(),
                "A pattern over names: * within a segment, ** across.")
      .Optional("read", &RepositoryRule::read, ListOf(Grantee()), "Who may pull.", "[\"authenticated\"]")
      .Optional("push", &RepositoryRule::push, ListOf(Grantee()), "Who may push.", "[\"authenticated\"]")
      .Optional("delete", &RepositoryRule::remove, ListOf(Grantee()), "Who may delete.",
                "[\"authenticated\"]")
      .Optional("immutable_tags", &RepositoryRule::immutable_tags, ImmutableTagsShape(),
                "Tags that never move: none, versions (v1.2 and the like), all, or patterns.", "\"versions\"")
      .Optional("retention", &RepositoryRule::retention, RetentionShape(),
                "What is kept; everything if not given.");
  return fields.ToShape();
}

Shape<Upstream> UpstreamShape() {
  Fields<Upstream> fields("upstream", "Another registry whose repositories are cached here.");
  fields
      .Required("match", &Upstream::match, RepositoryGlob(),
                "A pattern over names: * within a segment, ** across.")
      .Required("url", &Upstream::url, RegistryUrl(), "The other registry.")
      .Optional("ttl", &Upstream::ttl, Duration(Milliseconds(0)),
                "How long a tag is believed without asking again.", "\"1h\"")
      .Optional("offline", &Upstream::offline, Truth(), "Serve what is here, and never ask.", "false");
  return fields.ToShape();
}

Shape<RegistryTls> RegistryTlsShape() {
  Fields<RegistryTls> fields("registry_tls", "TLS of the registry; files are read again when they change.");
  fields
      .Required("certificate", &RegistryTls::certificate, FilePath("a file"),
                "PEM: the certificate, then those between it and its authority.")
      .Required("key", &RegistryTls::key, FilePath("a file"), "PEM: its private key.")
      .Optional("client_ca", &RegistryTls::client_ca, FilePath("a file"),
                "PEM: authorities of client certificates; clients may then prove themselves by one.");
  return fields.ToShape();
}

// The first grantee of the rules that nobody can be.
std::string Impossible(const HostRegistry& registry) {
  const bool certificates = registry.tls && !registry.tls->client_ca.empty();
  for (const RepositoryRule& rule : registry.repositories) {
    for (const std::optional<Grant>* grant : {&rule.read, &rule.push, &rule.remove}) {
      for (const std::string& name : grant->value_or(Grant())) {
        if (name == "anonymous" || (name == "authenticated" && registry.HasAuthentication())) continue;
        if (name == "authenticated") return "nobody can log in: expected htpasswd or tls.client_ca";
        if (name.starts_with("cert:")) {
          if (!certificates) return Quoted(name) + " needs tls.client_ca";
        } else if (registry.htpasswd.empty()) {
          return "user " + Quoted(name) + " cannot log in: expected htpasswd";
        }
      }
    }
  }
  return "";
}

Shape<HostRegistry> HostRegistryShape() {
  Fields<HostRegistry> tokens("registry_tokens", "The bearer tokens that it issues.");
  tokens.Optional("lifetime", &HostRegistry::token_lifetime, Duration(std::chrono::seconds(1)),
                  "How long one is good.", "\"10m\"");
  Fields<HostRegistry> fields("host_registry", "The registry of this host.");
  fields
      .Optional("listen", &HostRegistry::listen, ListOf(RegistryListen(), 1),
                "Addresses and ports; the command line's stand in their place.")
      .Optional("tls", &HostRegistry::tls, RegistryTlsShape(), "TLS; plain HTTP if not given.")
      .Optional("htpasswd", &HostRegistry::htpasswd, FilePath("a file"),
                "A file of users, as `ingot registry user set` and htpasswd -B write it.")
      .Optional("access_log", &HostRegistry::access_log, FilePath("a file, or none"),
                "One JSON object for each request; none: not written.",
                "logs/registry/access.log below the root")
      .Part("tokens", tokens.ToShape(), "The bearer tokens that it issues.")
      .Optional("repositories", &HostRegistry::repositories, ListOf(RepositoryRuleShape()),
                "Rules by repository; the first that matches counts.")
      .Optional("upstreams", &HostRegistry::upstreams, ListOf(UpstreamShape()),
                "Registries cached here; the first that matches counts.")
      .Check([](Reader& reader, const Node&, HostRegistry& registry) {
        if (registry.repositories.size() > kMostRules || registry.upstreams.size() > kMostRules)
          return reader.Fail("more than the " + std::to_string(kMostRules) + " rules that there may be");
        if (registry.token_lifetime > std::chrono::hours(24))
          return reader.Fail("tokens.lifetime is longer than a day; a token cannot be taken back");
        const std::string impossible = Impossible(registry);
        return impossible.empty() || reader.Fail(impossible);
      });
  return fields.ToShape();
}

Shape<Scrub> ScrubShape() {
  Fields<Scrub> fields("scrub", "The check of everything stored, in the background.");
  fields.Optional("rate", &Scrub::rate_bytes, Size(), "Bytes read per second at most.", "\"20MiB\"")
      .Optional("every", &Scrub::every, Duration(), "From one round's begin to the next.", "\"7d\"");
  return fields.ToShape();
}

Shape<RegistryTls> ApiTlsShape() {
  Fields<RegistryTls> fields("api_tls", "TLS of the API; files are read again when they change.");
  fields
      .Required("certificate", &RegistryTls::certificate, FilePath("a file"),
                "PEM: the certificate, then those between it and its authority.")
      .Required("key", &RegistryTls::key, FilePath("a file"), "PEM: its private key.")
      .Optional("client_ca", &RegistryTls::client_ca, FilePath("a file"),
                "PEM: authorities of client certificates; a client is then cert:NAME, by its common name.");
  return fields.ToShape();
}

Shape<Host> ApiShape() {
  Fields<Host> fields("host_api", "The daemon's API.");
  fields
      .Optional(
          "group", &Host::api_group,
          TextThat("a group of the host", "^[a-z_][a-z0-9_.-]{0,31}\\$?$",
                   [](std::string_view text) { return text.find(':') == text.npos && IsMember(text); }),
          "Its members may use the socket as far as `access` of an environment lets them; only root if not "
          "given.")
      .Part("listen",
            As<Host, std::vector<std::string>>(
                ListOf(Listen(), 1),
                [](std::vector<std::string> listen, Host& host) { host.api.listen = std::move(listen); }),
            "Addresses and ports where other hosts reach it, by TLS alone; none if not given.")
      .Part("tls",
            As<Host, RegistryTls>(ApiTlsShape(),
                                  [](RegistryTls tls, Host& host) { host.api.tls = std::move(tls); }),
            "Its certificate; beside listen.")
      .Check([](Reader& reader, const Node&, Host& host) {
        if (!host.api.listen.empty() && !host.api.tls)
          return reader.Fail("listen without TLS; expected tls: { certificate, key } beside it");
        if (host.api.listen.empty() && host.api.tls) return reader.Fail("tls stands beside listen only");
        return host.api.listen.size() <= kMostApiListeners ||
               reader.Fail("more than the " + std::to_string(kMostApiListeners) +
                           " addresses that there may be");
      });
  return fields.ToShape();
}

Shape<Host> HostVersionShape() {
  auto shape = As<Host, std::string>(Word({"1"}), [](std::string, Host&) {});
  shape.schema = [](SchemaWriter&) -> Json { return JsonObject{{"const", 1}}; };
  return shape;
}

}  // namespace

const Shape<Host>& HostShape() {
  static const Shape<Host> shape = [] {
    Fields<Host> fields("host", "What belongs to the host and to no project.");
    fields.Part("version", HostVersionShape(), "The version of this format: 1.")
        .Needed()
        .Optional("disk_limit", &Host::disk_limit_bytes, Size(), "The most that the store takes on disk.")
        .Optional("registry", &Host::registry, HostRegistryShape(), "The registry of this host.")
        .Part("api", ApiShape(), "The daemon's API.")
        .Optional("metrics", &Host::metrics, RegistryListen(),
                  "Address and port where GET /metrics is answered, for Prometheus; without a log-in.")
        .Optional("router", &Host::router, HostRouterShape(), "How the outside reaches services.")
        .Optional("scrub", &Host::scrub, ScrubShape(),
                  "The check of everything stored; none in the background if not given.");
    return fields.ToShape();
  }();
  return shape;
}

}  // namespace ingot::definition
