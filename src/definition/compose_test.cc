#include "definition/compose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "definition/compose_values.h"
#include "definition/parse.h"

namespace ingot::definition {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

ComposeImport Imported(const std::string& text, std::map<std::string, std::string> dot_env = {}) {
  ComposeInput input{"compose.yaml", "shop", std::move(dot_env), [](const std::string& path) {
                       return path == "a.env"
                                  ? std::optional<std::string>("# x\nexport A='1 $x'\nB=two # three\n")
                                  : std::nullopt;
                     }};
  auto imported = ImportCompose(text, input);
  EXPECT_TRUE(imported) << imported.error().Render();
  return imported ? *std::move(imported) : ComposeImport{};
}

Definition DefinitionOf(const ComposeImport& imported) {
  auto parsed = Parse(imported.definition, "ingot.yaml", Variables{});
  EXPECT_TRUE(parsed) << parsed.error().Render() << "\n" << imported.definition;
  return parsed ? *std::move(parsed) : Definition{};
}

std::vector<std::string> Notes(const ComposeImport& imported) {
  std::vector<std::string> out;
  for (const ComposeNote& note : imported.notes)
    out.push_back(note.path + ":" + std::to_string(note.line) + ": " + note.why);
  return out;
}

TEST(Compose, AUsualFileBecomesADefinition) {
  const ComposeImport imported = Imported(R"(
name: My Shop
x-common: &common { restart: always, stop_grace_period: 1m30s }
services:
  web:
    <<: *common
    build: { context: ./web, args: { V: "1" } }
    ports: ["127.0.0.1:8080:80"]
    environment: { API_URL: "http://api:9001/", DATABASE_URL: "postgres://u@db/shop", LOG: }
    depends_on: { api: { condition: service_healthy } }
    deploy: { replicas: 3, resources: { limits: { cpus: "0.50", memory: 128M, pids: 50 } } }
    tmpfs: [ "/tmp:size=64m,exec" ]
  api:
    image: registry.example/api:${TAG:-v1}
    entrypoint: ["/api"]
    command: --port 9001 "--name=a b"
    healthcheck: { test: ["CMD", "/api", "check"], interval: 10s, timeout: 2s, retries: 5, start_period: 1m }
    secrets: [key]
    cap_add: [NET_BIND_SERVICE]
    user: "1000:1000"
  db:
    image: postgres:16
    volumes: ["data:/var/lib/postgresql/data", "./init.sql:/docker-entrypoint-initdb.d/init.sql:ro"]
  mailer: { image: "mailer:1", env_file: a.env }
volumes: { data: }
secrets: { key: { file: ./key.txt } }
)");
  const Definition definition = DefinitionOf(imported);
  EXPECT_EQ(definition.project, "my-shop");
  ASSERT_EQ(definition.services.size(), 4u);
  const Service& web = definition.services.at("web");
  EXPECT_EQ(web.replicas, 3);
  EXPECT_EQ(web.stop_grace_period, Milliseconds(90'000));
  EXPECT_EQ(web.resources, (Resources{500, 128u << 20, 50}));
  EXPECT_THAT(*web.uses, ElementsAre("api", "db"));
  EXPECT_EQ(web.environment.at("API_URL"), "http://api:9001/");
  EXPECT_EQ(web.environment.at("LOG"), "");
  EXPECT_EQ(web.scratch, (std::vector<Scratch>{{"/tmp", 64u << 20, true}}));
  ASSERT_EQ(definition.routes.size(), 1u);
  EXPECT_EQ(definition.routes[0].listen, "127.0.0.1:8080");
  const Service& api = definition.services.at("api");
  EXPECT_THAT(*api.command, ElementsAre("/api", "--port", "9001", "--name=a b"));
  EXPECT_EQ(api.ports->at("http").number, 9001);
  EXPECT_THAT(*api.health->live->run, ElementsAre("/api", "check"));
  EXPECT_EQ(api.health->live->fails, 5);
  EXPECT_EQ(api.health->ready->deadline, Milliseconds(64'000));
  EXPECT_EQ(definition.images.at("api").image, "registry.example/api:v1");
  EXPECT_EQ(definition.services.at("db").ports->at("p5432").protocol, Protocol::kTcp);
  EXPECT_EQ(definition.services.at("db").volumes,
            (std::vector<Mount>{{"data", "/var/lib/postgresql/data", false}}));
  EXPECT_EQ(definition.services.at("db").kind, Kind::kStateful);
  const Service& mailer = definition.services.at("mailer");
  EXPECT_EQ(mailer.kind, Kind::kWorker);
  EXPECT_EQ(mailer.environment.at("A"), "1 $x");
  EXPECT_EQ(mailer.environment.at("B"), "two");
  EXPECT_THAT(Notes(imported),
              Contains(HasSubstr("services.db.volumes:23: files of the host are not mounted")));
}

TEST(Compose, AVolumeThatReplicasSharedIsSaidToBeEachMembersOwn) {
  const auto notes = [](const std::string& more) {
    return Notes(Imported("services: { web: { image: a, ports: [\"80:80\"], volumes: [\"up:/up\"]" + more +
                          " } }\nvolumes: { up: }\n"));
  };
  const auto stateful =
      Contains(HasSubstr("services.web.volumes:1: makes it a stateful service: a release "));
  const auto own = Contains(HasSubstr(
      "services.web.volumes:1: each of its 3 members has a up of its own, where Compose gives all of "
      "them the same: one that is shared cannot be had. Run one (replicas: 1)"));
  for (const char* more : {", deploy: { replicas: 3 }", ", scale: 3"}) {
    EXPECT_THAT(notes(more), stateful) << more;
    EXPECT_THAT(notes(more), own) << more;
  }
  for (const char* more : {"", ", deploy: { replicas: 1 }"}) {
    EXPECT_THAT(notes(more), stateful) << more;
    EXPECT_THAT(notes(more), Not(Contains(HasSubstr("of its own, where")))) << more;
  }
  EXPECT_THAT(Notes(Imported("services: { web: { image: a, ports: [\"80:80\"], scale: 3 } }")),
              Not(Contains(HasSubstr("stateful"))));
}

TEST(Compose, OptionsOfATmpfsAreTakenOrNamed) {
  const ComposeImport imported = Imported(R"(services:
  web:
    image: a
    ports: ["80:80"]
    tmpfs: ["/big:size=50%", "/run:size=10m,mode=1777,uid=1000,rw,noexec", "/exec:exec,nr_inodes=5"]
    volumes:
      - { type: tmpfs, target: /x, tmpfs: { size: 1048576, mode: 1770 } }
      - { type: tmpfs, target: /y, read_only: true, tmpfs: { size: 2gb } }
)");
  EXPECT_EQ(DefinitionOf(imported).services.at("web").scratch,
            (std::vector<Scratch>{{"/big", std::nullopt, std::nullopt},
                                  {"/run", 10u << 20, std::nullopt},
                                  {"/exec", std::nullopt, true},
                                  {"/x", 1u << 20, std::nullopt},
                                  {"/y", uint64_t{2} << 30, std::nullopt}}));
  std::vector<std::string> said;
  for (const std::string& note : Notes(imported))
    if (note.find(".tmpfs:") != std::string::npos || note.find(".volumes:") != std::string::npos)
      said.push_back(note);
  for (const char* expected :
       {"services.web.tmpfs:5: /big: size=50%: no number of bytes",
        "services.web.tmpfs:5: /run: uid=1000: ", "services.web.tmpfs:5: /exec: nr_inodes=5: ",
        "services.web.volumes:7: /x: mode=1770: ", "services.web.volumes:8: /y: read_only: "})
    EXPECT_THAT(Notes(imported), Contains(HasSubstr(expected)));
  EXPECT_EQ(said.size(), 5u) << "what holds anyway is not named: " << ::testing::PrintToString(said);
}

TEST(Compose, EveryOtherFieldIsNamedWithTheReason) {
  for (const char* key : {"annotations", "attach",       "blkio_config",  "configs",   "container_name",
                          "cpu_shares",  "cpuset",       "devices",       "dns",       "domainname",
                          "extends",     "extra_hosts",  "gpus",          "group_add", "hostname",
                          "init",        "ipc",          "labels",        "logging",   "mac_address",
                          "networks",    "network_mode", "oom_score_adj", "pid",       "platform",
                          "privileged",  "profiles",     "pull_policy",   "runtime",   "security_opt",
                          "shm_size",    "stdin_open",   "sysctls",       "tty",       "ulimits",
                          "userns_mode"}) {
    EXPECT_FALSE(WhyNotInService(key).empty()) << key;
    const ComposeImport imported =
        Imported(std::string("services: { web: { image: a, ports: [\"80:80\"], ") + key + ": x } }");
    EXPECT_THAT(Notes(imported), Contains(HasSubstr(std::string("services.web.") + key + ":1: "))) << key;
  }
  EXPECT_THAT(Notes(Imported("services: { web: { image: a, x-mine: 1, imagee: b } }")),
              Contains("services.web.imagee:1: no key of Compose that is known here"));
}

TEST(Compose, WhatTheDefinitionRefusesIsNamedAndTheRestStays) {
  const ComposeImport imported = Imported(
      "services:\n  web: { image: a, user: \"a b c\", working_dir: rel, ports: [\"8080:80\", \"8080:81\"] }\n"
      "  bad: { image: \"NOT A REF\" }\n  none: { ports: [80] }\n  my_db: { image: redis, tmpfs: /proc/x "
      "}\n");
  const Definition definition = DefinitionOf(imported);
  EXPECT_EQ(definition.services.size(), 2u);
  EXPECT_EQ(definition.routes.size(), 1u);
  EXPECT_TRUE(definition.services.contains("my-db"));
  const auto notes = Notes(imported);
  EXPECT_THAT(notes, Contains(HasSubstr("services.web.user:2: services.web.user: expected")));
  EXPECT_THAT(notes, Contains(HasSubstr("services.web.working_dir:2: ")));
  EXPECT_THAT(notes, Contains(HasSubstr("services.bad.image:3: ")));
  EXPECT_THAT(notes, Contains(HasSubstr("services.none:4: neither image nor build")));
  EXPECT_THAT(notes, Contains(HasSubstr("services.my_db:5: is named my-db here")));
  EXPECT_THAT(notes, Contains(HasSubstr("is in use by routes[0]")));
}

TEST(Compose, CirclesAreBroken) {
  const ComposeImport imported = Imported(
      "services:\n  a: { image: x, expose: [80], depends_on: [b] }\n  b: { image: x, expose: [80], links: "
      "[\"a:c\"] }\n");
  const Definition definition = DefinitionOf(imported);
  EXPECT_THAT(*definition.services.at("a").uses, ElementsAre("b"));
  EXPECT_EQ(definition.services.at("b").uses, std::nullopt);
  EXPECT_THAT(Notes(imported), Contains(HasSubstr("b does not use a: that would be a circle")));
}

TEST(Compose, PortsOfIPv6AddressesAreListenersOfThem) {
  const auto imported = Imported(
      "services: { web: { image: \"a:1\", ports: [\"[::1]:8080:80\", { target: 80, published: 8081, host_ip: "
      "\"::\" }] } "
      "}\n");
  const Definition definition = DefinitionOf(imported);
  ASSERT_EQ(definition.routes.size(), 2u);
  EXPECT_EQ(definition.routes[0].listen, "[::1]:8080");
  EXPECT_EQ(definition.routes[1].listen, "[::]:8081");
}

TEST(Compose, WhatIsNoComposeFileIsRefused) {
  for (const char* bad : {"", "[]", "services: {}", "services: { web: {} }", "a: [",
                          "version: 1\nproject: shop\n", "services: { web: 7 }", "services: [web]"}) {
    const auto imported = ImportCompose(bad, {"compose.yaml", "shop", {}, {}});
    ASSERT_FALSE(imported) << bad;
    EXPECT_EQ(imported.error().code(), Code::kInvalid);
  }
}

TEST(ComposeVariables, MeanWhatTheyMeantInCompose) {
  const std::map<std::string, std::string> dot_env{{"TAG", "v2"}, {"ODD", "a}b$"}};
  const ComposeVariables variables(dot_env);
  EXPECT_EQ(variables.ToOurs("$TAG-${TAG}", true), "${TAG:-v2}-${TAG:-v2}");
  EXPECT_EQ(variables.ToOurs("${A}${A:-x}${A-y}${A:?no}", true), "${A:-}${A:-x}${A:-y}${A}");
  EXPECT_EQ(variables.ToOurs("${A}", false), "${A}");
  EXPECT_EQ(variables.ToOurs("${TAG:+set}${A:+set}${ODD}", true), "seta}b$$");
  EXPECT_EQ(variables.ToOurs("${A:-${TAG}}", true), "${A:-v2}");
  EXPECT_EQ(variables.ToOurs("5$ $$A ${", true), "5$$ $$A $${");
  EXPECT_EQ(variables.ToOurs("${A:}${A:-}${A-}", true), "${A:-}${A:-}${A:-}");
  EXPECT_EQ(variables.Literal("${A:-1}:$TAG$$"), "1:v2$");
}

TEST(ComposeValues, AreRead) {
  EXPECT_THAT(*SplitCommand("a 'b c' \"d \\\" e\" f\\ g ''"), ElementsAre("a", "b c", "d \" e", "f g", ""));
  EXPECT_EQ(SplitCommand("a 'b"), std::nullopt);
  EXPECT_EQ(ComposeDuration("1m30s"), "90s");
  EXPECT_EQ(ComposeDuration("1.5s"), "1500ms");
  EXPECT_EQ(ComposeDuration("soon"), std::nullopt);
  EXPECT_EQ(ComposeSize("1.5g"), "1610612736");
  EXPECT_EQ(ComposeSize("64mb"), "67108864");
  EXPECT_EQ(ComposeSize("x"), std::nullopt);
  const auto ports = ParseComposePorts("127.0.0.1:8000-8001:80-81/tcp");
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_EQ(ports[1].published, 8001);
  EXPECT_EQ(ports[1].target, 81);
  EXPECT_TRUE(ParseComposePorts("53:53/udp")[0].udp);
  EXPECT_EQ(ParseComposePorts("[::1]:8080:80")[0].published, 8080);
  for (const char* bad : {"", "a", "0", "80:", "8000-8002:80-81", "70000:80", "80/sctp"})
    EXPECT_THAT(ParseComposePorts(bad), IsEmpty()) << bad;
}

}  // namespace
}  // namespace ingot::definition
