#include "definition/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "definition/parse.h"
#include "definition/unsupported.h"

namespace ingot::definition {
namespace {

using testing::ElementsAre;

constexpr std::string_view kShop = R"(version: 1
project: shop
images: { web: { build: . }, api: { build: . } }
services:
  web:
    image: web
    replicas: 3
    port: 8080
    uses: [db, api]
    secrets: [key]
    environment: { A: "1", B: "2" }
    health: { ready: { http: /healthz, passes: 2 } }
    rollout: { keep_old: 1h, drain: 7s }
  api: { image: api, port: 9000, resources: { cpus: 1, memory: 1MiB } }
routes: [{ listen: ":8000", to: web }]
endpoints: { db: { url: "postgres://shop@DB.internal/shop" } }
secrets: { key: { env: KEY } }
environments:
  staging:
    services:
      web: { replicas: 1, environment: { B: "3" }, health: { ready: { deadline: 9s, tcp: true } } }
      api: { resources: { memory: 2MiB } }
)";

Definition Shop(const std::string& from = "", const std::string& to = "") {
  std::string yaml(kShop);
  if (!from.empty()) yaml.replace(yaml.find(from), from.size(), to);
  Result<Definition> definition = Parse(yaml, "ingot.yaml", {});
  EXPECT_TRUE(definition.has_value()) << definition.error().Render();
  return *std::move(definition);
}

ResolveInput Input(const std::string& environment = "local") {
  ResolveInput input;
  input.environment = environment;
  input.commit = "c0ffee";
  input.image_digests = {{"web", oci::Digest::Of("web")}, {"api", oci::Digest::Of("api")}};
  input.secret_versions = {{"key", "7"}};
  return input;
}

Resolved Ok(const Result<Resolved>& resolved) {
  EXPECT_TRUE(resolved.has_value()) << resolved.error().Render();
  return resolved ? *resolved : Resolved{};
}

const ResolvedService& ServiceIn(const Resolved& resolved, const std::string& name) {
  for (const ResolvedService& service : resolved.services)
    if (service.name == name) return service;
  ADD_FAILURE() << "no service " << name;
  return resolved.services.at(0);
}

TEST(Resolve, WritesOutEveryDefault) {
  const Resolved resolved = Ok(Resolve(Shop(), Input()));
  ResolvedService web;
  web.name = "web";
  web.image = oci::Digest::Of("web");
  web.environment = {{"A", "1"}, {"B", "2"}};
  web.secrets = {{"key", "7"}};
  web.uses = {{"api", false, {{"http", 9000, Protocol::kHttp}}, "", false},
              {"db", true, {{"postgres", 5432, Protocol::kTcp}}, "db.internal", false}};
  web.ports = {{"http", 8080, Protocol::kHttp}};
  web.ready.kind = ResolvedProbe::Kind::kHttp;
  web.ready.path = "/healthz";
  web.ready.port = 8080;
  web.ready.interval = Milliseconds(5);
  web.ready.timeout = Milliseconds(1'000);
  web.ready.passes = 2;
  web.ready.deadline = Milliseconds(30'000);
  web.grace = Milliseconds(10'000);
  web.drain = Milliseconds(7'000);
  web.replicas = 3;
  web.rollout.keep_old = Milliseconds(3'600'000);
  EXPECT_EQ(ServiceIn(resolved, "web"), web);
  const ResolvedService& api = ServiceIn(resolved, "api");
  EXPECT_EQ(api.ready.kind, ResolvedProbe::Kind::kTcp);
  EXPECT_EQ(api.ready.port, 9000);
  EXPECT_EQ(api.live, ResolvedProbe{});
  EXPECT_EQ(api.limits, (ResolvedLimits{1000, 1 << 20, 0}));
  EXPECT_EQ(api.rollout.keep_old, Milliseconds(600'000));
  EXPECT_EQ(resolved.routes,
            (std::vector<ResolvedRoute>{{":8000", "", 8000, "", "", "web", 8080, Protocol::kHttp, false}}));
  EXPECT_EQ(resolved.endpoints, (std::vector<ResolvedEndpoint>{{"db", "postgres://shop@DB.internal/shop",
                                                                "db.internal", 5432, false, false}}));
}

TEST(Resolve, OverridesMergeKeyByKey) {
  const Resolved resolved = Ok(Resolve(Shop(), Input("staging")));
  const ResolvedService& web = ServiceIn(resolved, "web");
  EXPECT_EQ(web.replicas, 1u);
  EXPECT_EQ(web.environment, (std::map<std::string, std::string>{{"A", "1"}, {"B", "3"}}));
  EXPECT_EQ(web.ready.kind, ResolvedProbe::Kind::kTcp);
  EXPECT_EQ(web.ready.path, "");
  EXPECT_EQ(web.ready.passes, 2);
  EXPECT_EQ(web.ready.deadline, Milliseconds(9'000));
  EXPECT_EQ(ServiceIn(resolved, "api").limits, (ResolvedLimits{1000, 2 << 20, 0}));
}

TEST(Resolve, NamesWhatIsMissing) {
  Result<Resolved> resolved = Resolve(Shop(), Input("stagin"));
  ASSERT_FALSE(resolved.has_value());
  EXPECT_EQ(resolved.error().code(), Code::kNotFound);
  EXPECT_EQ(resolved.error().message(),
            "ingot.yaml has no environment \"stagin\"; did you mean \"staging\"?");

  ResolveInput input = Input();
  input.image_digests.erase("api");
  resolved = Resolve(Shop(), input);
  ASSERT_FALSE(resolved.has_value());
  EXPECT_EQ(resolved.error().code(), Code::kNotFound);
  EXPECT_EQ(resolved.error().message(), "api needs image api, which has no digest; build it first");

  input = Input();
  input.secret_versions.clear();
  resolved = Resolve(Shop(), input);
  ASSERT_FALSE(resolved.has_value());
  EXPECT_EQ(resolved.error().message(), "web needs secret key, which has no version");
}

TEST(Resolve, SaysWhatItNeeds) {
  EXPECT_EQ(*ImagesNeeded(Shop(), "local"), (std::set<std::string>{"api", "web"}));
  EXPECT_EQ(*SecretsNeeded(Shop(), "local"), (std::set<std::string>{"key"}));
  EXPECT_EQ(ImagesNeeded(Shop(), "nowhere").error().code(), Code::kNotFound);
}

TEST(Resolve, RefusesADirtyTreeOutsideLocal) {
  ResolveInput input = Input("staging");
  input.dirty = true;
  const Result<Resolved> resolved = Resolve(Shop(), input);
  ASSERT_FALSE(resolved.has_value());
  EXPECT_EQ(resolved.error().code(), Code::kRefused);
  input.allow_dirty = true;
  EXPECT_TRUE(Ok(Resolve(Shop(), input)).dirty);
  input = Input("local");
  input.dirty = true;
  EXPECT_TRUE(Ok(Resolve(Shop(), input)).dirty);
}

// What makes a new fleet, and what does not: each line changes one thing about web.
struct Change {
  std::string from;
  std::string to;
};

TEST(FleetDigest, FollowsWhatAnInstanceCanSee) {
  const oci::Digest before = FleetDigest(ServiceIn(Ok(Resolve(Shop(), Input())), "web"));
  for (const Change& change :
       std::vector<Change>{{"image: web\n", "image: api\n"},
                           {"A: \"1\"", "A: \"2\""},
                           {"uses: [db, api]", "uses: [db]"},
                           {"port: 9000", "port: 9001"},  // of api, which web uses
                           {"DB.internal", "db2.internal"},
                           {"port: 8080", "port: 8081"},
                           {"passes: 2", "passes: 3"},
                           {"drain: 7s", "drain: 8s"},
                           {"replicas: 3", "replicas: 3\n    command: [a]"},
                           {"replicas: 3", "replicas: 3\n    user: app"},
                           {"replicas: 3", "replicas: 3\n    workdir: /app"},
                           {"replicas: 3", "replicas: 3\n    scratch: [/tmp]"},
                           {"replicas: 3", "replicas: 3\n    capabilities: [KILL]"},
                           {"replicas: 3", "replicas: 3\n    resources: { pids: 5 }"},
                           {"replicas: 3", "replicas: 3\n    stop_signal: SIGQUIT"},
                           {"replicas: 3", "replicas: 3\n    stop_grace_period: 1s"}}) {
    EXPECT_NE(FleetDigest(ServiceIn(Ok(Resolve(Shop(change.from, change.to), Input())), "web")), before)
        << change.from << " → " << change.to;
  }
  ResolveInput rotated = Input();
  rotated.secret_versions["key"] = "8";
  EXPECT_NE(FleetDigest(ServiceIn(Ok(Resolve(Shop(), rotated)), "web")), before);
}

TEST(FleetDigest, DoesNotFollowCountsRulesOrOrder) {
  const Resolved before = Ok(Resolve(Shop(), Input()));
  for (const Change& change : std::vector<Change>{{"replicas: 3", "replicas: 30"},
                                                  {"keep_old: 1h", "keep_old: 2h"},
                                                  {"uses: [db, api]", "uses: [api, db]"},
                                                  {"A: \"1\", B: \"2\"", "B: \"2\", A: \"1\""},
                                                  {"passes: 2", "passes: 2, timeout: 1s"}}) {
    const Resolved after = Ok(Resolve(Shop(change.from, change.to), Input()));
    EXPECT_EQ(FleetDigest(ServiceIn(after, "web")), FleetDigest(ServiceIn(before, "web"))) << change.to;
    EXPECT_EQ(RevisionDigest(after), RevisionDigest(before)) << change.to;
  }
  ResolveInput other = Input();
  other.commit = "decaf";
  EXPECT_EQ(RevisionDigest(Ok(Resolve(Shop(), other))), RevisionDigest(before));
}

TEST(RevisionDigest, FollowsFleetsAndRoutes) {
  const oci::Digest before = RevisionDigest(Ok(Resolve(Shop(), Input())));
  EXPECT_NE(RevisionDigest(Ok(Resolve(Shop(":8000", ":8001"), Input()))), before);
  EXPECT_NE(RevisionDigest(Ok(Resolve(Shop("to: web", "to: api"), Input()))), before);
  EXPECT_NE(RevisionDigest(Ok(Resolve(Shop("cpus: 1", "cpus: 2"), Input()))), before);
}

TEST(ResolvedJson, RoundTrips) {
  for (const char* environment : {"local", "staging"}) {
    const Resolved resolved = Ok(Resolve(Shop(), Input(environment)));
    const Result<Json> json = ParseJson(RenderCanonical(ToJson(resolved)));
    ASSERT_TRUE(json.has_value());
    EXPECT_EQ(Ok(ResolvedFromJson(*json)), resolved);
  }
}

// Each: a member of web's JSON replaced by something a hostile or newer client might send.
TEST(ResolvedJson, BelievesNothing) {
  const std::string good = RenderCanonical(ToJson(Ok(Resolve(Shop(), Input()))));
  const auto error = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    EXPECT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    const Result<Resolved> resolved = ResolvedFromJson(*ParseJson(text));
    return resolved ? "none"
                    : std::string(CodeName(resolved.error().code())) + " " + resolved.error().message();
  };
  EXPECT_EQ(error("\"version\":1", "\"version\":2"),
            "unsupported a resolved definition of version 2; this Ingot reads version 1, so use the same "
            "version on "
            "both ends");
  EXPECT_EQ(error("\"project\":\"shop\"", "\"project\":\"../shop\""),
            "invalid project: expected another value than \"../shop\"");
  EXPECT_EQ(error("\"port\":9000", "\"port\":90000"),
            "invalid services[0].ports[0].port: expected an integer from 1 to 65535");
  EXPECT_EQ(error("\"replicas\":3", "\"replicas\":-3"),
            "invalid services[1].replicas: expected an integer from 0 to 1000");
  EXPECT_EQ(error("\"replicas\":3", "\"replicas\":\"3\""),
            "invalid services[1].replicas: expected an integer from 0 to 1000");
  EXPECT_EQ(error("\"capabilities\":[]", "\"capabilities\":[\"ALL\"]"),
            "invalid services[0].capabilities: expected a list of fitting strings");
  EXPECT_EQ(error("\"key\":\"7\"", "\"../key\":\"7\""),
            "invalid services[1].secrets: expected names with string values");
  EXPECT_EQ(error("\"dirty\":false", "\"dirty\":false,\"extra\":1"),
            "invalid a resolved definition with members that version 1 does not have");
  EXPECT_EQ(error("\"service\":\"web\"", "\"service\":\"wob\""),
            "invalid routes: expected a port of a service, not \"wob\"");
  EXPECT_EQ(error("\"listen\":\":8000\"", "\"listen\":\"0.0.0.0:8000\""),
            "invalid routes[0].listen: expected a listener such as \":8000\"");
  EXPECT_EQ(error("\"routes\":[{", "\"routes\":[3,{"), "invalid routes[0]: expected an object");
  EXPECT_EQ(error("\"routes\":[{", "\"routes\":[{\"outside\":{\"host\":\"a b\",\"port\":1,\"percent\":1},"),
            "invalid routes[0].outside.host: expected another value than \"a b\"");
  EXPECT_EQ(error("\"routes\":[{", "\"routes\":[{\"outside\":{\"host\":\"::\",\"port\":1,\"percent\":1},"),
            "invalid routes[0].outside.host: expected another value than \"::\"");
  EXPECT_EQ(error("\"routes\":[{", "\"routes\":[{\"outside\":{\"host\":\"a\",\"port\":1,\"percent\":101},"),
            "invalid routes[0].outside.percent: expected an integer from 0 to 100");
}

TEST(Resolve, AShareForAServerElsewhereIsReadAsItWasWritten) {
  const Definition definition =
      Shop("to: web }", "to: { service: web, address: \"Old.Example:8080\", weight: 90% } }");
  EXPECT_EQ(definition.routes[0].to, "web");
  EXPECT_EQ(definition.routes[0].outside, (OutsideServer{"old.example:8080", 90}));
}

TEST(Unsupported, NamesTheBlockWithItsPlace) {
  const Definition definition = Shop("  api: { image: api,", "  api: { image: api, keepalive_timeout: 7s,");
  const std::vector<Unsupported> found = NotYetSupported(definition, "local");
  EXPECT_THAT(found, ElementsAre(Unsupported{"services.api.keepalive_timeout", 14, 22,
                                             "reuse of connections to instances"}));
  EXPECT_EQ(RenderUnsupported(definition, found[0]),
            "ingot.yaml:14:22: not yet supported: services.api.keepalive_timeout (reuse of connections to "
            "instances)");
}

TEST(Unsupported, LooksOnlyAtTheEnvironmentThatIsDeployed) {
  const Definition definition = Shop(
      "  staging:\n",
      "  other: { host: \"https://h.example\", services: { web: { keepalive_timeout: 7s } } }\n  staging:\n");
  EXPECT_THAT(NotYetSupported(definition, "local"), ElementsAre());
  EXPECT_THAT(NotYetSupported(definition, "staging"), ElementsAre());
  EXPECT_THAT(NotYetSupported(definition, "other"),
              ElementsAre(Unsupported{"environments.other.services.web.keepalive_timeout", 19, 58,
                                      "reuse of connections to instances"}));
}

TEST(Unsupported, WhatSaysNothingNewIsSupported) {
  EXPECT_THAT(NotYetSupported(Shop("    replicas: 3\n", "    kind: service\n"), "local"), ElementsAre());
  EXPECT_THAT(NotYetSupported(Shop("to: web }", "to: web, tls: false }"), "local"), ElementsAre());
  EXPECT_THAT(NotYetSupported(Shop("keep_old: 1h", "strategy: blue-green"), "local"), ElementsAre());
}

}  // namespace
}  // namespace ingot::definition
