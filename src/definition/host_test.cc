#include "definition/host.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <set>

#include "base/file.h"
#include "base/json.h"

namespace ingot::definition {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> HostProblems(std::string_view yaml) {
  std::vector<std::string> out;
  for (const Problem& problem : ParseHost(yaml, "host.yaml").problems) out.push_back(problem.Render());
  return out;
}

constexpr std::string_view kWhole = R"(version: 1
disk_limit: 40GiB
registry:
  listen: ["127.0.0.1:5000", ":5443"]
  tls: { certificate: tls/registry.crt, key: tls/registry.key, client_ca: /etc/ingot/clients.pem }
  htpasswd: users
  access_log: log/registry.json
  tokens: { lifetime: 5m }
  repositories:
    - match: "shop/**"
      read: [anonymous]
      push: [ci, "cert:build host 1"]
      delete: []
      immutable_tags: [v*, "20??.*"]
      retention: { keep: 10, keep_for: 30d, keep_tags: ["v*"], keep_pulled: 14d }
    - { match: "**", immutable_tags: all }
  upstreams:
    - { match: "docker.io/**", url: "https://registry-1.docker.io", ttl: 0s, offline: true }
scrub: { rate: 1MiB, every: 1d }
metrics: 127.0.0.1:9464
api: { group: ingot, listen: [":7443", "127.0.0.1:7444"], tls: { certificate: api.crt, key: api.key } }
x-note: mine
)";

TEST(Host, TheApiListensByTlsAlone) {
  EXPECT_THAT(
      HostProblems("version: 1\napi: { listen: [\":7443\"] }\n"),
      ElementsAre("host.yaml:2:1: api: listen without TLS; expected tls: { certificate, key } beside it"));
  EXPECT_THAT(HostProblems("version: 1\napi: { tls: { certificate: a, key: b } }\n"),
              ElementsAre("host.yaml:2:1: api: tls stands beside listen only"));
  EXPECT_THAT(HostProblems("version: 1\napi: { group: ingot }\n"), IsEmpty());
}

TEST(Host, AWholeOne) {
  const ParsedHost parsed = ParseHost(kWhole, "host.yaml");
  ASSERT_TRUE(parsed.host) << parsed.problems.at(0).Render();
  const Host& host = *parsed.host;
  EXPECT_EQ(host.disk_limit_bytes, uint64_t{40} << 30);
  const HostRegistry& registry = host.registry;
  EXPECT_THAT(registry.listen, ElementsAre("127.0.0.1:5000", ":5443"));
  EXPECT_EQ(registry.tls, (RegistryTls{"tls/registry.crt", "tls/registry.key", "/etc/ingot/clients.pem"}));
  EXPECT_EQ(registry.htpasswd, "users");
  EXPECT_EQ(registry.access_log, "log/registry.json");
  EXPECT_EQ(host.metrics, "127.0.0.1:9464");
  EXPECT_EQ(host.api_group, "ingot");
  EXPECT_THAT(host.api.listen, ElementsAre(":7443", "127.0.0.1:7444"));
  EXPECT_EQ(host.api.tls, (RegistryTls{"api.crt", "api.key", ""}));
  EXPECT_EQ(registry.token_lifetime, std::chrono::minutes(5));
  ASSERT_EQ(registry.repositories.size(), 2u);
  const RepositoryRule& shop = registry.RuleFor("shop/web");
  EXPECT_EQ(shop.read, Grant{"anonymous"});
  EXPECT_EQ(shop.push, (Grant{"ci", "cert:build host 1"}));
  EXPECT_EQ(shop.remove, Grant{});
  EXPECT_EQ(shop.immutable_tags, (ImmutableTags{ImmutableTags::Kind::kMatching, {"v*", "20??.*"}}));
  EXPECT_EQ(shop.retention, (Retention{10, std::chrono::hours(720), {"v*"}, std::chrono::hours(24 * 14)}));
  const RepositoryRule& other = registry.RuleFor("other");
  EXPECT_EQ(other.read, std::nullopt);
  EXPECT_EQ(other.immutable_tags.kind, ImmutableTags::Kind::kAll);
  ASSERT_NE(registry.UpstreamFor("docker.io/library/debian"), nullptr);
  EXPECT_EQ(*registry.UpstreamFor("docker.io/library/debian"),
            (Upstream{"docker.io/**", "https://registry-1.docker.io", Milliseconds(0), true}));
  EXPECT_EQ(registry.UpstreamFor("shop/web"), nullptr);
  EXPECT_EQ(host.scrub, (Scrub{uint64_t{1} << 20, std::chrono::hours(24)}));
}

