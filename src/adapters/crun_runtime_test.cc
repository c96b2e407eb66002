#include "adapters/crun_runtime.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <atomic>
#include <mutex>
#include <sstream>
#include <thread>

#include "adapters/cgroup.h"
#include "adapters/crun_fixture.h"
#include "adapters/linux_mount.h"
#include "platform/runtime_contract.h"

namespace ingot::adapters {
namespace {

using platform::InstanceId;
using platform::InstanceSpec;
using platform::ProcessState;
using platform::StatusIn;
using platform::WaitForExit;

constexpr const char* kServe = "trap 'exit 0' TERM; while true; do sleep 0.05; done";

class CrunRuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string skip = SmallImage::Skip(); !skip.empty()) GTEST_SKIP() << skip;
    directory_ = std::make_unique<TempDirectory>(*TempDirectory::Make("/tmp/ingot-crun-test", "r"));
    ASSERT_EQ(::chmod("/tmp/ingot-crun-test", 0711), 0);
    ASSERT_EQ(::chmod(directory_->path().c_str(), 0711), 0);
    image_ = std::make_unique<SmallImage>(directory_->path());
    key_ = "t" + std::to_string(::getpid());
    Open();
  }

  void TearDown() override {
    if (!directory_) return;
    runtime_.reset();
    auto down = CrunRuntime::Teardown(Options());
    EXPECT_TRUE(down) << down.error().Render();
    EXPECT_EQ(Leftovers(), "");
  }

  CrunRuntime::Options Options() {
    return {directory_->path() / "run", directory_->path() / "logs", key_, [this](const InstanceId& id) {
              const std::lock_guard lock(ended_mutex_);
              ended_.push_back(id);
            }};
  }
  void Open() {
    runtime_.reset();
    auto opened = CrunRuntime::Open(Options());
    ASSERT_TRUE(opened) << opened.error().Render();
    runtime_ = std::move(*opened);
  }

  InstanceSpec Spec(uint64_t ordinal, const std::string& script) {
    InstanceSpec spec;
    spec.id = *InstanceId::Parse("shop/local/web@0123456789ab/" + std::to_string(ordinal));
    spec.root = image_->root();
    spec.process.args = {"/bin/sh", "-c", script};
    spec.ids = platform::IdRange{static_cast<uint32_t>(3'000'000'000 + 65536 * ordinal), 65536};
    return spec;
  }
  // Runs it to its end and returns what it printed.
  std::string OutputOf(const InstanceSpec& spec) {
    auto prepared = runtime_->Prepare(spec);
    EXPECT_TRUE(prepared) << prepared.error().Render();
    auto started = runtime_->Start(spec.id);
    EXPECT_TRUE(started) << started.error().Render();
    EXPECT_TRUE(WaitForExit(*runtime_, spec.id));
    return LogOf(spec.id);
  }
  // The messages of a log.
  std::string LogOf(const InstanceId& id) {
    std::string out;
    std::istringstream lines(ReadFile(runtime_->LogFile(id)).value_or(""));
    for (std::string line; std::getline(lines, line);) {
      size_t at = 0;
      for (int field = 0; field < 3; ++field) at = line.find(' ', at) + 1;
      out += line.substr(at) + "\n";
    }
    return out;
  }
  pid_t Conmon(const InstanceId& id) {
    return std::atoi(
        ReadFile(directory_->path() / "run" / "i" / id.FileName() / "conmon.pid").value_or("0").c_str());
  }

  // Everything of this root that is still in the kernel or in run/.
  std::string Leftovers() {
    std::string out;
    const std::string mounts = ReadFile("/proc/self/mountinfo").value_or("?");
    if (mounts.find(directory_->path().string()) != std::string::npos) out += "mounts ";
    auto host = LookAtCgroups();
    for (const auto& hierarchy : host->hierarchies)
      if (::access((hierarchy.mount / ("ingot-" + key_)).c_str(), F_OK) == 0) out += "cgroup ";
    // What lies below the second cgroup tree of a hybrid host, which only a namespace without it sees.
    EXPECT_TRUE(OnThread([&]() -> Result<void> {
      if (::unshare(CLONE_NEWNS) < 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
        return ErrnoError(errno, "look below the second cgroup tree");
      TRY(Unmount("/sys/fs/cgroup/unified"));
      if (::access(("/sys/fs/cgroup/unified/ingot-" + key_).c_str(), F_OK) == 0) out += "unified ";
      return {};
    }));
    for (const char* name : {"i", "crun", "exits", "ns", "pin", "exec"})
      if (::access((directory_->path() / "run" / name).c_str(), F_OK) == 0) out += std::string(name) + " ";
    return out;
  }
  bool WaitUntil(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return condition();
  }

  std::unique_ptr<TempDirectory> directory_;
  std::unique_ptr<SmallImage> image_;
  std::string key_;
  std::unique_ptr<CrunRuntime> runtime_;
  std::mutex ended_mutex_;
  std::vector<InstanceId> ended_;
};

TEST_F(CrunRuntimeTest, KeepsTheContract) {
  platform::CheckRuntimeContract(
      {.runtime = [&]() -> platform::Runtime& { return *runtime_; },
       .serving = [&](uint64_t ordinal) { return Spec(ordinal, kServe); },
       .ending = [&](uint64_t ordinal, int code) { return Spec(ordinal, "exit " + std::to_string(code)); }});
}

TEST_F(CrunRuntimeTest, RootIsReadOnlyAndScratchBounded) {
  InstanceSpec spec =
      Spec(1,
           "touch /x; echo >>/etc/motd; touch /etc/hosts; cat /etc/motd; cp /bin/busybox /tmp/true; "
           "/tmp/true; echo exec=$?; dd if=/dev/zero of=/tmp/big bs=65536 count=100 2>&1; "
           "cp /bin/busybox /run/x/true && /run/x/true && echo ran; cat /etc/hostname");
  spec.scratch = {{"/tmp", 3 << 20, false}, {"/run/x", 4 << 20, true}};
  const std::string out = OutputOf(spec);
  EXPECT_NE(out.find("touch: /x: Read-only file system"), std::string::npos) << out;
  EXPECT_NE(out.find("can't create /etc/motd: Read-only file system"), std::string::npos) << out;
  EXPECT_NE(out.find("touch: /etc/hosts: Read-only file system"), std::string::npos) << out;
  EXPECT_NE(out.find("sealed\n"), std::string::npos) << out;
  EXPECT_NE(out.find("/tmp/true: Permission denied"), std::string::npos) << out;
  EXPECT_NE(out.find("exec=126"), std::string::npos) << out;
  EXPECT_NE(out.find("No space left on device"), std::string::npos) << out;
  EXPECT_NE(out.find("ran\n"), std::string::npos) << out;
  EXPECT_NE(out.find("web-1\n"), std::string::npos) << out;
}

TEST_F(CrunRuntimeTest, HasNoPrivilege) {
  const InstanceSpec spec =
      Spec(1, "cat /proc/self/status /proc/self/uid_map; id; mount -t tmpfs x /tmp; ls /sys/fs");
  const std::string out = OutputOf(spec);
  for (const char* expected :
       {"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapPrm:\t0000000000000000",
        "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "uid=0(root) gid=0(root)",
        "         0 3000065536      65536", "mount: permission denied"})
    EXPECT_NE(out.find(expected), std::string::npos) << expected << "\n" << out;
}

TEST_F(CrunRuntimeTest, GrantsOnlyTheCapabilityAskedFor) {
  InstanceSpec spec = Spec(1, "grep Cap /proc/self/status");
  spec.process.user = "app";
  spec.process.capabilities = {"NET_BIND_SERVICE"};
  const std::string out = OutputOf(spec);
  EXPECT_NE(out.find("CapEff:\t0000000000000400"), std::string::npos) << out;
  EXPECT_NE(out.find("CapBnd:\t0000000000000400"), std::string::npos) << out;
  InstanceSpec bad = Spec(2, "true");
  bad.process.capabilities = {"FLY"};
  EXPECT_EQ(runtime_->Prepare(bad).error().code(), Code::kInvalid);
}

TEST_F(CrunRuntimeTest, HostSeesItsOwnUserRangeAndKeepsItsDevices) {
  struct stat before {};
  ASSERT_EQ(::stat("/dev/null", &before), 0);
  InstanceSpec spec = Spec(4, kServe);
  spec.process.user = "app";
  ASSERT_TRUE(runtime_->Prepare(spec));
  ASSERT_TRUE(runtime_->Start(spec.id));
  const auto status = StatusIn(*runtime_, spec.id);
  struct stat st {};
  ASSERT_EQ(::stat(("/proc/" + std::to_string(status->pid)).c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 3'000'000'000 + 65536u * 4 + 1000);
  EXPECT_EQ(st.st_gid, 3'000'000'000 + 65536u * 4 + 1001);
  // crun gives the standard streams to the instance's user; the host's own /dev/null must not be one.
  struct stat after {};
  ASSERT_EQ(::stat("/dev/null", &after), 0);
  EXPECT_EQ(after.st_uid, before.st_uid);
  EXPECT_EQ(after.st_gid, before.st_gid);
}

TEST_F(CrunRuntimeTest, SecretsAreForTheUserOnly) {
  InstanceSpec spec =
      Spec(1, "id; cat /run/secrets/key; stat -c '%a %U' /run/secrets/key; touch /run/secrets/x");
  spec.process.user = "app";
  spec.secrets = {{"key", "hush\n"}};
  spec.scratch = {{"/run", 1 << 20, false}};  // would hide them, if mounted after
  const std::string out = OutputOf(spec);
  EXPECT_NE(out.find("uid=1000(app) gid=1001(app) groups=2000(extra)"), std::string::npos) << out;
  EXPECT_NE(out.find("hush\n"), std::string::npos) << out;
  EXPECT_NE(out.find("400 app\n"), std::string::npos) << out;
  EXPECT_NE(out.find("touch: /run/secrets/x: Read-only file system"), std::string::npos) << out;

  InstanceSpec other = Spec(2, "cat /run/secrets/key");
  other.secrets = {{"key", "hush\n"}};
  ASSERT_TRUE(runtime_->Prepare(other));
  // On the host it is in no file: only in the pinned mount namespace, in memory.
  EXPECT_NE(::access((directory_->path() / "run/i" / other.id.FileName() / "secrets/key").c_str(), F_OK), 0);
  InstanceSpec bad = Spec(3, "true");
  bad.secrets = {{"../key", "hush"}};
  EXPECT_EQ(runtime_->Prepare(bad).error().code(), Code::kInvalid);
}

TEST_F(CrunRuntimeTest, NamesStandInHosts) {
  InstanceSpec spec = Spec(1, "cat /etc/hosts /etc/resolv.conf");
  spec.hosts = {{"api", "198.18.0.9"}, {"db", "198.18.0.10"}};
  const std::string out = OutputOf(spec);
  EXPECT_NE(out.find("198.18.0.9\tapi\n198.18.0.10\tdb\n"), std::string::npos) << out;
  EXPECT_EQ(out.find("nameserver"), std::string::npos) << out;
}

TEST_F(CrunRuntimeTest, MemoryLimitKills) {
  InstanceSpec spec = Spec(1, "exec dd if=/dev/zero of=/dev/null bs=200M count=1");
  spec.limits.memory_bytes = 32 << 20;
  OutputOf(spec);
  const auto status = StatusIn(*runtime_, spec.id);
  EXPECT_EQ(status->exit_code, 137);
  EXPECT_TRUE(status->out_of_memory);
}

TEST_F(CrunRuntimeTest, PidsLimitHolds) {
  InstanceSpec spec = Spec(1, "for i in $(seq 40); do sleep 5 & done; echo all");
  spec.limits.pids = 10;
  const std::string out = OutputOf(spec);
  EXPECT_NE(out.find("can't fork"), std::string::npos) << out;
  EXPECT_EQ(out.find("all\n"), std::string::npos) << out;
}

TEST_F(CrunRuntimeTest, WhatCannotBeExecutedIsSaid) {
  InstanceSpec missing = Spec(1, "");
  missing.process.args = {"/bin/nonesuch"};
  ASSERT_TRUE(runtime_->Prepare(missing));
  auto started = runtime_->Start(missing.id);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Code::kFailed);
  EXPECT_NE(started.error().message().find("/bin/nonesuch"), std::string::npos) << started.error().Render();
  InstanceSpec broken = Spec(2, "");
  broken.process.args = {"/bin/broken"};
  ASSERT_TRUE(runtime_->Prepare(broken));
  started = runtime_->Start(broken.id);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Code::kFailed);
  InstanceSpec nobody = Spec(3, "true");
  nobody.process.user = "nobody";
  EXPECT_EQ(runtime_->Prepare(nobody).error().code(), Code::kNotFound);
  InstanceSpec no_layer = Spec(5, "true");
  no_layer.root.layers = {directory_->path() / "layers" / "none.erofs"};
  EXPECT_EQ(runtime_->Prepare(no_layer).error().code(), Code::kNotFound);
}

TEST_F(CrunRuntimeTest, ExecIsAsConfinedAsTheInstance) {
  InstanceSpec spec = Spec(1, kServe);
  ASSERT_TRUE(runtime_->Prepare(spec));
  ASSERT_TRUE(runtime_->Start(spec.id));
  const auto run = [&](const std::string& script) {
    return runtime_->Exec(spec.id, {"/bin/sh", "-c", script}, Milliseconds(5000)).value_or(-1);
  };
  EXPECT_EQ(run("exit 3"), 3);
  EXPECT_EQ(
      run("grep -q 'Seccomp:.*2' /proc/self/status && grep -q 'CapEff:.*0000000000000000' /proc/self/status"),
      0);
  EXPECT_NE(run("touch /x"), 0);
  EXPECT_EQ(runtime_->Exec(spec.id, {"/bin/sleep", "60"}, Milliseconds(300)).error().code(), Code::kTimeout);
  // What timed out does not live on inside.
  EXPECT_TRUE(WaitUntil([&] { return run("! grep -l '^sleep.60' /proc/[0-9]*/cmdline") == 0; }));
}

TEST_F(CrunRuntimeTest, UsageIsWhatItsProcessesTake) {
  InstanceSpec idle = Spec(1, kServe);
  InstanceSpec busy = Spec(2, "while :; do :; done");
  for (const InstanceSpec& spec : {idle, busy}) {
    ASSERT_TRUE(runtime_->Prepare(spec));
    ASSERT_TRUE(runtime_->Start(spec.id));
  }
  const auto cpu = [&](const InstanceSpec& spec) { return runtime_->Usage(spec.id).value().cpu_us.value(); };
  const uint64_t idle_before = cpu(idle);
  EXPECT_TRUE(WaitUntil([&] { return cpu(busy) > 200'000; }));
  EXPECT_LT(cpu(idle) - idle_before, 100'000u);
  const uint64_t memory = runtime_->Usage(busy.id).value().memory_bytes.value();
  EXPECT_GT(memory, 0u);
  EXPECT_LT(memory, uint64_t{256} << 20);
  ASSERT_TRUE(runtime_->Remove(busy.id));
  EXPECT_EQ(runtime_->Usage(busy.id).error().code(), Code::kNotFound);
}

TEST_F(CrunRuntimeTest, EndIsToldOnceAndLogSurvivesRemove) {
  const InstanceSpec spec = Spec(1, "echo last words; exit 4");
  OutputOf(spec);
  EXPECT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(ended_mutex_);
    return !ended_.empty();
  }));
  ASSERT_TRUE(runtime_->Remove(spec.id));
  EXPECT_EQ(LogOf(spec.id), "last words\n");
  const std::lock_guard lock(ended_mutex_);
  EXPECT_EQ(ended_, std::vector<InstanceId>{spec.id});
}

TEST_F(CrunRuntimeTest, KilledConmonEndsTheInstanceWithUnknownCode) {
  const InstanceSpec spec = Spec(1, kServe);
  ASSERT_TRUE(runtime_->Prepare(spec));
  ASSERT_TRUE(runtime_->Start(spec.id));
  const pid_t conmon = Conmon(spec.id);
  ASSERT_GT(conmon, 1);
  ASSERT_EQ(::kill(conmon, SIGKILL), 0);
  ASSERT_TRUE(WaitForExit(*runtime_, spec.id));
  EXPECT_FALSE(StatusIn(*runtime_, spec.id)->exit_code);
  EXPECT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(ended_mutex_);
    return ended_ == std::vector<InstanceId>{spec.id};
  }));
}

// The process that started it is killed; a new one finds it, sees it end and has its code.
TEST_F(CrunRuntimeTest, InstanceOutlivesTheProcessThatStartedIt) {
  const InstanceSpec spec = Spec(1, kServe);
  runtime_.reset();
  const pid_t child = ::fork();
  if (child == 0) {
    auto runtime = CrunRuntime::Open(Options());
    if (runtime && (*runtime)->Prepare(spec) && (*runtime)->Start(spec.id)) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  Open();
  const auto found = StatusIn(*runtime_, spec.id);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state, ProcessState::kRunning);
  EXPECT_EQ(runtime_->Exec(spec.id, {"/bin/true"}, Milliseconds(5000)).value_or(-1), 0);
  ASSERT_TRUE(runtime_->Signal(spec.id, "SIGTERM"));
  ASSERT_TRUE(WaitForExit(*runtime_, spec.id));
  EXPECT_EQ(StatusIn(*runtime_, spec.id)->exit_code, 0);
  EXPECT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(ended_mutex_);
    return ended_ == std::vector<InstanceId>{spec.id};
  }));
}

