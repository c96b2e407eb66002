#include "adapters/crun_sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

#include "adapters/cgroup.h"
#include "adapters/crun_fixture.h"
#include "adapters/linux_mount.h"

namespace ingot::adapters {
namespace {

using platform::SandboxSpec;

class CrunSandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string skip = SmallImage::Skip(); !skip.empty()) GTEST_SKIP() << skip;
    directory_ = std::make_unique<TempDirectory>(*TempDirectory::Make("/tmp/ingot-sandbox-test", "s"));
    ASSERT_EQ(::chmod("/tmp/ingot-sandbox-test", 0711), 0);
    ASSERT_EQ(::chmod(directory_->path().c_str(), 0711), 0);
    image_ = std::make_unique<SmallImage>(directory_->path());
    key_ = "s" + std::to_string(::getpid());
    sandbox_ = std::make_unique<CrunSandbox>(CrunSandbox::Options{directory_->path() / "run", key_});
  }
  void TearDown() override {
    if (!directory_) return;
    EXPECT_EQ(Rests(), "");
    EXPECT_TRUE(RemoveCgroup(*LookAtCgroups(), "/ingot-" + key_, Milliseconds(5000)));
  }
  std::string Rests() {
    std::string out;
    const auto names = ListDirectory(directory_->path() / "run/sb");
    if (names)
      for (const std::string& name : *names) out += name + " ";
    for (const std::string& name : ChildrenOf(*LookAtCgroups(), "/ingot-" + key_).value_or({}))
      out += name + " ";
    if (ReadFile("/proc/self/mountinfo")->find(directory_->path().string()) != std::string::npos)
      out += "mounts";
    return out;
  }
  SandboxSpec Spec(const std::string& script) {
    SandboxSpec spec;
    spec.name = "step";
    spec.root = image_->root();
    spec.process.args = {"/bin/sh", "-c", script};
    spec.output = [this](std::string_view text) { output_ += text; };
    return spec;
  }
  SandboxSpec Build(const std::string& script) {
    SandboxSpec spec = Spec(script);
    spec.upper = directory_->path() / "upper";
    spec.host_network = true;
    EXPECT_TRUE(MakeDirectories(*spec.upper));
    return spec;
  }
  std::vector<std::string> Upper() {
    std::vector<std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(directory_->path() / "upper"))
      out.push_back(entry.path().lexically_relative(directory_->path() / "upper").string());
    std::sort(out.begin(), out.end());
    return out;
  }

  std::unique_ptr<TempDirectory> directory_;
  std::unique_ptr<SmallImage> image_;
  std::string key_;
  std::unique_ptr<CrunSandbox> sandbox_;
  std::string output_;
};

TEST_F(CrunSandboxTest, BuildStepLeavesOnlyWhatItWrote) {
  auto code =
      sandbox_->Run(Build("echo new >/etc/new; mkdir -p /opt/x; cat /etc/resolv.conf; echo x "
                          ">>/etc/resolv.conf; chmod 700 /etc/motd; "
                          "grep -E 'CapEff|Seccomp:' /proc/self/status; cat /proc/self/uid_map; exit 6"));
  ASSERT_TRUE(code) << code.error().Render();
  EXPECT_EQ(*code, 6);
  EXPECT_EQ(Upper(), (std::vector<std::string>{"etc", "etc/motd", "etc/new", "opt", "opt/x"})) << output_;
  EXPECT_EQ(*ReadFile(directory_->path() / "upper/etc/new"), "new\n");
  EXPECT_NE(output_.find(ReadFile("/etc/resolv.conf").value_or("")), std::string::npos) << output_;
  EXPECT_NE(output_.find("CapEff:\t00000000a80425fb\n"), std::string::npos) << output_;
  EXPECT_NE(output_.find("Seccomp:\t2\n"), std::string::npos) << output_;
  EXPECT_NE(output_.find("         0          0 4294967295"), std::string::npos) << output_;
  EXPECT_NE(::access((directory_->path() / "upper.work").c_str(), F_OK), 0);
}

