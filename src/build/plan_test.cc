// What changes a build's key and what does not, without running anything.
#include "build/plan.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

namespace ingot::build {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

void Write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

const oci::Digest kBase = oci::Digest::Of("base");

struct Case {
  std::string dockerfile = "FROM base\nARG A=1\nCOPY a sub /srv/\nRUN make $A\n";
  std::map<std::string, std::string, std::less<>> arguments;
  std::string target;
  oci::Digest base = kBase;
  int64_t epoch = 0;
};

class PlanTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_.emplace(std::move(*TempDirectory::Make("/tmp", "ingot-plan-test-")));
    context_ = directory_->path() / "context";
    Write(context_ / "a", "a\n");
    Write(context_ / "sub/b", "b\n");
    Write(context_ / "other", "other\n");
  }
  Result<BuildPlan> Plan(const Case& what) {
    dockerfile_ = TRY(ParseDockerfile(what.dockerfile, "Dockerfile"));
    Context context = TRY(Context::Scan(context_, directory_->path() / "index", "Dockerfile"));
    PlanInput input;
    input.dockerfile = &*dockerfile_;
    input.inputs.arguments = what.arguments;
    input.inputs.target_stage = what.target;
    input.context = &context;
    input.source_date_epoch_s = what.epoch;
    input.find_image = [&](const std::string& name) -> Result<std::optional<BaseImage>> {
      if (name != "base") return std::optional<BaseImage>();
      BaseImage image;
      image.manifest = what.base;
      image.config.env = {"PATH=/bin"};
      return std::optional<BaseImage>(image);
    };
    return MakePlan(input);
  }
  std::string Key(const Case& what = {}) {
    const auto plan = Plan(what);
    EXPECT_TRUE(plan) << plan.error().Render();
    return plan ? plan->key : "";
  }
  Error Refusal(const std::string& dockerfile, const std::string& target = "") {
    const auto plan = Plan({.dockerfile = dockerfile, .arguments = {}, .target = target});
    return plan ? Error(Code::kInternal, "planned") : plan.error();
  }

  std::optional<TempDirectory> directory_;
  fs::path context_;
  std::optional<Dockerfile> dockerfile_;
};

TEST_F(PlanTest, AnImageWithoutAFileIsRefusedBeforeItIsBuilt) {
  const Error error = Refusal("FROM scratch AS a\nENV A=1\nFROM a AS b\nCMD [\"/x\"]\n");
  EXPECT_EQ(error.code(), Code::kInvalid);
  EXPECT_THAT(error.Render(), StartsWith("Dockerfile:3: the image would be empty"));
  EXPECT_TRUE(Plan({.dockerfile = "FROM base\nENV A=1\n", .arguments = {}, .target = ""}));
  EXPECT_TRUE(Plan({.dockerfile = "FROM scratch AS a\nCOPY a /\nFROM a\n", .arguments = {}, .target = ""}));
  // Only the stage that is the image has to have something.
  EXPECT_TRUE(
      Plan({.dockerfile = "FROM scratch AS a\nCOPY a /\nFROM scratch\n", .arguments = {}, .target = "a"}));
}

TEST_F(PlanTest, TheKeyIsStableAndKeepsWhatDoesNotMatterOut) {
  const std::string key = Key();
  EXPECT_EQ(key.size(), 64u);
  EXPECT_EQ(Key(), key);
  ASSERT_EQ(::utimensat(AT_FDCWD, (context_ / "a").c_str(), nullptr, 0), 0);
  EXPECT_EQ(Key(), key) << "touched";
  Write(context_ / "other", "changed\n");
  EXPECT_EQ(Key(), key) << "a file that nothing copies";
  EXPECT_EQ(Key({.dockerfile = "# comment\nFROM base\n\nARG A=1\nCOPY   a sub /srv/\nRUN make $A\n"}), key);
  EXPECT_EQ(Key({.arguments = {{"UNUSED", "1"}}}), key);
  ASSERT_EQ(::chmod((context_ / "a").c_str(), 0600), 0);
  EXPECT_EQ(Key(), key) << "what a umask decides";
  fs::rename(context_, directory_->path() / "moved");
  context_ = directory_->path() / "moved";
  EXPECT_EQ(Key(), key) << "the context is elsewhere";
}

TEST_F(PlanTest, WhatMattersChangesTheKey) {
  std::set<std::string> keys = {Key()};
  const auto differs = [&](const std::string& key, const char* what) {
    EXPECT_TRUE(keys.insert(key).second) << what;
  };
  differs(Key({.arguments = {{"A", "2"}}}), "an argument that RUN sees");
  differs(Key({.base = oci::Digest::Of("another")}), "the base");
  differs(Key({.epoch = 1}), "the time of what is made");
  differs(Key({.dockerfile = "FROM base\nARG A=1\nCOPY a sub /srv/\nRUN make  $A\n"}), "the command");
  differs(Key({.dockerfile = "FROM base\nARG A=1\nCOPY a sub /opt/\nRUN make $A\n"}), "the destination");
  differs(Key({.dockerfile = "FROM base\nARG A=1\nCOPY --chmod=0600 a sub /srv/\nRUN make $A\n"}), "--chmod");
  differs(Key({.dockerfile = "FROM base\nARG A=1\nCOPY a sub /srv/\nUSER app\nRUN make $A\n"}), "the user");
  ASSERT_EQ(::chmod((context_ / "a").c_str(), 0755), 0);
  differs(Key(), "the x bit");
  Write(context_ / "a", "A\n");
  differs(Key(), "contents of the same size, right after they were measured");
  Write(context_ / "sub/c", "");
  differs(Key(), "a new file in a folder");
  fs::rename(context_ / "sub/c", context_ / "sub/d");
  differs(Key(), "a file's name");
}