TEST(Host, TheLeastHasTheDefaultsOfTheDocument) {
  const ParsedHost parsed = ParseHost("version: 1\nscrub:\n", "host.yaml");
  ASSERT_TRUE(parsed.host);
  EXPECT_EQ(parsed.host->disk_limit_bytes, std::nullopt);
  EXPECT_EQ(parsed.host->registry, HostRegistry{});
  EXPECT_FALSE(parsed.host->registry.HasAuthentication());
  EXPECT_EQ(parsed.host->registry.RuleFor("a").immutable_tags.kind, ImmutableTags::Kind::kVersions);
  EXPECT_EQ(parsed.host->scrub, Scrub{});
}

TEST(Host, MistakesHaveAPlaceAndASuggestion) {
  EXPECT_THAT(HostProblems(""), ElementsAre("host.yaml:1:1: nothing in it; expected version: 1"));
  EXPECT_THAT(HostProblems("registry: {}\n"),
              ElementsAre("host.yaml:1:1: missing key \"version\": The version of this format: 1."));
  EXPECT_THAT(HostProblems("version: 1\nregistry:\n  listn: [\":1\"]\n  tls: { certificate: a }\n"),
              ElementsAre("host.yaml:3:3: registry: unknown key \"listn\"; did you mean \"listen\"?",
                          "host.yaml:4:3: registry.tls: missing key \"key\": PEM: its private key."));
  EXPECT_THAT(
      HostProblems("version: 1\nregistry: { repositories: [{ match: Shop }] }\n"),
      ElementsAre("host.yaml:2:37: registry.repositories[0].match: expected a pattern over repository "
                  "names such as shop/** or docker.io/library/*, not \"Shop\""));
  EXPECT_THAT(
      HostProblems("version: 1\nregistry: { repositories: [{ match: a, immutable_tags: version }] }\n"),
      ElementsAre("host.yaml:2:56: registry.repositories[0].immutable_tags: expected none, versions or all, "
                  "not \"version\"; did you mean \"versions\"?"));
  EXPECT_THAT(HostProblems("version: 1\nregistry: { upstreams: [{ match: a, url: \"https://h/x\" }] }\n"),
              ElementsAre("host.yaml:2:42: registry.upstreams[0].url: expected a registry's URL such as "
                          "https://registry-1.docker.io, not \"https://h/x\""));
  EXPECT_THAT(
      HostProblems("version: 1\nregistry: { repositories: [{ match: a, retention: {} }] }\n"),
      ElementsAre("host.yaml:2:40: registry.repositories[0].retention: keeps nothing; expected one of "
                  "keep, keep_for, keep_tags or keep_pulled"));
}

TEST(Host, WhomNobodyCanBeIsRefused) {
  const auto with = [](const std::string& keys, const std::string& who) {
    return HostProblems("version: 1\nregistry: { " + keys + " repositories: [{ match: a, push: [" + who +
                        "] }] }\n");
  };
  EXPECT_THAT(with("", "anonymous"), IsEmpty());
  EXPECT_THAT(with("", "ci"), ElementsAre("host.yaml:2:1: registry: user \"ci\" cannot log in: expected "
                                          "htpasswd"));
  EXPECT_THAT(with("", "authenticated"), ElementsAre("host.yaml:2:1: registry: nobody can log in: expected "
                                                     "htpasswd or tls.client_ca"));
  EXPECT_THAT(with("htpasswd: f,", "ci, authenticated"), IsEmpty());
  EXPECT_THAT(with("htpasswd: f,", "\"cert:ci\""),
              ElementsAre("host.yaml:2:1: registry: \"cert:ci\" needs tls.client_ca"));
  EXPECT_THAT(with("tls: { certificate: c, key: k, client_ca: a },", "\"cert:ci\", authenticated"),
              IsEmpty());
  EXPECT_THAT(with("htpasswd: f,", "\"a b\""),
              ElementsAre("host.yaml:2:60: registry.repositories[0].push[0]: expected a user's name, "
                          "cert:NAME, anonymous or authenticated, not \"a b\""));
}

