// Kills a writer at every system call that changes a file or makes one durable, and looks at what is left;
// and watches the order of those calls, since a killed process loses nothing that a power cut would.
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <set>

#include "adapters/sqlite_catalog.h"
#include "store/collector.h"
#include "store/store_fixture.h"
#include "store/verify.h"

namespace ingot::adapters {
namespace {

using store::Must;
using store::StillClock;
using store::Store;

bool Changes(uint64_t number) {
  static const std::set<uint64_t> numbers = {
      SYS_write, SYS_pwrite64,  SYS_writev,    SYS_fsync,  SYS_fdatasync, SYS_syncfs, SYS_rename,
      SYS_link,  SYS_renameat,  SYS_renameat2, SYS_unlink, SYS_unlinkat,  SYS_mkdir,  SYS_mkdirat,
      SYS_rmdir, SYS_ftruncate, SYS_fallocate, SYS_fchmod, SYS_chmod};
  return numbers.contains(number);
}

struct Event {
  uint64_t call;
  std::string path;  // of the descriptor, or the first path
  std::string to;    // of a rename
};

std::string PathOf(pid_t pid, uint64_t fd) {
  std::error_code ec;
  const auto path = fs::read_symlink("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd), ec);
  return ec ? "" : path.string();
}

std::string TextAt(pid_t pid, uint64_t address) {
  std::string text;
  while (text.size() < 4096) {
    errno = 0;
    const long word = ::ptrace(PTRACE_PEEKDATA, pid, address + text.size(), nullptr);
    if (errno != 0) return text;
    for (size_t i = 0; i < sizeof word; ++i) {
      const char c = static_cast<char>(word >> (8 * i));
      if (c == '\0') return text;
      text += c;
    }
  }
  return text;
}

Event EventOf(pid_t pid, const __ptrace_syscall_info& info) {
  const auto* args = info.entry.args;
  Event event{info.entry.nr, "", ""};
  switch (info.entry.nr) {
    case SYS_rename:
    case SYS_link:
      event.path = TextAt(pid, args[0]);
      event.to = TextAt(pid, args[1]);
      break;
    case SYS_renameat:
    case SYS_renameat2:
      event.path = TextAt(pid, args[1]);
      event.to = TextAt(pid, args[3]);
      if (!event.to.starts_with('/')) event.to = PathOf(pid, args[2]) + "/" + event.to;
      break;
    case SYS_unlink:
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_chmod:
      event.path = TextAt(pid, args[0]);
      break;
    case SYS_unlinkat:
    case SYS_mkdirat:
      event.path = TextAt(pid, args[1]);
      break;
    default:
      event.path = PathOf(pid, args[0]);
  }
  return event;
}

// Runs `work` in a child and kills it, with all its threads, as it enters its `kill_at`th changing call (from
// 1; 0: never). The calls it had entered; nullopt when this machine does not let us trace.
std::optional<std::vector<Event>> RunKilledAt(size_t kill_at, const std::function<void()>& work,
                                              bool& finished) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(3);
    ::raise(SIGSTOP);
    work();
    ::_exit(0);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return std::nullopt;
  if (::ptrace(PTRACE_SETOPTIONS, child, nullptr,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) != 0) {
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return std::nullopt;
  }
  ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  std::vector<Event> events;
  finished = false;
  while (true) {
    const pid_t pid = ::waitpid(-1, &status, __WALL);
    if (pid < 0) break;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (pid != child) continue;
      finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      break;
    }
    int signal = 0;
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info{};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY && Changes(info.entry.nr)) {
        events.push_back(EventOf(pid, info));
        if (events.size() == kill_at) ::kill(child, SIGKILL);
      }
    } else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
      signal = WSTOPSIG(status);
    }
    ::ptrace(PTRACE_SYSCALL, pid, nullptr, signal);
  }
  return events;
}

class StoreCrashTest : public testing::Test {
 protected:
  TempDirectory directory_ =
      *TempDirectory::Make(fs::exists("/dev/shm") ? "/dev/shm/ingot-test" : "/tmp/ingot-test", "crash");
  fs::path root_ = directory_.path() / "store";
  StillClock clock_;

