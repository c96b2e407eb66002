#include "build/dockerfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::build {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using testing::ElementsAre;

Dockerfile Parse(std::string_view text) {
  auto file = ParseDockerfile(text, "Dockerfile");
  EXPECT_TRUE(file) << text << "\n" << file.error().message();
  return file ? *file : Dockerfile();
}

template <typename T>
T Only(const std::string& line) {
  const Dockerfile file = Parse("FROM x\n" + line);
  if (file.stages.empty() || file.stages[0].instructions.size() != 1) {
    ADD_FAILURE() << line;
    return T();
  }
  return std::get<T>(file.stages[0].instructions[0].body);
}

TEST(Dockerfile, StagesAndGlobalArguments) {
  const Dockerfile file = Parse(
      "# syntax=docker/dockerfile:1\nARG A=1 B\n\nFROM --platform=$P debian:12 as Build\nRUN make \\\n  all\n"
      "FROM build\nCOPY --from=0 a b\nCOPY --from=BUILD a b\nCOPY --from=nginx:1 a b\n");
  EXPECT_EQ(file.file_name, "Dockerfile");
  ASSERT_EQ(file.global_args.size(), 1u);
  const auto& arguments = std::get<ArgInstruction>(file.global_args[0].body).arguments;
  ASSERT_EQ(arguments.size(), 2u);
  EXPECT_EQ(arguments[0].name, "A");
  EXPECT_EQ(arguments[0].default_value, "1");
  EXPECT_EQ(arguments[1].name, "B");
  EXPECT_EQ(arguments[1].default_value, std::nullopt);
  ASSERT_EQ(file.stages.size(), 2u);
  EXPECT_EQ(file.stages[0].name, "build");
  EXPECT_EQ(file.stages[0].from, "debian:12");
  EXPECT_EQ(file.stages[0].platform, "$P");
  EXPECT_EQ(file.stages[0].line, 4);
  ASSERT_EQ(file.stages[0].instructions.size(), 1u);
  EXPECT_EQ(file.stages[0].instructions[0].source, "RUN make   all");
  EXPECT_EQ(file.stages[0].instructions[0].line, 5);
  EXPECT_EQ(file.stages[0].instructions[0].end_line, 6);
  EXPECT_EQ(InstructionName(file.stages[0].instructions[0].body), "RUN");
  EXPECT_EQ(file.stages[1].name, "");
  EXPECT_EQ(file.FindStage("BUILD", 2), 0u);
  EXPECT_EQ(file.FindStage("build", 0), std::nullopt);
  EXPECT_EQ(file.FindStage("1", 2), 1u);
  EXPECT_EQ(file.FindStage("1", 1), std::nullopt);
  EXPECT_EQ(file.FindStage("", 2), std::nullopt);
  EXPECT_EQ(file.FindNamedStage("0", 2), std::nullopt);
  EXPECT_EQ(Parse("FROM a AS x\nFROM b AS x\nFROM c").FindNamedStage("x", 2), 1u);
}

TEST(Dockerfile, Copy) {
  const auto copy = Only<CopyInstruction>("COPY --from=img --chown=1:2 --chmod=755 --link a* b /c/");
  EXPECT_THAT(copy.sources, ElementsAre("a*", "b"));
  EXPECT_EQ(copy.destination, "/c/");
  EXPECT_EQ(copy.from, "img");
  EXPECT_EQ(copy.chown, "1:2");
  EXPECT_EQ(copy.chmod, "755");
  EXPECT_TRUE(copy.link);
  EXPECT_FALSE(Only<CopyInstruction>("COPY --link=false a b").link);
  EXPECT_THAT(Only<CopyInstruction>("COPY [\"a b\", \"<<c\", \"d\"]").sources, ElementsAre("a b", "<<c"));

  const auto files = Only<CopyInstruction>("COPY <<A x <<-\"B\" /d/\na\nA\n\tb\n\tB\n");
  EXPECT_THAT(files.sources, ElementsAre("x"));
  ASSERT_EQ(files.inline_files.size(), 2u);
  EXPECT_EQ(files.inline_files[0].name, "A");
  EXPECT_EQ(files.inline_files[0].content, "a\n");
  EXPECT_TRUE(files.inline_files[0].expand);
  EXPECT_EQ(files.inline_files[1].content, "b\n");
  EXPECT_FALSE(files.inline_files[1].expand);

  const auto add = Only<AddInstruction>("ADD --chown=a --chmod=1777 --link x.tar.gz <<E /y/\nz\nE\n");
  EXPECT_THAT(add.sources, ElementsAre("x.tar.gz"));
  EXPECT_EQ(add.chown, "a");
  EXPECT_EQ(add.chmod, "1777");
  EXPECT_TRUE(add.link);
  ASSERT_EQ(add.inline_files.size(), 1u);
  EXPECT_EQ(add.inline_files[0].content, "z\n");
}

