#include "base/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/file.h"

namespace ingot {
namespace {

constexpr Milliseconds kLong{20'000};

Command Shell(const std::string& script) {
  Command command;
  command.argv = {"sh", "-c", script};
  return command;
}

TEST(Subprocess, GivesInputAndTakesBothOutputsAndTheCode) {
  const auto result = ingot::Run(Shell("cat; echo err >&2; exit 3"), kLong, "input");
  ASSERT_TRUE(result) << result.error().Render();
  EXPECT_EQ(result->out, "input");
  EXPECT_EQ(result->err, "err\n");
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->Describe(), "exit code 3");
  EXPECT_EQ(ingot::Run(Shell("kill -9 $$"), kLong)->Describe(), "killed by signal 9");
}

// Of a process that has SIGPIPE's default too, as this one.
TEST(Subprocess, WhoDoesNotReadTheInputIsStillHeard) {
  const std::string input(3 << 20, 'x');
  const auto result = ingot::Run(Shell("exec 0<&-; sleep 0.1; echo done; exit 4"), kLong, input);
  ASSERT_TRUE(result) << result.error().Render();
  EXPECT_EQ(result->out, "done\n");
  EXPECT_EQ(result->exit_code, 4);
}

TEST(Subprocess, MoreThanAPipeHoldsInBothDirections) {
  const std::string input(3 << 20, 'x');
  EXPECT_EQ(ingot::Run(Shell("cat"), kLong, input)->out, input);
}

TEST(Subprocess, ATimeOutKillsTheWholeGroup) {
  const TempDirectory temp = *TempDirectory::Make("/tmp", "ingot-subprocess-test-");
  const std::string pid = (temp.path() / "pid").string();
  const auto result = ingot::Run(Shell("sleep 1000 & echo $! >" + pid + "; wait"), Milliseconds(300));
  EXPECT_EQ(result.error().code(), Code::kTimeout);
  const std::string child = *ReadFile(pid);
  const std::string status = "/proc/" + child.substr(0, child.size() - 1) + "/status";
  for (int i = 0; i < 200; ++i) {
    const auto text = ReadFile(status);
    if (!text || text->find("State:\tZ") != std::string::npos) return;
    ::usleep(10'000);
  }
  ADD_FAILURE() << "the grandchild lives on: " << child;
}

// Also one that says nothing more, and has closed its outputs.
TEST(Subprocess, WhatIsCancelledEndsWithItsGroup) {
  for (const char* script : {"sleep 1000", "exec >&- 2>&-; sleep 1000"}) {
    std::atomic<bool> cancelled = false;
    Command command = Shell(script);
    command.cancelled = &cancelled;
    std::thread later([&] {
      ::usleep(50'000);
      cancelled = true;
    });
    const auto result = ingot::Run(std::move(command), std::chrono::hours(1));
    later.join();
    EXPECT_EQ(result.error().code(), Code::kCancelled) << script;
  }
  std::atomic<bool> cancelled = false;
  Command command = Shell("sleep 0.3; echo well");
  command.cancelled = &cancelled;
  EXPECT_EQ(ingot::Run(std::move(command), kLong)->out, "well\n");
}

TEST(Subprocess, AMissingProgramNamesItsPackage) {
  Command command;
  command.argv = {"no-such-program-at-all"};
  EXPECT_EQ(Spawn(command).error().code(), Code::kNotFound);
  EXPECT_EQ(FindProgram("no-such-program-at-all").error().code(), Code::kNotFound);
  EXPECT_EQ(FindProgram("sh")->filename(), "sh");
}

TEST(Subprocess, CheckedTurnsACodeIntoAnErrorWithTheLastWords) {
  const auto result = RunChecked(Shell("echo because >&2; exit 1"), kLong);
  EXPECT_EQ(result.error().code(), Code::kFailed);
  EXPECT_NE(result.error().Render().find("because"), std::string::npos) << result.error().Render();
}

TEST(Subprocess, EnvironmentDirectoryAndDescriptorsAreTheChildsOwn) {
  const TempDirectory temp = *TempDirectory::Make("/tmp", "ingot-subprocess-test-");
  ASSERT_TRUE(WriteFileAtomic(temp.path() / "file", "through a descriptor"));
  const Fd file = *OpenFile(temp.path() / "file", O_RDONLY);
  Command command = Shell("pwd; echo $ONLY; cat <&7; env | wc -l");
  command.env = std::map<std::string, std::string>{{"ONLY", "this"}, {"PATH", "/usr/bin:/bin"}};
  command.cwd = temp.path();
  command.fds = {{file.get(), 7}};
  const auto result = ingot::Run(std::move(command), kLong);
  ASSERT_TRUE(result) << result.error().Render();
  EXPECT_EQ(result->out.substr(0, result->out.find("through")), temp.path().string() + "\nthis\n");
  EXPECT_NE(result->out.find("through a descriptor"), std::string::npos);
}

}  // namespace
}  // namespace ingot