// What a killed process had begun goes on without it: conmon, crun, or the child that was to become conmon.
TEST_F(CrunRuntimeTest, RemoveWaitsForWhatAStartHasLeft) {
  const InstanceSpec spec = Spec(1, kServe);
  ASSERT_TRUE(runtime_->Prepare(spec));
  auto lock = FileLock::Take(directory_->path() / "run/i" / spec.id.FileName() / "start.lock", false);
  ASSERT_TRUE(lock) << lock.error().Render();
  std::atomic<bool> ended = false;
  std::thread left([&] {
    std::this_thread::sleep_for(Milliseconds(100));
    ended = true;
    FileLock gone = std::move(*lock);
  });
  const auto removed = runtime_->Remove(spec.id);
  EXPECT_TRUE(removed) << removed.error().Render();
  EXPECT_TRUE(ended);
  left.join();
}

TEST_F(CrunRuntimeTest, AnInstanceHasNoDescriptorOfItsStart) {
  EXPECT_EQ(OutputOf(Spec(1, "ls -l /proc/1/fd | grep -c start.lock")), "0\n");
}

// Killed at whatever moment of preparing, starting and removing: the next process removes it whole.
TEST_F(CrunRuntimeTest, KilledAtAnyMomentLeavesNothingThatRemoveDoesNotFind) {
  const InstanceSpec spec = Spec(1, kServe);
  const std::string key = key_;
  for (int delay_us = 0; delay_us <= 60'000; delay_us += 4'000) {
    runtime_.reset();
    const pid_t child = ::fork();
    if (child == 0) {
      auto runtime = CrunRuntime::Open(Options());
      for (int i = 0; runtime && i < 100; ++i) {
        if (!(*runtime)->Prepare(spec) || !(*runtime)->Start(spec.id) || !(*runtime)->Remove(spec.id)) break;
      }
      ::_exit(1);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20'000 + delay_us));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed";
    Open();
    auto removed = runtime_->Remove(spec.id);
    ASSERT_TRUE(removed) << removed.error().Render();
    auto swept = runtime_->Sweep();
    ASSERT_TRUE(swept) << swept.error().Render();
    EXPECT_FALSE(StatusIn(*runtime_, spec.id));
    EXPECT_EQ(ListDirectory(directory_->path() / "run/i")->size(), 0u);
    EXPECT_EQ(ListDirectory(directory_->path() / "run/exits")->size(), 0u);
    EXPECT_EQ(ChildrenOf(*LookAtCgroups(), "/ingot-" + key)->size(), 0u);
  }
}

TEST_F(CrunRuntimeTest, RotationLosesNothing) {
  const InstanceSpec spec = Spec(1, "for i in $(seq 20000); do echo line $i; done; echo end");
  ASSERT_TRUE(runtime_->Prepare(spec));
  ASSERT_TRUE(runtime_->Start(spec.id));
  for (int i = 0; i < 40; ++i) {  // fewer files than are kept, whatever the speed
    auto rotated = runtime_->RotateLogs(20'000, 50);
    ASSERT_TRUE(rotated) << rotated.error().Render();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(WaitForExit(*runtime_, spec.id));
  // Oldest first; a line that conmon read in pieces is several records, all but the last tagged P.
  std::string text;
  int files = 0;
  for (int n = 50; n >= 0; --n) {
    const std::string file = runtime_->LogFile(spec.id).string() + (n > 0 ? "." + std::to_string(n) : "");
    auto part = ReadFile(file);
    if (!part) continue;
    ++files;
    std::istringstream records(*part);
    for (std::string record; std::getline(records, record);) {
      const size_t tag = record.find(" stdout ") + 8;
      text += record.substr(tag + 2) + (record[tag] == 'F' ? "\n" : "");
    }
  }
  std::string expected;
  for (int i = 1; i <= 20'000; ++i) expected += "line " + std::to_string(i) + "\n";
  EXPECT_GT(files, 1);
  EXPECT_TRUE(text == expected + "end\n")
      << "of " << expected.size() + 4 << " bytes there are " << text.size();
}

TEST_F(CrunRuntimeTest, FourThreadsAtOnce) {
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (uint64_t i = 0; i < 5; ++i) {
        const InstanceSpec spec = Spec(1 + thread * 5 + i, kServe);
        if (!runtime_->Prepare(spec) || !runtime_->Start(spec.id)) ++failures;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  auto all = runtime_->Observe();
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 20u);
  for (const auto& status : *all) EXPECT_EQ(status.state, ProcessState::kRunning) << status.id.Render();
}

}  // namespace
}  // namespace ingot::adapters