TEST(Dockerfile, Commands) {
  EXPECT_FALSE(Only<RunInstruction>("RUN a && b").command.exec);
  EXPECT_THAT(Only<RunInstruction>("RUN a && b").command.words, ElementsAre("a && b"));
  EXPECT_TRUE(Only<RunInstruction>("RUN [\"a\", \"b\"]").command.exec);
  EXPECT_THAT(Only<RunInstruction>("RUN [\"a\", \"b\"]").command.words, ElementsAre("a", "b"));
  EXPECT_TRUE(Only<CmdInstruction>("CMD []").command.exec);
  EXPECT_THAT(Only<CmdInstruction>("CMD []").command.words, ElementsAre());
  EXPECT_THAT(Only<EntrypointInstruction>("ENTRYPOINT [\"a\"]").command.words, ElementsAre("a"));
  EXPECT_THAT(Only<ShellInstruction>("SHELL [\"bash\", \"-c\"]").shell, ElementsAre("bash", "-c"));
}

TEST(Dockerfile, WhatARunStarts) {
  const std::vector<std::string> bash = {"bash", "-ec"};
  const auto resolve = [&](const std::string& line) {
    return ResolveRun(Only<RunInstruction>(line).command, bash);
  };
  EXPECT_THAT(resolve("RUN a b").argv, ElementsAre("bash", "-ec", "a b"));
  EXPECT_THAT(resolve("RUN [\"a\", \"b\"]").argv, ElementsAre("a", "b"));
  EXPECT_THAT(resolve("RUN <<E\na\n  b\nE\n").argv, ElementsAre("bash", "-ec", "a\n  b\n"));
  EXPECT_THAT(resolve("RUN <<-E\n\ta\nE\n").argv, ElementsAre("bash", "-ec", "a\n"));
  // The shell itself reads the heredoc of a longer command.
  EXPECT_THAT(resolve("RUN cat <<-'E' >x\n\ta\n\tE\n").argv,
              ElementsAre("bash", "-ec", "cat <<-'E' >x\n\ta\nE"));
  EXPECT_THAT(resolve("RUN cat <<A <<B\na\nA\nb\nB\n").argv,
              ElementsAre("bash", "-ec", "cat <<A <<B\na\nA\nb\nB"));
  EXPECT_EQ(resolve("RUN cat <<A\na\nA\n").script_path, "");
  const RunProcess script = resolve("RUN <<-E\n\t#!/usr/bin/env python3\n\tprint(1)\nE\n");
  EXPECT_THAT(script.argv, ElementsAre("/dev/pipes/E"));
  EXPECT_EQ(script.script_path, "/dev/pipes/E");
  EXPECT_EQ(script.script_content, "#!/usr/bin/env python3\nprint(1)\n");

  EXPECT_THAT(ResolveCommand(Only<CmdInstruction>("CMD a $b").command, DefaultShell()),
              ElementsAre("/bin/sh", "-c", "a $b"));
  EXPECT_THAT(ResolveCommand(Only<CmdInstruction>("CMD [\"a\", \"$b\"]").command, DefaultShell()),
              ElementsAre("a", "$b"));
}