TEST_F(CrunSandboxTest, ImageTestIsConfinedAsAnInstance) {
  SandboxSpec spec = Spec(
      "touch /x; grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status; ip addr; cat /proc/self/uid_map");
  spec.scratch = {{"/tmp", 1 << 20, false}};
  auto code = sandbox_->Run(spec);
  ASSERT_TRUE(code) << code.error().Render();
  EXPECT_EQ(*code, 0);
  for (const char* expected : {"touch: /x: Read-only file system", "CapEff:\t0000000000000000", "Seccomp:\t2",
                               "NoNewPrivs:\t1", "1: lo: <LOOPBACK,UP"})
    EXPECT_NE(output_.find(expected), std::string::npos) << expected << "\n" << output_;
  EXPECT_EQ(output_.find("eth0"), std::string::npos) << output_;
  EXPECT_EQ(output_.find("         0          0 "), std::string::npos) << output_;
}

TEST_F(CrunSandboxTest, TimeoutKillsEverythingInside) {
  SandboxSpec spec = Spec("sleep 1000 & sleep 1000");
  spec.timeout = Milliseconds(700);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(sandbox_->Run(spec).error().code(), Code::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  // TearDown: no cgroup, so no process.
}

TEST_F(CrunSandboxTest, WhatCannotRunIsSaid) {
  SandboxSpec spec = Spec("");
  spec.process.args = {"/bin/nonesuch"};
  auto code = sandbox_->Run(spec);
  ASSERT_FALSE(code);
  EXPECT_EQ(code.error().code(), Code::kFailed);
  EXPECT_NE(code.error().message().find("/bin/nonesuch"), std::string::npos);
  spec = Spec("exec dd if=/dev/zero of=/dev/null bs=200M count=1");
  spec.limits.memory_bytes = 32 << 20;
  EXPECT_EQ(sandbox_->Run(spec).value_or(-1), 137);
}

TEST_F(CrunSandboxTest, WithProbesItsNetwork) {
  SandboxSpec spec = Spec("while true; do echo hello | nc -l -p 8080; done");
  bool connected = false;
  auto done = sandbox_->With(spec, [&](int network, const auto&) {
    return OnThread([&]() -> Result<void> {
      if (::setns(network, CLONE_NEWNET) < 0) return ErrnoError(errno, "enter");
      for (int i = 0; i < 400 && !connected; ++i) {
        const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        struct sockaddr_in address {};
        address.sin_family = AF_INET;
        address.sin_port = htons(8080);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected = ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
        if (!connected) std::this_thread::sleep_for(Milliseconds(10));
      }
      return {};
    });
  });
  EXPECT_TRUE(done) << done.error().Render();
  EXPECT_TRUE(connected);
  // One that ends on its own has failed, with its last words.
  auto ended = sandbox_->With(Spec("echo no config; exit 3"), [&](int, const auto&) -> Result<void> {
    std::this_thread::sleep_for(Milliseconds(700));
    return Error(Code::kTimeout, "did not listen");
  });
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), Code::kFailed);
  EXPECT_NE(ended.error().message().find("exit code 3"), std::string::npos) << ended.error().message();
  EXPECT_NE(ended.error().message().find("no config"), std::string::npos) << ended.error().message();
}

TEST_F(CrunSandboxTest, KilledAskerLeavesNoProcessAndNoMount) {
  const pid_t child = ::fork();
  if (child == 0) {
    CrunSandbox own({directory_->path() / "run", key_});
    static_cast<void>(own.Run(Build("sleep 1000 & echo $$ >/started; sleep 1000")).has_value());
    ::_exit(0);
  }
  for (int i = 0; i < 1000 && ::access((directory_->path() / "upper/started").c_str(), F_OK) != 0; ++i)
    std::this_thread::sleep_for(Milliseconds(5));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  // Without anybody's help: its processes are gone.
  const auto host = *LookAtCgroups();
  const fs::path group = host.Directory("pids", "/ingot-" + key_ + "-sb/step");
  bool empty = false;
  for (int i = 0; i < 1000 && !empty; ++i) {
    empty = ReadFile(group / "cgroup.procs").value_or("?").empty();
    std::this_thread::sleep_for(Milliseconds(5));
  }
  EXPECT_TRUE(empty);
  // What is left is an empty cgroup and a directory, which the next one takes away.
  EXPECT_NE(Rests(), "");
  ASSERT_TRUE(RemoveTree(directory_->path() / "upper"));
  auto again = sandbox_->Run(Build("true"));
  ASSERT_TRUE(again) << again.error().Render();
  EXPECT_EQ(*again, 0);
}

}  // namespace
}  // namespace ingot::adapters
