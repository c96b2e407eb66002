// The store on its real catalog, with several processes at once, killed processes and full disks.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <random>
#include <thread>

#include "adapters/sqlite_catalog.h"
#include "store/collector.h"
#include "store/store_fixture.h"
#include "store/verify.h"

namespace ingot::adapters {
namespace {

using store::Collect;
using store::CollectOptions;
using store::Lease;
using store::Must;
using store::Store;

// A process's view of a store.
struct Opened {
  explicit Opened(const fs::path& root)
      : catalog(Must(SqliteCatalog::Open(root / "store.db"))),
        store(Must(Store::Open(store::StorePaths::Below(root), *catalog, clock))) {}
  SystemClock clock;
  std::unique_ptr<SqliteCatalog> catalog;
  std::unique_ptr<Store> store;
};

class SqliteStoreTest : public testing::Test {
 protected:
  // In memory: a sync costs nothing there, so processes meet far more often.
  TempDirectory directory_ =
      *TempDirectory::Make(fs::exists("/dev/shm") ? "/dev/shm/ingot-test" : "/tmp/ingot-test", "store");
  fs::path root_ = directory_.path();
};

// Imports images whose files come from a small set, so that each is garbage again and again and found again
// again and again; after each, while the lease lives and after the tag, all of it must be there.
Result<void> ImportAndCheck(const fs::path& root, unsigned seed, int rounds) {
  Opened opened(root);
  std::mt19937 random(seed);
  Store& store = *opened.store;
  const std::string tag = "v" + std::to_string(seed);
  for (int round = 0; round < rounds; ++round) {
    Lease lease = TRY(store.TakeLease("import"));
    std::map<std::string, std::string> files;
    for (int i = 0; i < 3; ++i) {
      const unsigned n = random() % 12;
      files["f" + std::to_string(n)] = "contents " + std::to_string(n);
    }
    store::Tree tree;
    for (const auto& [path, contents] : files)
      TRY(tree.Put(path, store::Node::Regular(TRY(store.objects().Put(contents)), contents.size())));
    store::FillImplied(tree, store::Tree());
    const store::Layer layer = TRY(store.SealLayer(tree, lease));
    store::NewImage image;
    image.config.architecture = "amd64";
    image.config.os = "linux";
    image.layers = {layer};
    const oci::Digest digest = TRY(store.PutImage(image, lease));
    // Every other time the name it gets is a cache entry's, or none.
    if (round % 3 == 0) TRY(store.SetTag("shop/web", tag, digest));
    if (round % 3 == 1) TRY(store.CachePut(tag, "1", {{layer.id}, {digest}}));
    if (round % 2 == 0) TRY(lease.KeepImage(digest));
    if (round % 3 == 0) TRY(lease.Release());
    const auto report = TRY(store::Verify(store, {{digest}, 1, {}}));
    if (!report.ok()) {
      return Error(Code::kFailed, "round " + std::to_string(round) + ": " +
                                      std::string(store::ThingKindName(report.problems[0].thing)) + " " +
                                      report.problems[0].message);
    }
    if (round % 3 == 0) TRY(store.RemoveTag("shop/web", tag));
  }
  return {};
}

// In a child process: 0, or prints and fails.
pid_t StartChild(const std::function<Result<void>()>& work) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  // As the collector's marks (base/low_priority.h), or it would hardly come to anything beside several of
  // them.
  ::setpriority(PRIO_PROCESS, 0, 19);
  const auto done = work();
  if (!done) ::fprintf(stderr, "child: %s\n", done.error().Render().c_str());
  ::_exit(done ? 0 : 1);
}

int WaitFor(pid_t pid) {
  int status = -1;
  ::waitpid(pid, &status, 0);
  return status;
}

TEST_F(SqliteStoreTest, NothingReachableIsEverCollectedWhileProcessesAndThreadsImport) {
  { Opened make(root_); }
  constexpr int kRounds = 200;
  std::vector<pid_t> importers;
  for (unsigned i = 0; i < 3; ++i)
    importers.push_back(StartChild([&] { return ImportAndCheck(root_, i, kRounds); }));
  const pid_t threaded = StartChild([&]() -> Result<void> {
    Result<void> results[2];
    std::thread other([&] { results[0] = ImportAndCheck(root_, 100, kRounds); });
    results[1] = ImportAndCheck(root_, 101, kRounds);
    other.join();
    TRY(std::move(results[0]));
    return std::move(results[1]);
  });
  Opened opened(root_);
  CollectOptions options;
  options.rests = 0;
  options.keep_cache = Milliseconds(0);
  int collections = 0;
  uint64_t collected = 0;
  size_t running = importers.size() + 1;
  importers.push_back(threaded);
  while (running > 0) {
    options.batch = collections % 2 == 0 ? 1 : 64;
    const auto done = Collect(*opened.store, options, opened.clock);
    if (!done) {
      ADD_FAILURE() << done.error().Render();
      for (const pid_t pid : importers)
        if (pid != 0) ::kill(pid, SIGKILL);
      for (const pid_t pid : importers)
        if (pid != 0) WaitFor(pid);
      return;
    }
    ++collections;
    collected += done->objects.files + done->layers.files + done->blobs.files;
    for (pid_t& pid : importers) {
      int status = 0;
      if (pid == 0 || ::waitpid(pid, &status, WNOHANG) != pid) continue;
      EXPECT_EQ(status, 0);
      pid = 0;
      --running;
    }
  }
  // It really ran beside them (how often depends on how busy the machine is), and really removed.
  EXPECT_GT(collections, 3);
  EXPECT_GT(collected, 50U);
  for (int i = 0; i < 2; ++i) Must(Collect(*opened.store, options, opened.clock));
  EXPECT_THAT(store::FilesBelow(root_), testing::IsEmpty());
  RecordProperty("collections", collections);
  RecordProperty("files_collected", static_cast<int>(collected));
}

TEST_F(SqliteStoreTest, AKilledImporterLeavesGarbageThatIsCollected) {
  { Opened make(root_); }
  for (int delay_ms = 1; delay_ms < 30; delay_ms += 4) {
    const pid_t pid = StartChild([&] { return ImportAndCheck(root_, 7, 1'000'000); });
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
    ::kill(pid, SIGKILL);
    WaitFor(pid);
    Opened opened(root_);
    const auto report = Must(store::Verify(*opened.store, {}));
    EXPECT_TRUE(report.ok()) << report.problems[0].message;
    for (const auto& tag : Must(opened.store->ListTags()))
      Must(opened.store->RemoveTag(tag.repository, tag.tag));
    CollectOptions options;
    options.rests = 0;
    options.keep_cache = Milliseconds(0);
    Must(Collect(*opened.store, options, opened.clock));
  }
  for (const std::string& file : store::FilesBelow(root_)) {
    // A claims file that had no lease row yet stays for an hour; nothing else stays.
    EXPECT_TRUE(file.starts_with("claims/")) << file;
  }
}

TEST_F(SqliteStoreTest, AFullDiskIsNoSpaceAndNothingIsHalfDone) {
  const fs::path small = root_ / "small";
  Must(MakeDirectories(small));
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "SKIP: cannot mount";
  {
    Opened opened(small);
    Store& store = *opened.store;
    oci::Digest last;
    Code code = Code::kInternal;
    std::string message;
    for (int i = 0; i < 1000; ++i) {
      const auto step = [&]() -> Result<void> {
        Lease lease = TRY(store.TakeLease("fill"));
        const std::string contents = std::to_string(i) + std::string(20'000, 'x');
        store::Tree tree;
        TRY(tree.Put("file", store::Node::Regular(TRY(store.objects().Put(contents)), contents.size())));
        store::NewImage image;
        image.config.architecture = "amd64";
        image.config.os = "linux";
        image.layers = {TRY(store.SealLayer(tree, lease))};
        last = TRY(store.PutImage(image, lease));
        return store.SetTag("fill", std::to_string(i), last);
      };
      const auto done = step();
      if (done) continue;
      code = done.error().code();
      message = done.error().Render();
      break;
    }
    EXPECT_EQ(code, Code::kNoSpace) << message;
    EXPECT_FALSE(last.empty());
    const auto report = Must(store::Verify(store, {}));
    EXPECT_TRUE(report.ok()) << report.problems[0].message;
    EXPECT_GT(report.images, 3U);
    for (const std::string& file : store::FilesBelow(small))
      EXPECT_THAT(file, testing::Not(testing::HasSubstr(".tmp."))) << file;
  }
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

TEST_F(SqliteStoreTest, OpeningAndOneQueryIsCheap) {
  { Opened make(root_); }
  auto best = std::chrono::nanoseconds::max();
  for (int i = 0; i < 50; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    {
      Opened opened(root_);
      EXPECT_EQ(opened.store->GetTag("shop/web", "v1").error().code(), Code::kNotFound);
    }
    best = std::min(best, std::chrono::steady_clock::now() - begin);
  }
  RecordProperty("best_us", static_cast<int>(best.count() / 1000));
  EXPECT_LT(best, std::chrono::milliseconds(5));  // 0.4 ms where nothing else runs
}

}  // namespace
}  // namespace ingot::adapters