TEST(Dockerfile, Settings) {
  EXPECT_EQ(Only<EnvInstruction>("ENV a b c").variables, (std::vector<KeyValue>{{"a", "b c"}}));
  EXPECT_EQ(Only<EnvInstruction>("ENV a=b c=\"d e\"").variables,
            (std::vector<KeyValue>{{"a", "b"}, {"c", "\"d e\""}}));
  EXPECT_EQ(Only<LabelInstruction>("LABEL a=b c=").labels, (std::vector<KeyValue>{{"a", "b"}, {"c", ""}}));
  EXPECT_EQ(Only<WorkdirInstruction>("WORKDIR /a b").path, "/a b");
  EXPECT_EQ(Only<UserInstruction>("USER a:b").user, "a:b");
  EXPECT_THAT(Only<ExposeInstruction>("EXPOSE 80 $P").ports, ElementsAre("80", "$P"));
  EXPECT_THAT(Only<VolumeInstruction>("VOLUME /a /b").paths, ElementsAre("/a", "/b"));
  EXPECT_THAT(Only<VolumeInstruction>("VOLUME [\"/a b\"]").paths, ElementsAre("/a b"));
  for (const char* signal : {"SIGTERM", "term", "9", "64", "SIGRTMIN+3", "RTMAX-1", "SIGRTMAX", "$S"}) {
    EXPECT_EQ(Only<StopSignalInstruction>("STOPSIGNAL " + std::string(signal)).signal, signal);
  }
}

TEST(Dockerfile, Healthchecks) {
  EXPECT_THAT(Only<HealthcheckInstruction>("HEALTHCHECK none").test, ElementsAre("NONE"));
  EXPECT_THAT(Only<HealthcheckInstruction>("HEALTHCHECK CMD [\"a\", \"b\"]").test,
              ElementsAre("CMD", "a", "b"));
  const auto check = Only<HealthcheckInstruction>(
      "HEALTHCHECK --interval=1h1m30s --timeout=1.5s --start-period=500ms --start-interval=0 --retries=3 "
      "\\\n CMD a b");
  EXPECT_THAT(check.test, ElementsAre("CMD-SHELL", "a b"));
  EXPECT_EQ(check.interval, 1h + 1min + 30s);
  EXPECT_EQ(check.timeout, 1500ms);
  EXPECT_EQ(check.start_period, 500ms);
  EXPECT_EQ(check.start_interval, 0s);
  EXPECT_EQ(check.retries, 3);
  EXPECT_EQ(Only<HealthcheckInstruction>("HEALTHCHECK CMD a").interval, 0s);
}