TEST_F(PlanTest, OnlyTheStagesThatTheTargetNeedsAreInThePlan) {
  const std::string dockerfile =
      "FROM base AS one\nRUN one\nFROM missing AS unused\nRUN unused\nFROM base AS two\n"
      "COPY --from=one /x /x\nFROM two AS three\nRUN three\n";
  const auto plan = Plan({.dockerfile = dockerfile});
  ASSERT_TRUE(plan) << plan.error().Render();
  EXPECT_THAT(plan->stages, testing::SizeIs(3));
  EXPECT_FALSE(plan->stages.contains(1));
  EXPECT_EQ(plan->stages.at(2).needs, std::set<size_t>{0});
  EXPECT_EQ(plan->stages.at(3).needs, std::set<size_t>{2});
  EXPECT_EQ(plan->CountSteps(), 3);
  const auto one = Plan({.dockerfile = dockerfile, .arguments = {}, .target = "one"});
  ASSERT_TRUE(one);
  EXPECT_THAT(one->stages, testing::SizeIs(1));
  EXPECT_EQ(one->target, 0u);
}

TEST_F(PlanTest, RefusalsNameTheirPlace) {
  EXPECT_EQ(Refusal("FROM nothing\nRUN x\n").code(), Code::kNotFound);
  EXPECT_THAT(Refusal("FROM nothing\nRUN x\n").message(), StartsWith("Dockerfile:1: "));
  const Error missing = Refusal("FROM base\nCOPY missing /\n");
  EXPECT_EQ(missing.code(), Code::kInvalid);
  EXPECT_THAT(missing.message(), StartsWith("Dockerfile:2: the build context "));
  EXPECT_THAT(missing.message(), HasSubstr("has no missing"));
  Write(context_ / ".dockerignore", "other\n");
  EXPECT_THAT(Refusal("FROM base\nCOPY other /\n").message(), HasSubstr(".dockerignore excludes it"));
  EXPECT_EQ(Refusal("FROM base AS one\nRUN x\n", "two").code(), Code::kInvalid);
  EXPECT_EQ(Refusal("FROM --platform=plan9/mips base\nRUN x\n").code(), Code::kUnsupported);
}

TEST_F(PlanTest, TheConfigurationFollowsTheInstructions) {
  const auto plan = Plan({.dockerfile = "FROM base\nENV A=1 B=$A\nWORKDIR /srv\nWORKDIR app\nUSER www\n"
                                        "CMD [\"one\"]\nENTRYPOINT [\"go\"]\nEXPOSE 80 53/udp\nLABEL x=y\n"
                                        "SHELL [\"/bin/ash\", \"-c\"]\nSTOPSIGNAL SIGQUIT\n"
                                        "HEALTHCHECK --interval=5s CMD true\nVOLUME /data\n"});
  ASSERT_TRUE(plan) << plan.error().Render();
  const oci::RunConfig& config = plan->target_stage().config;
  EXPECT_EQ(config.env, (std::vector<std::string>{"PATH=/bin", "A=1", "B="}));
  EXPECT_EQ(config.working_dir, "/srv/app");
  EXPECT_EQ(config.user, "www");
  EXPECT_EQ(config.cmd, std::vector<std::string>{"one"});
  EXPECT_EQ(config.entrypoint, std::vector<std::string>{"go"});
  EXPECT_EQ(config.exposed_ports, (std::set<std::string>{"53/udp", "80/tcp"}));
  EXPECT_EQ(config.labels.at("x"), "y");
  EXPECT_EQ(config.stop_signal, "SIGQUIT");
  EXPECT_EQ(config.healthcheck->interval_ns, 5'000'000'000);
  EXPECT_EQ(config.volumes, std::set<std::string>{"/data"});
}

TEST_F(PlanTest, AnUnchangedContextIsNotReadAgain) {
  Context first = *Context::Scan(context_, directory_->path() / "index", "Dockerfile");
  // Old enough not to be racily clean.
  const struct timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (context_ / "a").c_str(), old, 0), 0);
  const auto scan = [&] { return std::move(*Context::Scan(context_, directory_->path() / "index", "D")); };
  first = scan();
  ASSERT_TRUE(first.Measure("a"));
  EXPECT_EQ(first.files_read(), 1u);
  ASSERT_TRUE(first.SaveIndex());
  // Its ctime is now: the guard holds, and it is read once more.
  Context second = scan();
  ASSERT_TRUE(second.Measure("a"));
  EXPECT_EQ(second.files_read(), 1u) << "racily clean";
  // A file that changes under a build is an error, not a mixture.
  Write(context_ / "a", "changed while it was built\n");
  EXPECT_EQ(second.CheckUnchanged().error().code(), Code::kConflict);
  Context third = scan();
  Write(context_ / "a", "x\n");
  EXPECT_EQ(third.Measure("a").error().code(), Code::kConflict);
}

}  // namespace
}  // namespace ingot::build
