#include "build/dockerfile_scope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::build {
namespace {

using testing::ElementsAre;

Dockerfile ParseScoped(std::string_view text) {
  auto file = ParseDockerfile(text, "Dockerfile");
  EXPECT_TRUE(file) << file.error().message();
  return file ? *file : Dockerfile();
}

// Drives the first stage to its end and keeps what came out.
struct Driven {
  std::vector<Instruction> instructions;
  std::string error;
  std::vector<std::string> env;
  std::vector<std::string> run_env;
  std::set<std::string> unused;
  std::vector<std::string> proxies;
};

Driven Drive(std::string_view text, const BuildInputs& inputs = {},
             const std::vector<std::string>& base = {}) {
  Driven run;
  const Dockerfile file = ParseScoped(text);
  auto global = GlobalScope::Make(file, inputs);
  if (!global) {
    run.error = global.error().message();
    return run;
  }
  StageScope scope(*global, base);
  for (const Instruction& instruction : file.stages.at(0).instructions) {
    auto applied = scope.Apply(instruction);
    if (!applied) {
      run.error = applied.error().message();
      return run;
    }
    run.instructions.push_back(std::move(*applied));
  }
  run.env = scope.env().ToEnv();
  run.run_env = scope.run_variables().ToEnv();
  run.unused = scope.UnusedArguments();
  run.proxies = scope.ProxyEnv();
  return run;
}

template <typename T>
const T& Last(const Driven& run) {
  EXPECT_EQ(run.error, "");
  return std::get<T>(run.instructions.at(run.instructions.size() - 1).body);
}

TEST(GlobalScope, FromSeesArgumentsAndPlatforms) {
  const Dockerfile file = ParseScoped(
      "ARG V=12\nARG IMAGE=debian:$V UNSET\nFROM --platform=$BUILDPLATFORM ${IMAGE}-slim AS a\nFROM $UNSET\n"
      "FROM x${TARGETARCH}${TARGETVARIANT}-$TARGETOS-$TARGETSTAGE");
  const auto scope = GlobalScope::Make(file, {.arguments = {{"V", "13"}}, .target_platform = "linux/arm/v7"});
  ASSERT_TRUE(scope);
  EXPECT_EQ(*scope->ExpandFrom(file.stages[0]), "debian:13-slim");
  EXPECT_EQ(*scope->ExpandPlatform(file.stages[0]), "linux/amd64");
  EXPECT_EQ(*scope->ExpandPlatform(file.stages[1]), "");
  EXPECT_EQ(*scope->ExpandFrom(file.stages[2]), "xarmv7-linux-default");
  const auto unset = scope->ExpandFrom(file.stages[1]);
  ASSERT_FALSE(unset);
  EXPECT_EQ(unset.error().code(), Code::kInvalid);
  EXPECT_EQ(unset.error().message(),
            "Dockerfile:4: FROM $UNSET comes out empty: give its ARG before the first FROM a default, or "
            "pass the build "
            "argument");
  EXPECT_EQ(GlobalScope::Make(ParseScoped("ARG A=${B:?no}\nFROM x"), {}).error().message(),
            "Dockerfile:1: cannot expand \"${B:?no}\": B: no");
}

TEST(StageScope, ArgumentsAreSeenOnlyOnceAsked) {
  // A global argument, a predefined one and a build argument: each needs its ARG in the stage.
  EXPECT_EQ(Last<WorkdirInstruction>(
                Drive("ARG A=1\nFROM x\nWORKDIR /$A/$TARGETARCH/$B", {.arguments = {{"B", "2"}}}))
                .path,
            "///");
  EXPECT_EQ(
      Last<WorkdirInstruction>(Drive("ARG A=1\nFROM x\nARG A TARGETARCH B=0\nWORKDIR /$A/$TARGETARCH/$B",
                                     {.arguments = {{"B", "2"}}}))
          .path,
      "/1/amd64/2");
  // A default in the stage wins over the global value, a build argument over both.
  EXPECT_EQ(Last<WorkdirInstruction>(Drive("ARG A=1\nFROM x\nARG A=2\nWORKDIR $A")).path, "2");
  EXPECT_EQ(
      Last<WorkdirInstruction>(Drive("ARG A=1\nFROM x\nARG A=2\nWORKDIR $A", {.arguments = {{"A", "3"}}}))
          .path,
      "3");
  // Arguments of one line see each other; those of ENV do not.
  EXPECT_EQ(Last<WorkdirInstruction>(Drive("FROM x\nARG A=1 B=$A\nWORKDIR $B")).path, "1");
  EXPECT_EQ(Last<WorkdirInstruction>(Drive("FROM x\nENV A=1\nENV A=2 B=$A\nWORKDIR $A$B")).path, "21");
}

TEST(StageScope, ArgComesBackWithItsValue) {
  const Driven run =
      Drive("ARG G=g\nFROM x\nARG G U D=$G B", {.arguments = {{"B", "b"}, {"Z", "z"}, {"http_proxy", "p"}}});
  const auto& arguments = Last<ArgInstruction>(run).arguments;
  ASSERT_EQ(arguments.size(), 4u);
  EXPECT_EQ(arguments[0].default_value, "g");
  EXPECT_EQ(arguments[1].default_value, std::nullopt);
  EXPECT_EQ(arguments[2].default_value, "g");
  EXPECT_EQ(arguments[3].default_value, "b");
  EXPECT_THAT(run.unused, ElementsAre("Z"));
  EXPECT_THAT(run.proxies, ElementsAre("HTTP_PROXY=p", "http_proxy=p"));
}

TEST(StageScope, EnvironmentOfImageAndRun) {
  const Driven run =
      Drive("FROM x\nARG A=1\nENV B=$A PATH=/opt:$PATH\nENV A=3\nARG B=4", {}, {"PATH=/bin", "C=c"});
  EXPECT_EQ(run.error, "");
  EXPECT_THAT(run.env, ElementsAre("PATH=/opt:/bin", "C=c", "B=1", "A=3"));
  EXPECT_THAT(run.run_env, ElementsAre("PATH=/opt:/bin", "C=c", "A=3", "B=4"));
}

TEST(StageScope, AStageOnAStageBeginsWithItsVariables) {
  const Dockerfile file = ParseScoped("FROM x AS a\nARG A=1\nENV E=2\nFROM a\nWORKDIR /$A/$E");
  const auto global = GlobalScope::Make(file, {});
  ASSERT_TRUE(global);
  StageScope first(*global, {});
  for (const Instruction& instruction : file.stages[0].instructions) ASSERT_TRUE(first.Apply(instruction));
  StageScope second = first;
  const auto workdir = second.Apply(file.stages[1].instructions[0]);
  ASSERT_TRUE(workdir);
  EXPECT_EQ(std::get<WorkdirInstruction>(workdir->body).path, "/1/2");
}

TEST(StageScope, WhatIsExpandedAndWhatIsNot) {
  const std::string head = "FROM x\nENV V=v N=8 S='a b' U=root\n";
  EXPECT_EQ(Last<LabelInstruction>(Drive(head + "LABEL l$V=\"$S\" m='$V'")).labels,
            (std::vector<KeyValue>{{"lv", "a b"}, {"m", "$V"}}));
  const Driven copy = Drive(head + "COPY --chown=$U:$U --chmod=0${N:+755} $V \"$S\" /$V/");
  EXPECT_EQ(Last<CopyInstruction>(copy).chown, "root:root");
  EXPECT_EQ(Last<CopyInstruction>(copy).chmod, "0755");
  EXPECT_THAT(Last<CopyInstruction>(copy).sources, ElementsAre("v", "a b"));
  EXPECT_EQ(Last<CopyInstruction>(copy).destination, "/v/");
  EXPECT_THAT(Last<AddInstruction>(Drive(head + "ADD $V.tar /$V")).sources, ElementsAre("v.tar"));
  EXPECT_EQ(Last<UserInstruction>(Drive(head + "USER $U")).user, "root");
  EXPECT_THAT(Last<VolumeInstruction>(Drive(head + "VOLUME [\"/$V\", \"/$N\"]")).paths,
              ElementsAre("/v", "/8"));
  EXPECT_EQ(Last<StopSignalInstruction>(Drive(head + "ENV T=TERM\nSTOPSIGNAL SIG$T")).signal, "SIGTERM");
  EXPECT_EQ(Last<RunInstruction>(Drive(head + "RUN echo $V")).command.words,
            (std::vector<std::string>{"echo $V"}));
  EXPECT_EQ(Last<CmdInstruction>(Drive(head + "CMD [\"$V\"]")).command.words,
            (std::vector<std::string>{"$V"}));
  EXPECT_EQ(Last<HealthcheckInstruction>(Drive(head + "HEALTHCHECK CMD a $V")).test,
            (std::vector<std::string>{"CMD-SHELL", "a $V"}));
  EXPECT_EQ(Last<WorkdirInstruction>(Drive("# escape=`\nFROM x\nENV V=v\nWORKDIR C:\\$V`$V")).path,
            "C:\\v$V");
}

TEST(StageScope, HeredocsOfCopy) {
  const Driven run = Drive("FROM x\nENV V=v\nCOPY <<a <<'b' <<-c /d/\n\"$V\" \\$V\na\n$V\nb\n\t$V\nc\n");
  const auto& files = Last<CopyInstruction>(run).inline_files;
  ASSERT_EQ(files.size(), 3u);
  EXPECT_EQ(files[0].content, "\"v\" $V\n");
  EXPECT_EQ(files[1].content, "$V\n");
  EXPECT_EQ(files[2].content, "v\n");
}

TEST(StageScope, ExposedPorts) {
  const std::string head = "FROM x\nENV P='443 80' R=8000-8002/udp\n";
  EXPECT_THAT(Last<ExposeInstruction>(Drive(head + "EXPOSE $P 80/TCP $R")).ports,
              ElementsAre("443/tcp", "80/tcp", "8000/udp", "8001/udp", "8002/udp"));
  EXPECT_EQ(Drive(head + "EXPOSE $NONE").error, "Dockerfile:3: EXPOSE \"$NONE\" comes out empty");
  EXPECT_EQ(Drive(head + "EXPOSE 8080:80").error,
            "Dockerfile:3: \"8080:80\" names a host port; EXPOSE takes the port inside the image only, a "
            "route in the "
            "definition makes it reachable");
  for (const char* bad : {"0", "65536", "9-8", "80/icmp", "http", "-1", "80/", "1-"}) {
    EXPECT_EQ(Drive(head + "EXPOSE " + bad).error,
              "Dockerfile:3: \"" + std::string(bad) + "\" is not a port; write 80, 53/udp or 8000-8010/tcp");
  }
}

TEST(StageScope, RefusesWhatComesOutWrong) {
  const struct {
    std::string_view instruction, error;
  } cases[] = {
      {"COPY $NO /x",
       "Dockerfile:2: COPY: a source comes out empty; is a variable unset? Write . for everything"},
      {"COPY x $NO",
       "Dockerfile:2: COPY: the destination comes out empty; is a variable unset? Write ./ for the working "
       "directory"},
      {"COPY --chmod=u+x a b",
       "Dockerfile:2: --chmod=u+x is not supported: write the mode in octal, as --chmod=0755"},
      {"COPY --chmod=77777 a b",
       "Dockerfile:2: --chmod=77777 is not supported: write the mode in octal, as --chmod=0755"},
      {"ADD ${NO:-https://a.example/b} c",
       "Dockerfile:2: ADD of the URL https://a.example/b is not supported: a build must not depend on what a "
       "server "
       "holds today; keep the file in the build context and COPY it"},
      {"ENV $NO=1", "Dockerfile:2: ENV: a name comes out empty"},
      {"ENV X=a=b\nENV $X=1", "Dockerfile:3: \"a=b\" cannot be the name of a variable"},
      {"VOLUME $NO", "Dockerfile:2: VOLUME: a path comes out empty"},
      {"STOPSIGNAL $NO", "Dockerfile:2: \"\" is not a signal; write a name as SIGTERM or a number"},
      {"WORKDIR ${NO:?give it}", "Dockerfile:2: cannot expand \"${NO:?give it}\": NO: give it"},
      {"USER 'x", "Dockerfile:2: cannot expand \"'x\": a single quote is not closed"},
      {"ARG A=${B:?no}", "Dockerfile:2: cannot expand \"${B:?no}\": B: no"},
  };
  for (const auto& c : cases) EXPECT_EQ(Drive("FROM x\n" + std::string(c.instruction)).error, c.error);
}

TEST(StageScope, BoundsVariablesThatDouble) {
  std::string text = "FROM x\nENV A=0123456789\n";
  for (int i = 0; i < 40; ++i) text += "ENV A=$A$A\n";
  EXPECT_EQ(Drive(text).error,
            "Dockerfile:19: cannot expand \"$A$A\": the result is larger than 1 MiB; shorten the variables "
            "it is made "
            "of");
  text = "FROM x\nENV A=" + std::string(60000, 'a') + "\nENV A=$A$A$A$A$A$A$A$A\n";
  std::string all = text + "ENV B1=$A B2=$A B3=$A B4=$A B5=$A B6=$A B7=$A B8=$A B9=$A";
  EXPECT_EQ(Drive(all).error, "Dockerfile:4: the variables take more than 4 MiB together");
  all = text + "LABEL";
  for (int i = 0; i < 20; ++i) all += " l=$A";
  EXPECT_EQ(Drive(all).error,
            "Dockerfile:4: the instruction is larger than 8 MiB once its variables are put in");
}

}  // namespace
}  // namespace ingot::build