TEST(Dockerfile, RefusesByNameWithARemedy) {
  const struct {
    std::string_view line, message;
  } cases[] = {
      {"MAINTAINER me",
       "MAINTAINER is not supported: it is deprecated; write LABEL org.opencontainers.image.authors=\"…\""},
      {"ONBUILD RUN a",
       "ONBUILD is not supported: an image must not act on builds that start from it; write the instruction "
       "into the "
       "Dockerfiles that need it"},
      {"RUN --mount=type=cache,target=/x a",
       "RUN --mount is not supported: COPY what the command needs, and remove what must not stay in the same "
       "RUN; a "
       "secret needed at build time belongs into `secrets` of the image's build in the definition"},
      {"RUN --network=none a",
       "RUN --network is not supported: every RUN has the network that the host's configuration gives to "
       "builds"},
      {"RUN --security=insecure a",
       "RUN --security is not supported: a RUN is always sandboxed; do what needs more rights outside of the "
       "build"},
      {"RUN --device=x a",
       "RUN --device is not supported: builds get no devices, so that they give the same image on every "
       "host"},
      {"COPY --exclude=*.o a b",
       "COPY --exclude is not supported: list what must stay out in .dockerignore, or copy the parts one by "
       "one"},
      {"COPY --parents a b", "COPY --parents is not supported: copy each directory to its own destination"},
      {"COPY --from=$V a b",
       "COPY --from=$V is not supported: --from takes no variables; name a stage FROM the variable before "
       "the first "
       "FROM's ARG (FROM ${NAME} AS source) and copy from that stage"},
      {"ADD --checksum=sha256:00 a b",
       "ADD --checksum is not supported: it is for URLs; keep the file in the build context and COPY it"},
      {"ADD --keep-git-dir a b",
       "ADD --keep-git-dir is not supported: it is for git sources; keep a checkout in the build context and "
       "COPY it"},
      {"ADD --unpack=false a b",
       "ADD --unpack is not supported: ADD unpacks local archives; use COPY to keep one as it is"},
      {"ADD --exclude=x a b",
       "ADD --exclude is not supported: list what must stay out in .dockerignore, or add the parts one by "
       "one"},
      {"ADD HTTPS://a.example/b.tgz c",
       "ADD of the URL HTTPS://a.example/b.tgz is not supported: a build must not depend on what a server "
       "holds today; "
       "keep the file in the build context and COPY it"},
      {"ADD git@a.example:b.git c",
       "ADD of the git repository git@a.example:b.git is not supported: a build must not depend on what a "
       "remote holds "
       "today; keep a checkout in the build context and COPY it"},
      {"ADD https://a.example/b.git#v1 c",
       "ADD of the git repository https://a.example/b.git#v1 is not supported: a build must not depend on "
       "what a remote "
       "holds today; keep a checkout in the build context and COPY it"},
  };
  for (const auto& c : cases) {
    const auto file = ParseDockerfile("FROM x\n\n" + std::string(c.line), "web/Dockerfile");
    ASSERT_FALSE(file) << c.line;
    EXPECT_EQ(file.error().code(), Code::kUnsupported) << c.line;
    EXPECT_EQ(file.error().message(), "web/Dockerfile:3: " + std::string(c.message));
  }
  const auto front_end = ParseDockerfile("# syntax=example/other:1\nFROM x", "Dockerfile");
  ASSERT_FALSE(front_end);
  EXPECT_EQ(front_end.error().code(), Code::kUnsupported);
  EXPECT_EQ(
      front_end.error().message(),
      "Dockerfile:1: the front end \"example/other:1\" of `# syntax=` is not supported: Ingot reads what "
      "docker/dockerfile:1 reads; write the file for that and remove the line");
  EXPECT_TRUE(ParseDockerfile("# syntax=docker.io/docker/dockerfile:1.7@sha256:0 x\nFROM x", "Dockerfile"));
}

