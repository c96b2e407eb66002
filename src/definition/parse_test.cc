#include "definition/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "definition/example.h"

namespace ingot::definition {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> ProblemsOf(std::string_view yaml, const Variables& variables = {}) {
  std::vector<std::string> out;
  for (const Problem& problem : ParseAll(yaml, "ingot.yaml", variables).problems)
    out.push_back(problem.Render());
  return out;
}

constexpr std::string_view kHead = "version: 1\nproject: shop\nimages: { app: { build: . } }\n";

// A definition whose service `app` has these fields, in line 4 from column 27.
std::string WithService(const std::string& fields) {
  return std::string(kHead) + "services: { app: { image: app" + (fields.empty() ? "" : ", " + fields) +
         " } }\n";
}

// The same with a volume `data` to mount.
std::string WithVolume(const std::string& fields) {
  return WithService(fields) + "volumes: { data: }\n";
}

Definition Good(std::string_view yaml, const Variables& variables = {}) {
  Result<Definition> definition = Parse(yaml, "ingot.yaml", variables);
  EXPECT_TRUE(definition.has_value()) << definition.error().Render();
  return definition ? *std::move(definition) : Definition{};
}

TEST(Parse, TheLeast) {
  const Definition definition = Good("version: 1\nproject: shop\n");
  EXPECT_EQ(definition.project, "shop");
  EXPECT_EQ(definition.file, "ingot.yaml");
  ASSERT_EQ(definition.environments.size(), 1u);
  EXPECT_EQ(definition.environments.begin()->first, "local");
}

TEST(Parse, ServiceFields) {
  const Definition definition = Good(
      WithService("port: 8080, kind: service, command: [/app, \"\"], user: 1000, replicas: 0, capabilities: "
                  "[CAP_CHOWN, KILL], "
                  "resources: { cpus: 1.25, memory: 1GiB, pids: 7 }, scratch: [/tmp, { path: /x, size: 10MB, "
                  "exec: true }], "
                  "stop_signal: USR1, stop_grace_period: 1m30s, environment: { N: 1, B: true, E: \"\" }"));
  const Service& app = definition.services.at("app");
  EXPECT_EQ(app.ports, (std::map<std::string, Port>{{"http", {8080, Protocol::kHttp}}}));
  EXPECT_EQ(app.command, (std::vector<std::string>{"/app", ""}));
  EXPECT_EQ(app.user, "1000");
  EXPECT_EQ(app.replicas, 0);
  EXPECT_EQ(app.capabilities, (std::vector<std::string>{"CHOWN", "KILL"}));
  EXPECT_EQ(app.resources, (Resources{1250, uint64_t{1} << 30, 7}));
  EXPECT_EQ(app.scratch, (std::vector<Scratch>{{"/tmp", {}, {}}, {"/x", 10'000'000, true}}));
  EXPECT_EQ(app.stop_signal, "SIGUSR1");
  EXPECT_EQ(app.stop_grace_period, Milliseconds(90'000));
  EXPECT_EQ(app.environment, (std::map<std::string, std::string>{{"B", "true"}, {"E", ""}, {"N", "1"}}));
}

TEST(Parse, ShortForms) {
  const Definition definition = Good(
      "version: 1\nproject: shop\nimages:\n  a: { build: web/, test: [{ run: \"nginx -t\" }] }\n"
      "services: { s: { image: a, ports: { x: 1, y: { port: 2, protocol: tcp } } } }\n");
  const Image& image = definition.images.at("a");
  EXPECT_EQ(image.build->context, "web/");
  EXPECT_EQ(image.build->dockerfile, "Dockerfile");
  EXPECT_EQ(image.test.at(0).run, (std::vector<std::string>{"/bin/sh", "-c", "nginx -t"}));
  EXPECT_EQ(definition.services.at("s").ports,
            (std::map<std::string, Port>{{"x", {1, Protocol::kHttp}}, {"y", {2, Protocol::kTcp}}}));
}

TEST(Parse, KnowsWhereEachKeyStands) {
  const Definition definition = Good(WithService("replicas: 3"));
  EXPECT_EQ(definition.Where("services.app.replicas"), (Position{4, 32}));
  EXPECT_EQ(definition.Where("services.app.replicas.nothing"), (Position{4, 32}));
  EXPECT_EQ(definition.Locate("services.app.image"), "ingot.yaml:4:20");
  EXPECT_EQ(definition.Locate("nothing"), "ingot.yaml:1:1");
}

TEST(Parse, Variables) {
  const Variables variables{{{"N", "3"}, {"HOST", "db.internal"}, {"EMPTY", ""}}, "abc123"};
  const Definition definition =
      Good(WithService("replicas: \"${N}\", environment: { A: \"${HOST}:${PORT:-5432}\", B: \"${EMPTY}\", C: "
                       "\"${EMPTY:-x}\", "
                       "D: \"$$N $${N} 5$ $\", E: \"${git.sha}\", F: \"${NO:-}\", x-ignored: \"${NO}\" }"),
           variables);
  const Service& app = definition.services.at("app");
  EXPECT_EQ(app.replicas, 3);
  EXPECT_EQ(app.environment, (std::map<std::string, std::string>{{"A", "db.internal:5432"},
                                                                 {"B", ""},
                                                                 {"C", "x"},
                                                                 {"D", "$N ${N} 5$ $"},
                                                                 {"E", "abc123"},
                                                                 {"F", ""}}));
}

TEST(Parse, WhatAVariableHoldsIsNotReplacedAgain) {
  const Variables variables{{{"A", "${B} $$ $C"}}, {}};
  EXPECT_EQ(
      Good(WithService("environment: { A: \"${A}\" }"), variables).services.at("app").environment.at("A"),
      "${B} $$ $C");
}

TEST(Parse, VariableProblems) {
  const Variables variables{{{"LEVEL", "info"}}, {}};
  EXPECT_THAT(
      ProblemsOf(
          WithService("environment: { A: \"${LEVL}\", B: \"$LEVEL\", C: \"${LEVEL\", D: \"${git.sha}\", "
                      "E: \"${git.branch}\", F: \"${LEVEL:?no}\", G: \"${}\" }"),
          variables),
      ElementsAre("ingot.yaml:4:50: services.app.environment.A: undefined variable LEVL; set it, or write "
                  "${LEVL:-default}; "
                  "did you mean \"LEVEL\"?",
                  "ingot.yaml:4:64: services.app.environment.B: $LEVEL is not replaced; write ${LEVEL}, or "
                  "$$LEVEL for the "
                  "characters themselves",
                  "ingot.yaml:4:77: services.app.environment.C: a ${ without its }; write $${ for the "
                  "characters themselves",
                  "ingot.yaml:4:91: services.app.environment.D: ${git.sha} is undefined: the definition is "
                  "not in a git work "
                  "tree with a commit",
                  "ingot.yaml:4:108: services.app.environment.E: unknown variable ${git.branch}; the only "
                  "one of git is "
                  "${git.sha}",
                  "ingot.yaml:4:128: services.app.environment.F: \"${LEVEL:?no}\" is not a variable; write "
                  "${NAME} or "
                  "${NAME:-default}, or $${ for the characters themselves",
                  "ingot.yaml:4:147: services.app.environment.G: \"${}\" is not a variable; write ${NAME} or "
                  "${NAME:-default}, or $${ for the characters themselves"));
}

TEST(Parse, UserKeysAreIgnoredEverywhere) {
  EXPECT_THAT(ProblemsOf("version: 1\nproject: shop\nx-a: [1, { b: \"${NO}\" }]\n"
                         "services: { x-b: 3 }\nimages: { a: { build: ., x-c: } }\n"),
              IsEmpty());
}

struct Case {
  const char* name;
  std::string yaml;
  std::string problem;
};

class OneProblem : public testing::TestWithParam<Case> {};

TEST_P(OneProblem, IsNamedWithItsPlace) {
  EXPECT_THAT(ProblemsOf(GetParam().yaml), ElementsAre(GetParam().problem));
}

INSTANTIATE_TEST_SUITE_P(
    Parse, OneProblem,
    testing::Values(
        Case{"UnknownKey", WithService("replica: 3"),
             "ingot.yaml:4:32: services.app: unknown key \"replica\"; did you mean \"replicas\"?"},
        Case{"UnknownTopKey", "version: 1\nproject: shop\nservice: {}\n",
             "ingot.yaml:3:1: unknown key \"service\"; did you mean \"services\"?"},
        Case{"UnknownKeyFarFromAll", "version: 1\nproject: s\nflags: { file: a, weather: b }\n",
             "ingot.yaml:3:19: flags: unknown key \"weather\"; expected file"},
        Case{"DuplicateKey", std::string(kHead) + "project: other\n",
             "ingot.yaml:4:1: duplicate key \"project\"; first written in line 2"},
        Case{"MissingKey", "version: 1\n", "ingot.yaml:1:1: missing key \"project\": The project's name."},
        Case{
            "MissingKeyInBlock", std::string(kHead) + "services: { app: { port: 1 } }\n",
            "ingot.yaml:4:13: services.app: missing key \"image\": The name of an image of this definition."},
        Case{"OtherVersion", "version: 2\nproject: shop\n",
             "ingot.yaml:1:10: version: expected 1, not \"2\""},
        Case{"ListForMapping", std::string(kHead) + "services: [app]\n",
             "ingot.yaml:4:11: services: expected a mapping, not a list"},
        Case{
            "TextForList", WithService("uses: api"),
            "ingot.yaml:4:38: services.app.uses: expected a list (of the name of a service or endpoint), not "
            "\"api\""},
        Case{"TextForCommand", WithService("command: run me"),
             "ingot.yaml:4:41: services.app.command: expected a list of words such as [/app/run, --flag], "
             "not \"run "
             "me\""},
        Case{"MappingForText", WithService("user: { id: 3 }"),
             "ingot.yaml:4:38: services.app.user: expected a user such as app, 1000 or 1000:1000, not a "
             "mapping"},
        Case{"NothingForText", WithService("user: "),
             "ingot.yaml:4:39: services.app.user: expected a user such as app, 1000 or 1000:1000, not "
             "nothing"},
        Case{"TextForNumber", WithService("replicas: many"),
             "ingot.yaml:4:42: services.app.replicas: expected a whole number from 0 to 1000, not \"many\""},
        Case{"NegativeReplicas", WithService("replicas: -1"),
             "ingot.yaml:4:42: services.app.replicas: expected a whole number from 0 to 1000, not \"-1\""},
        Case{"HugeNumber", WithService("replicas: 99999999999999999999"),
             "ingot.yaml:4:42: services.app.replicas: expected a whole number from 0 to 1000, not "
             "\"99999999999999999999\""},
        Case{"PortZero", WithService("port: 0"),
             "ingot.yaml:4:38: services.app.port: expected a port from 1 to 65535, not \"0\""},
        Case{"BadDuration", WithService("max_age: 7 days"),
             "ingot.yaml:4:41: services.app.max_age: expected a duration such as 250ms, 5s, 10m, 1h30m or "
             "7d, not \"7 "
             "days\""},
        Case{"ZeroDuration", WithService("max_age: 0s"),
             "ingot.yaml:4:41: services.app.max_age: expected a duration longer than \"0s\""},
        Case{"ShortAge", WithService("max_age: 9s"),
             "ingot.yaml:4:32: services.app.max_age: an instance that is replaced so soon is hardly started; "
             "expected 10s or more"},
        Case{"AgeOfStateful",
             WithVolume("kind: stateful, volumes: [{ name: data, path: /data }], max_age: 7d"),
             "ingot.yaml:4:88: services.app.max_age: a stateful service keeps its instances; expected no "
             "max_age beside it"},
        Case{"StatefulWithoutData", WithService("kind: stateful"),
             "ingot.yaml:4:32: services.app.kind: a stateful service without data; expected volumes: with a "
             "volume's name and a path"},
        Case{"VolumeOfManyAlike", WithVolume("volumes: [{ name: data, path: /data }]"),
             "ingot.yaml:4:32: services.app.volumes: instances of app are alike and would share one volume; "
             "expected kind: stateful beside volumes, whose members each have their own"},
        Case{"StrategyOfStateful",
             WithVolume(
                 "kind: stateful, volumes: [{ name: data, path: /data }], rollout: { strategy: recreate }"),
             "ingot.yaml:4:99: services.app.rollout.strategy: members of a stateful service are replaced one "
             "by one; expected no strategy"},
        Case{
            "VolumeTwice",
            WithVolume("kind: stateful, volumes: [{ name: data, path: /data }, { name: data, path: /more }]"),
            "ingot.yaml:4:89: services.app.volumes[1].name: volume data is that of services.app.volumes[0] "
            "already; expected one of its own"},
        Case{"NoSchedule", WithService("scale: { schedules: [] }"),
             "ingot.yaml:4:52: services.app.scale.schedules: an empty list; expected at least one item"},
        Case{
            "BadScaleSchedule", WithService("scale: { schedules: [{ at: \"0 8 * *\", min: 1 }] }"),
            "ingot.yaml:4:59: services.app.scale.schedules[0].at: expected five fields (minute, hour, day of "
            "the month, month, day of the week), such as \"0 3 * * *\", not \"0 8 * *\""},
        Case{"ScheduleOfNothing", WithService("scale: { schedules: [{ at: \"0 8 * * *\" }] }"),
             "ingot.yaml:4:53: services.app.scale.schedules[0]: it changes nothing; expected min or max "
             "beside at"},
        Case{"ScheduleBeyondMax",
             WithService("scale: { max: 4, schedules: [{ at: \"0 8 * * *\", min: 5 }] }"),
             "ingot.yaml:4:80: services.app.scale.schedules[0].min: min 5 is more than max 4"},
        Case{"ScheduleBelowMin",
             WithService("scale: { min: 3, max: 4, target: { cpu: 5% }, schedules: [{ at: \"0 8 * * *\", "
                         "max: 2 }] }"),
             "ingot.yaml:4:109: services.app.scale.schedules[0].max: min 3 is more than max 2"},
        Case{"ScheduleOfMaxWithoutTarget",
             WithService("scale: { max: 4, schedules: [{ at: \"0 8 * * *\", max: 3 }] }"),
             "ingot.yaml:4:80: services.app.scale.schedules[0].max: without a target the count is min; "
             "expected no max here, or a target"},
        Case{
            "SparesOfAWorker", WithService("kind: worker, scale: { spares: 1 }"),
            "ingot.yaml:4:55: services.app.scale.spares: a worker takes work as soon as it runs; expected no "
            "spares, or kind: service"},
        Case{"SparesOfStateful",
             WithVolume("kind: stateful, volumes: [{ name: data, path: /data }], scale: { spares: 2 }"),
             "ingot.yaml:4:97: services.app.scale.spares: each instance of a stateful service has volumes of "
             "its own; expected no spares"},
        Case{
            "SparesWithoutAPort", WithService("scale: { spares: 1 }"),
            "ingot.yaml:4:41: services.app.scale.spares: without a port no request is kept from it; expected "
            "a port beside scale"},
        Case{"SparesBesideRecreate",
             WithService("port: 80, rollout: { strategy: recreate }, scale: { spares: 1 }"),
             "ingot.yaml:4:84: services.app.scale.spares: with strategy: recreate there is never one beside "
             "another; expected no spares, or another strategy"},
        Case{"SparesAndAMaximumWithoutATarget", WithService("port: 80, scale: { spares: 1, max: 3 }"),
             "ingot.yaml:4:42: services.app.scale: nothing to scale by; expected target: with cpu, memory, "
             "requests or queue"},
        Case{"BadSize", WithService("resources: { memory: 128Mi }"),
             "ingot.yaml:4:53: services.app.resources.memory: expected a size such as 512KiB, 128MiB or "
             "1GiB, not "
             "\"128Mi\""},
        Case{"BadCapability", WithService("capabilities: [ALL]"),
             "ingot.yaml:4:47: services.app.capabilities[0]: expected a capability such as NET_BIND_SERVICE "
             "(capabilities(7)), not \"ALL\""},
        Case{"BadName", std::string(kHead) + "services: { App: { image: app } }\n",
             "ingot.yaml:4:13: services: \"App\" cannot be a name here; expected lower-case letters, digits "
             "and dashes, "
             "a letter first, at most 40"},
        Case{"DanglingImage", std::string(kHead) + "services: { app: { image: ap } }\n",
             "ingot.yaml:4:20: services.app.image: no image is named \"ap\"; did you mean \"app\"?"},
        Case{"DanglingUse", WithService("uses: [database]"),
             "ingot.yaml:4:39: services.app.uses[0]: no service or endpoint is named \"database\"; expected "
             "app"},
        Case{"DanglingSecret", WithService("secrets: [key]"),
             "ingot.yaml:4:42: services.app.secrets[0]: no secret is named \"key\"; there is none"},
        Case{"UsesItself", WithService("port: 1, uses: [app]"),
             "ingot.yaml:4:48: services.app.uses[0]: circular: app → app"},
        Case{"UsesTwice",
             WithService("port: 1, uses: [db, db]") + "endpoints: { db: { url: \"tcp://db:1\" } }\n",
             "ingot.yaml:4:52: services.app.uses[1]: \"db\" for the second time"},
        Case{"DanglingRoute", WithService("port: 1") + "routes: [{ listen: \":80\", to: ap }]\n",
             "ingot.yaml:5:27: routes[0].to: no service is named \"ap\"; did you mean \"app\"?"},
        Case{
            "ListenWithoutColon", WithService("port: 1") + "routes: [{ listen: 8000, to: app }]\n",
            "ingot.yaml:5:20: routes[0].listen: expected a listener such as \":8000\", \"127.0.0.1:8000\" or "
            "\"[::1]:8000\", not \"8000\""},
        Case{"OutsideWithoutService",
             WithService("port: 1") +
                 "routes: [{ listen: \":80\", to: { address: \"10.0.0.7:80\", weight: 90 } }]\n",
             "ingot.yaml:5:27: routes[0].to: missing key \"service\": The service, which gets the rest."},
        Case{"OutsideNowhere",
             WithService("port: 1") +
                 "routes: [{ listen: \":80\", to: { service: app, address: \"0.0.0.0:81\", weight: 90 } }]\n",
             "ingot.yaml:5:56: routes[0].to.address: expected the address of a server such as "
             "\"10.0.0.7:8080\", "
             "\"old.example:80\" or \"[fd00::7]:80\", not \"0.0.0.0:81\""},
        Case{"OutsideTooMuch",
             WithService("port: 1") + "routes: [{ listen: \":80\", to: { service: app, address: "
                                      "\"10.0.0.7:80\", weight: 101 } }]\n",
             "ingot.yaml:5:79: routes[0].to.weight: expected a weight from 0 to 100 percent, not \"101\""},
        Case{"OutsideOfTcp",
             WithService("port: 1") +
                 "routes: [{ listen: \":80\", to: { service: app, address: \"10.0.0.7:80\", "
                 "weight: 1 }, protocol: tcp }]\n",
             "ingot.yaml:5:10: routes[0]: a share for a server elsewhere is of HTTP requests; expected "
             "protocol: "
             "http"},
        Case{
            "OutsideInACircle",
            WithService("port: 1") +
                "routes: [{ listen: \":80\", to: { service: app, address: \"127.0.0.1:80\", weight: 1 } }]\n",
            "ingot.yaml:5:47: routes[0].to.address: 127.0.0.1:80 is the listener of routes[0] (:80); "
            "expected where "
            "the other server listens"},
        Case{"OutsideInACircleByName",
             WithService("port: 1") + "routes: [{ listen: \"127.0.0.1:80\", to: { service: app, address: "
                                      "\"localhost:80\", weight: 1 } }]\n",
             "ingot.yaml:5:56: routes[0].to.address: localhost:80 is the listener of routes[0] "
             "(127.0.0.1:80); "
             "expected where the other server listens"},
        Case{
            "ListenOfMappedAddress",
            WithService("port: 1") + "routes: [{ listen: \"[::ffff:127.0.0.1]:80\", to: app }]\n",
            "ingot.yaml:5:20: routes[0].listen: expected a listener such as \":8000\", \"127.0.0.1:8000\" or "
            "\"[::1]:8000\", not \"[::ffff:127.0.0.1]:80\""},
        Case{"OverrideOfNoService",
             WithService("") + "environments: { local: { services: { ap: { replicas: 2 } } } }\n",
             "ingot.yaml:5:38: environments.local.services.ap: no service is named \"ap\"; did you mean "
             "\"app\"?"},
        Case{"ImageOfTwoKinds", "version: 1\nproject: s\nimages: { a: { build: ., image: redis } }\n",
             "ingot.yaml:3:11: images.a: expected only one of from, build and image"},
        Case{"ImageOfNoKind", "version: 1\nproject: s\nimages: { a: { packages: [curl] } }\n",
             "ingot.yaml:3:11: images.a: expected one of from, build or image"},
        Case{"BadReference", "version: 1\nproject: s\nimages: { a: { image: Redis } }\n",
             "ingot.yaml:3:23: images.a.image: \"Redis\" is not an image reference: its repository; expected "
             "lower-case "
             "letters and digits, separated by \"/\", \".\", \"_\", \"__\" or \"-\""},
        Case{"BadSchedule", std::string(kHead) + "jobs: { a: { image: app, schedule: \"0 25 * * *\" } }\n",
             "ingot.yaml:4:36: jobs.a.schedule: \"25\" is not a hour (0 to 23, *, a-b, */n)"},
        Case{"PasswordInUrl", std::string(kHead) + "endpoints: { db: { url: \"postgres://u:p@h/d\" } }\n",
             "ingot.yaml:4:25: endpoints.db.url: a password in the URL; keep it in `secrets`, which no plan "
             "or log "
             "shows, and let the program read it from /run/secrets"},
        Case{"Nothing", "", "ingot.yaml:1:1: nothing in it; expected version: 1"},
        Case{"OnlyText", "hello", "ingot.yaml:1:1: expected a mapping, not \"hello\""},
        Case{"TwoDocuments", "version: 1\nproject: s\n---\na: 1\n",
             "ingot.yaml:3:1: a second YAML document; expected one per file"},
        Case{"BadYaml", "version: 1\nproject: [s\n",
             "ingot.yaml:3:1: not valid YAML: end of sequence flow not found"},
        Case{"NotUtf8", "version: 1\nproject: \xff\n", "ingot.yaml:2:10: not UTF-8"},
        Case{"ControlCharacter", std::string("version: 1\nproject: a\x04\n"),
             "ingot.yaml:2:11: a control character (\"\\x04\"); expected text"},
        Case{"NulInText", WithService("environment: { A: \"a\\0b\" }"),
             "ingot.yaml:4:50: a NUL character; text cannot hold one"},
        Case{"KeyOfManyParts", "? [a, b]\n: c\n", "ingot.yaml:1:3: a key that is not plain text"},
        Case{"Tag", "version: !!int 1\nproject: s\n",
             "ingot.yaml:1:10: the YAML tag \"tag:yaml.org,2002:int\"; expected a plain value"},
        Case{"AliasOfItself", "version: 1\nx-a: &a [*a]\n",
             "ingot.yaml:2:10: an alias inside the value it stands for"},
        Case{"TooDeep", std::string(40, '[') + std::string(40, ']'),
             "ingot.yaml:1:33: nested more than 32 levels deep"}),
    [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

TEST(Parse, AliasBombIsRefused) {
  std::string yaml = "version: 1\nproject: s\nx-0: &a0 [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    yaml += "x-" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 9; ++j) yaml += "," + before;
    yaml += "]\n";
  }
  EXPECT_THAT(ProblemsOf(yaml), ElementsAre("ingot.yaml:7:23: more than 50000 values, aliases included"));
}

TEST(Parse, AliasesStandForTheirValue) {
  const Definition definition = Good(std::string(kHead) +
                                     "x-health: &health { ready: { tcp: true } }\n"
                                     "services:\n  a: { image: app, port: 1, health: *health }\n"
                                     "  b: { image: app, port: 2, health: *health }\n");
  EXPECT_EQ(definition.services.at("a").health, definition.services.at("b").health);
  EXPECT_EQ(definition.services.at("b").health->ready->tcp, true);
}

TEST(Parse, TooLargeIsRefusedAtOnce) {
  EXPECT_THAT(ProblemsOf(std::string(kMaxProblems + (size_t{1} << 20), ' ')),
              ElementsAre("ingot.yaml: larger than 1 MiB"));
}

TEST(Parse, ReportsTwentyAtMost) {
  std::string yaml(kHead);
  for (int i = 0; i < 40; ++i) yaml += "unknown" + std::to_string(i) + ": 1\n";
  const std::vector<std::string> problems = ProblemsOf(yaml);
  EXPECT_EQ(problems.size(), kMaxProblems);
  EXPECT_THAT(problems.front(), testing::StartsWith("ingot.yaml:4:1: unknown key \"unknown0\""));
}

TEST(Parse, TheErrorHasEveryProblemOnALine) {
  const Result<Definition> definition = Parse("version: 1\nprojet: a\n", "x/ingot.yaml", {});
  ASSERT_FALSE(definition.has_value());
  EXPECT_EQ(definition.error().code(), Code::kInvalid);
  EXPECT_EQ(definition.error().message(),
            "x/ingot.yaml:1:1: missing key \"project\": The project's name.\n"
            "x/ingot.yaml:2:1: unknown key \"projet\"; did you mean \"project\"?");
}

TEST(Starter, IsAValidDefinition) {
  const Definition definition = Good(StarterDefinition("my-shop"));
  EXPECT_EQ(definition.project, "my-shop");
  EXPECT_EQ(definition.images.at("app").build->context, ".");
  EXPECT_EQ(definition.services.at("app").ports->at("http").number, 8080);
  EXPECT_EQ(definition.routes.at(0).listen, ":8000");
}

TEST(Starter, NamesAProjectAfterItsDirectory) {
  EXPECT_EQ(NameFrom("My Shop!"), "my-shop");
  EXPECT_EQ(NameFrom("2024_api"), "api");
  EXPECT_EQ(NameFrom("***"), "app");
  EXPECT_EQ(NameFrom(""), "app");
  EXPECT_EQ(NameFrom(std::string(60, 'a')), std::string(40, 'a'));
}

}  // namespace
}  // namespace ingot::definition