  // All that a build does: objects, two layers, an image, golden, cache, tag.
  void Build() {
    auto catalog = Must(SqliteCatalog::Open(root_ / "store.db"));
    auto store = Must(Store::Open(store::StorePaths::Below(root_), *catalog, clock_));
    auto lease = Must(store->TakeLease("build"));
    const auto base = Must(store->SealLayer(
        store::TreeOf(store->objects(),
                      {{"bin/a", "aaa"}, {"bin/b", "bbb"}, {"big", std::string(300'000, 'x')}}),
        lease));
    const auto top = Must(store->SealLayer(store::TreeOf(store->objects(), {{"app", "v2"}}), lease));
    const auto digest = store::PutImageOf(*store, lease, std::vector{base, top});
    Must(store->MarkGolden(digest, "{}"));
    Must(store->CachePut("step", "1", {{top.id}, {digest}}));
    Must(store->SetTag("shop/web", "new", digest));
    Must(lease.Release());
  }

  void BuildOld() {
    auto catalog = Must(SqliteCatalog::Open(root_ / "store.db"));
    auto store = Must(Store::Open(store::StorePaths::Below(root_), *catalog, clock_));
    auto lease = Must(store->TakeLease("build"));
    Must(store->SetTag("shop/web", "old",
                       store::PutImageOf(*store, lease, {{"bin/a", "aaa"}, {"old", "v1"}})));
    Must(lease.Release());
  }

  // Whatever happened: what rows name is there and whole, the old image above all; the next build succeeds
  // and collection leaves nothing behind.
  void CheckAndFinish(size_t at) {
    SCOPED_TRACE("killed at call " + std::to_string(at));
    auto catalog = Must(SqliteCatalog::Open(root_ / "store.db"));
    auto store = Must(Store::Open(store::StorePaths::Below(root_), *catalog, clock_));
    auto report = Must(store::Verify(*store, {}));
    EXPECT_TRUE(report.ok()) << report.problems[0].message;
    EXPECT_TRUE(store->GetTag("shop/web", "old"));
    const auto cached = Must(store->CacheGet("step"));
    if (cached) {
      EXPECT_TRUE(Must(store->GetImage(cached->refs.images[0])).golden);
    }
    for (const auto& layer : AllLayers(*catalog)) EXPECT_TRUE(store->ReadLayer(layer.id));
    Build();
    report = Must(store::Verify(*store, {}));
    EXPECT_TRUE(report.ok()) << report.problems[0].message;
    EXPECT_EQ(report.images, 2U);
    StillClock later;
    later.now = SystemClock().Now() + std::chrono::hours(2);
    store::CollectOptions options;
    options.rests = 0;
    options.keep_cache = Milliseconds(0);
    Must(store::Collect(*store, options, later));
    const auto left = store::FilesBelow(root_);
    // 5 objects, 3 layers, 2 manifests, 2 configurations.
    EXPECT_EQ(left.size(), 12U) << testing::PrintToString(left);
    EXPECT_TRUE(Must(store::Verify(*store, {})).ok());
  }

  static std::vector<store::Layer> AllLayers(store::Catalog& catalog) {
    std::vector<store::Layer> layers;
    Must(catalog.Read([&](const store::CatalogRows& rows) -> Result<void> {
      layers = TRY(rows.ListLayers());
      return {};
    }));
    return layers;
  }
};

TEST_F(StoreCrashTest, KilledAtEveryWriteSyncAndRenameNoRowLacksItsFiles) {
  bool finished = false;
  size_t at = 1;
  for (; !finished; ++at) {
    fs::remove_all(root_);
    Must(MakeDirectories(root_));
    BuildOld();
    const auto events = RunKilledAt(
        at, [&] { Build(); }, finished);
    if (!events) GTEST_SKIP() << "SKIP: this machine does not allow ptrace";
    CheckAndFinish(at);
    if (HasFailure()) return;
    ASSERT_LT(at, 2000U);
  }
  RecordProperty("kill_points", static_cast<int>(at - 2));
  EXPECT_GT(at, 60U);
}

TEST_F(StoreCrashTest, FilesAreSyncedThenNamedThenTheirFolderIsSyncedThenTheRowIs) {
  Must(MakeDirectories(root_));
  BuildOld();
  bool finished = false;
  const auto events = RunKilledAt(
      0, [&] { Build(); }, finished);
  if (!events) GTEST_SKIP() << "SKIP: this machine does not allow ptrace";
  ASSERT_TRUE(finished);
  std::set<std::string> dirty;             // written, not synced
  std::set<std::string> unsynced_folders;  // of new names
  std::set<std::string> named;             // a first try may meet a missing folder
  size_t commits = 0;
  for (const Event& event : *events) {
    const fs::path path = event.path;
    const bool sync = event.call == SYS_fsync || event.call == SYS_fdatasync;
    if (path.filename() == "store.db-wal" && sync) {
      ++commits;
      EXPECT_THAT(unsynced_folders, testing::IsEmpty()) << "commit " << commits;
    }
    if (event.call == SYS_syncfs) {
      dirty.clear();
      unsynced_folders.clear();
    } else if (sync) {
      dirty.erase(event.path);
      unsynced_folders.erase(event.path);
    } else if (event.call == SYS_write || event.call == SYS_pwrite64 || event.call == SYS_writev) {
      dirty.insert(event.path);
    } else if (event.call == SYS_rename || event.call == SYS_renameat || event.call == SYS_renameat2) {
      named.insert(event.to);
      EXPECT_FALSE(dirty.contains(event.path)) << event.path << " was named before it was synced";
      unsynced_folders.insert(fs::path(event.to).parent_path());
    }
  }
  EXPECT_EQ(named.size(), 7U);  // 3 new objects, 2 layers, manifest, configuration
  EXPECT_GE(commits, 5U);       // 2 layers, image, golden, tag
}

}  // namespace
}  // namespace ingot::adapters