TEST(Dockerfile, RefusesWhatIsWrong) {
  const struct {
    std::string_view text, message;
  } cases[] = {
      {"FROM x\nRUM a", "2: \"RUM\" is not an instruction; did you mean RUN?"},
      {"FROM x\ncpoy a b", "2: \"cpoy\" is not an instruction; did you mean COPY?"},
      {"FORM x", "1: \"FORM\" is not an instruction; did you mean FROM?"},
      {"FROM x\nFROBNICATE a", "2: \"FROBNICATE\" is not an instruction"},
      {"RUN a\nFROM x", "1: RUN stands before the first FROM; only ARG may"},
      {"ARG a", "1: the file has no FROM"},
      {"FROM", "1: FROM needs an image, or an image AS a name"},
      {"FROM a b", "1: FROM needs an image, or an image AS a name"},
      {"FROM a IS b", "1: FROM needs an image, or an image AS a name"},
      {"FROM a AS 1b",
       "1: \"1b\" cannot name a stage: use letters, digits, '-', '_' and '.', a letter first"},
      {"FROM --platfrom=a b", "1: FROM has no flag --platfrom; did you mean --platform?"},
      {"FROM x\nCOPY a", "2: COPY needs at least one source and a destination"},
      {"FROM x\nADD", "2: ADD needs at least one source and a destination"},
      {"FROM x\nCOPY --form=a b c", "2: COPY has no flag --form; did you mean --from?"},
      {"FROM x\nCOPY --quantum=a b c",
       "2: COPY has no flag --quantum; it has --from, --chown, --chmod, --link"},
      {"FROM x\nCOPY --chown b c", "2: --chown needs a value: --chown=…"},
      {"FROM x\nCOPY --link=x b c", "2: --link is true or false, not \"x\""},
      {"FROM x\nCOPY --link --link b c", "2: COPY --link is given twice"},
      {"FROM x\nCOPY a <<E\nE\n", "2: COPY: the destination cannot be a heredoc; write COPY <<E /path"},
      {"FROM x\nCOPY << E /a\nE\n", "2: COPY: write a heredoc as one word, <<E without spaces or other text"},
      {"FROM x\nCOPY <<../E /a\n../E\n",
       "2: the heredoc name \"../E\" must be a plain file name, without '/'"},
      {"FROM x\nRUN <<a/b\na/b\n", "2: the heredoc name \"a/b\" must be a plain file name, without '/'"},
      {"FROM x\nCOPY --from=0 a b",
       "2: COPY --from=0: there is no stage 0 above this one; stages count from 0"},
      {"FROM x\nCOPY --from=y a b\nFROM z AS y",
       "2: COPY --from=y: the stage y is not above this one; move it up"},
      {"FROM x\nRUN", "2: RUN needs a command"},
      {"FROM x\nRUN []", "2: RUN needs a command"},
      {"FROM x\nCMD", "2: CMD needs a command; CMD [] clears the inherited one"},
      {"FROM x\nENV", "2: ENV needs at least one name=value"},
      {"FROM x\nENV =a", "2: ENV: a name is missing before '='"},
      {"FROM x\nENV --a=b c=d", "2: ENV takes no flags, but --a is given"},
      {"FROM x\nARG", "2: ARG needs at least one name or name=value"},
      {"FROM x\nARG =a", "2: ARG: a name is missing before '='"},
      {"FROM x\nWORKDIR", "2: WORKDIR needs exactly one argument"},
      {"FROM x\nUSER", "2: USER needs exactly one argument"},
      {"FROM x\nEXPOSE", "2: EXPOSE needs at least one port"},
      {"FROM x\nVOLUME []", "2: VOLUME needs at least one path"},
      {"FROM x\nVOLUME [\" \"]", "2: VOLUME: a path is empty"},
      {"FROM x\nSHELL bash -c", "2: SHELL takes the JSON form only: SHELL [\"/bin/bash\", \"-c\"]"},
      {"FROM x\nSHELL []", "2: SHELL needs at least one string: SHELL [\"/bin/bash\", \"-c\"]"},
      {"FROM x\nSTOPSIGNAL SIGFOO", "2: \"SIGFOO\" is not a signal; write a name as SIGTERM or a number"},
      {"FROM x\nSTOPSIGNAL 65", "2: \"65\" is not a signal number; signals are 1 to 64"},
      {"FROM x\nHEALTHCHECK", "2: HEALTHCHECK needs CMD and a command, or NONE"},
      {"FROM x\nHEALTHCHECK NONE a", "2: HEALTHCHECK NONE takes nothing else"},
      {"FROM x\nHEALTHCHECK CMD", "2: HEALTHCHECK CMD needs a command"},
      {"FROM x\nHEALTHCHECK TCP 80",
       "2: HEALTHCHECK \"TCP\" is not known; write HEALTHCHECK CMD command, or NONE"},
      {"FROM x\nHEALTHCHECK --timeout=1 CMD a",
       "2: HEALTHCHECK --timeout: \"1\" is not a duration; write 30s, 1m30s or 500ms"},
      {"FROM x\nHEALTHCHECK --timeout=-1s CMD a", "2: HEALTHCHECK --timeout: \"-1s\" is less than 1ms"},
      {"FROM x\nHEALTHCHECK --interval=10us CMD a", "2: HEALTHCHECK --interval: \"10us\" is less than 1ms"},
      {"FROM x\nHEALTHCHECK --retries=-1 CMD a",
       "2: HEALTHCHECK --retries: \"-1\" is not a whole number from 0 up"},
      {"FROM x\nRUN [\"a\\u0000\"]", "2: the instruction holds a NUL byte; is this a text file?"},
  };
  for (const auto& c : cases) {
    const auto file = ParseDockerfile(c.text, "Dockerfile");
    ASSERT_FALSE(file) << c.text;
    EXPECT_EQ(file.error().code(), Code::kInvalid) << c.text;
    EXPECT_EQ(file.error().message(), "Dockerfile:" + std::string(c.message)) << c.text;
  }
  EXPECT_FALSE(ParseDockerfile(std::string_view("FROM a\0b", 8), "Dockerfile"));
}

}  // namespace
}  // namespace ingot::build