TEST(Host, TheRouterHasDefaultsAndLimits) {
  const ParsedHost plain = ParseHost("version: 1\n", "host.yaml");
  ASSERT_TRUE(plain.host);
  EXPECT_EQ(plain.host->router, HostRouter{});
  EXPECT_THAT(plain.host->router.https, ElementsAre(":443"));
  const ParsedHost full = ParseHost(
      "version: 1\nrouter:\n  http: []\n  https: [\":8443\", \"127.0.0.1:9443\"]\n"
      "  certificates: [{ certificate: a.crt, key: a.key }]\n  proxy_protocol_from: [10.0.0.0/8, \"::1\"]\n"
      "  trusted_proxies: [192.0.2.7]\n  maintenance: 503.html\n"
      "  limits: { request_body: 10MiB, request_headers: 2s, response: 1m, idle: 1m, tunnel: 2h }\n",
      "host.yaml");
  ASSERT_TRUE(full.host);
  const HostRouter& router = full.host->router;
  EXPECT_THAT(router.http, IsEmpty());
  EXPECT_THAT(router.https, ElementsAre(":8443", "127.0.0.1:9443"));
  EXPECT_THAT(router.certificates, ElementsAre(HostRouter::Certificate{"a.crt", "a.key"}));
  EXPECT_EQ(router.request_body_bytes, 10u << 20);
  EXPECT_EQ(router.request_headers, Milliseconds(2000));
  EXPECT_EQ(router.tunnel, std::chrono::hours(2));
}

TEST(Host, WhatTheRouterCannotDoIsRefused) {
  EXPECT_THAT(HostProblems("version: 1\nrouter: { http: [\":80\"], https: [\"127.0.0.1:80\"] }\n"),
              ElementsAre("host.yaml:2:1: router: the listener 127.0.0.1:80 is there twice"));
  EXPECT_THAT(HostProblems("version: 1\nrouter: { http: [\"[::]:80\"], https: [\"[::1]:80\"] }\n"),
              ElementsAre("host.yaml:2:1: router: the listener [::1]:80 is there twice"));
  EXPECT_THAT(HostProblems("version: 1\nrouter: { http: [\":80\", \"[::]:80\"], https: [\"[::1]:443\"] }\n"),
              ElementsAre());
  for (const char* bad : {"10.0.0.0/33", "10.0.0/8", "example", "10.0.0.0/", "::/129"})
    EXPECT_THAT(
        HostProblems("version: 1\nrouter: { trusted_proxies: [\"" + std::string(bad) + "\"] }\n"),
        ElementsAre("host.yaml:2:29: router.trusted_proxies[0]: expected an address or network such as "
                    "10.0.0.0/8, not \"" +
                    std::string(bad) + "\""));
}

// docs/formats/host.md has a table for every block, with a row for every key and its description.
TEST(Host, TheSchemaIsWhatTheDocumentSays) {
  const char* source = std::getenv("INGOT_SOURCE_DIR");
  const Result<std::string> document =
      ReadFile(fs::path(source != nullptr ? source : ".") / "docs/formats/host.md");
  ASSERT_TRUE(document.has_value()) << document.error().Render();
  const Result<Json> schema = ParseJson(HostJsonSchema());
  ASSERT_TRUE(schema.has_value());
  size_t keys = 0;
  for (const auto& block : schema->at("$defs").as_object()) {
    const std::string heading = "\n### " + std::string(block.key()) + "\n";
    const size_t start = document->find(heading);
    ASSERT_NE(start, std::string::npos) << heading;
    const std::string section = document->substr(start, document->find("\n### ", start + 1) - start);
    for (const auto& property : block.value().at("properties").as_object()) {
      ++keys;
      const size_t row = section.find("\n| `" + std::string(property.key()) + "` |");
      ASSERT_NE(row, std::string::npos) << heading << property.key();
      const std::string line = section.substr(row + 1, section.find('\n', row + 1) - row - 1);
      const std::string meaning(property.value().at("description").get_string());
      EXPECT_TRUE(line.ends_with("| " + meaning + " |")) << line << " should mean: " << meaning;
    }
  }
  EXPECT_EQ(keys, 59u);
}

}  // namespace
}  // namespace ingot::definition
