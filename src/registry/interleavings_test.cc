// Pushes, mounts, promotions, deletions, builds and collections in 100,000 random interleavings, beside
// readers: no live blob, manifest, image or object is lost. INGOT_SEED has an interleaving again.
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "base/sync.h"
#include "registry/registry.h"
#include "registry/turns.h"
#include "store/collector.h"
#include "store/store_fixture.h"
#include "store/verify.h"

namespace ingot::registry {
namespace {

using store::Must;

constexpr size_t kPushers = 3;
constexpr size_t kReaders = 2;
// Few contents, so that the same digest is pushed, mounted, deleted and collected all the time.
constexpr size_t kContents = 12;
constexpr size_t kTags = 3;
const char* const kManifestType = "application/vnd.oci.image.manifest.v1+json";

std::string ContentOf(size_t number) {
  return "content " + std::to_string(number) + std::string(number * 7, 'x');
}
std::string RepositoryOf(size_t pusher) {
  return "team/app" + std::to_string(pusher);
}

// What must be there. Each key is changed by one thread; a reader judges only what did not change meanwhile.
struct Kept {
  uint64_t version = 0;  // odd: being changed
  std::optional<oci::Digest> digest;
};

class World {
 public:
  World(unsigned seed, size_t operations, bool free, bool broken)
      : seed_(seed), operations_(operations), broken_(broken), turns_(seed, 2 + kPushers + kReaders, free) {}

  void Run() {
    std::vector<std::thread> threads;
    size_t next = 0;
    const auto add = [&](void (World::*step)(std::mt19937&, size_t), size_t which) {
      threads.emplace_back([this, step, which, self = next] { Loop(step, which, self); });
      ++next;
    };
    for (size_t i = 0; i < kPushers; ++i) add(&World::Push, i);
    for (size_t i = 0; i < kReaders; ++i) add(&World::ReadSomething, i);
    add(&World::Build, 0);
    add(&World::CollectOnce, 0);
    for (std::thread& thread : threads) thread.join();
  }

  // Afterwards: all that was kept is whole, and nothing else is there.
  void CheckEnd() {
    std::mt19937 random(seed_);
    for (size_t pusher = 0; pusher < kPushers; ++pusher) {
      for (size_t i = 0; i < kContents; ++i) CheckBlob(pusher, i);
      for (size_t i = 0; i < kTags; ++i) CheckTag(pusher, i);
    }
    for (size_t i = 0; i < kTags; ++i) CheckImage(i);
    const auto report = Must(store::Verify(*store_, {}));
    EXPECT_TRUE(report.ok()) << report.problems[0].message;
    Must(catalog_.Write([&](store::CatalogRows& rows) -> Result<void> {
      for (size_t i = 0; i < kTags; ++i) TRY(rows.RemoveTag("shop/app", "t" + std::to_string(i)));
      for (size_t pusher = 0; pusher < kPushers; ++pusher) {
        for (size_t i = 0; i < kContents; ++i)
          TRY(rows.RemoveRepositoryBlob(RepositoryOf(pusher), oci::Digest::Of(ContentOf(i))));
      }
      for (const oci::Digest& digest : TRY(rows.ListRepositoryDigests()))
        for (size_t pusher = 0; pusher < kPushers; ++pusher)
          TRY(rows.RemoveRepositoryManifest(RepositoryOf(pusher), digest));
      return {};
    }));
    store::CollectOptions options;
    options.rests = 0;
    options.keep_cache = Milliseconds(0);
    Must(store::Collect(*store_, options, clock_));
    EXPECT_THAT(store::FilesBelow(root_ / "blobs"), testing::IsEmpty());
    EXPECT_THAT(store::FilesBelow(root_ / "layers"), testing::IsEmpty());
    EXPECT_THAT(store::FilesBelow(root_ / "objects"), testing::IsEmpty());
  }

  std::vector<std::string> lost() { return *lost_.lock(); }
  uint64_t turns() const { return turns_.taken(); }
  uint64_t collections() const { return collections_; }
  uint64_t removed_files() const { return removed_files_; }
  uint64_t checks() const { return checks_; }

 private:
  struct Answered {
    int status = 0;
    std::string body;
    std::string location;
  };

  void Loop(void (World::*step)(std::mt19937&, size_t), size_t which, size_t self) {
    std::mt19937 random(seed_ * 31 + static_cast<unsigned>(self));
    turns_.Enter(self);
    // A reader or writer that has found a loss ends the run.
    while (done_.fetch_add(1) < operations_ && !failed_) {
      (this->*step)(random, which);
      turns_.Yield();
    }
    turns_.Leave();
  }

  void Lost(const std::string& what) {
    failed_ = true;
    lost_.lock()->push_back(what + " (seed " + std::to_string(seed_) + ", operation " +
                            std::to_string(done_.load()) + ")");
  }

  Answered Ask(Request request, const std::string& body = "") {
    if (!body.empty()) request.content_length = body.size();
    auto exchange = registry_->Begin(request);
    turns_.Yield();
    if (!body.empty() && exchange->WantsBody()) exchange->Write(body);
    turns_.Yield();
    Response response = exchange->Finish();
    Answered answer{response.status, response.text, std::string(response.Header("Location"))};
    if (response.file) {
      turns_.Yield();  // the file is open: it must stay readable, whoever removes its name
      answer.body.resize(response.file->size_bytes);
      if (::pread(response.file->fd.get(), answer.body.data(), answer.body.size(), 0) !=
          static_cast<ssize_t>(answer.body.size()))
        Lost("a file that is being sent");
    }
    return answer;
  }

  Kept Now(const std::string& key) { return (*kept_.lock())[key]; }
  void Begin(const std::string& key) { ++(*kept_.lock())[key].version; }
  void End(const std::string& key, std::optional<oci::Digest> digest) {
    auto kept = kept_.lock();
    ++(*kept)[key].version;
    (*kept)[key].digest = std::move(digest);
  }
  static std::string BlobKey(size_t pusher, size_t content) {
    return "b" + std::to_string(pusher) + "/" + std::to_string(content);
  }
  static std::string TagKey(size_t pusher, size_t tag) {
    return "t" + std::to_string(pusher) + "/" + std::to_string(tag);
  }
  static std::string ImageKey(size_t tag) { return "i" + std::to_string(tag); }

  // --- what pushers do, each in a repository of its own ---
  void Push(std::mt19937& random, size_t pusher) {
    const size_t content = random() % kContents;
    switch (random() % 10) {
      case 0:
      case 1:
        return PushBlob(pusher, content);
      case 2:
      case 3:
      case 4:
        return MountBlob(pusher, content, random() % kPushers);
      case 5:
      case 6:
        return DeleteBlob(pusher, content);
      case 7:
        return PushManifest(random, pusher);
      case 8:
        return Promote(random, pusher);
      default:
        return DeleteManifest(random, pusher);
    }
  }

  void PushBlob(size_t pusher, size_t content) {
    const oci::Digest digest = oci::Digest::Of(ContentOf(content));
    Request request;
    request.method = "POST";
    request.path = "/v2/" + RepositoryOf(pusher) + "/blobs/uploads/";
    request.query = {{"digest", digest.Render()}};
    const Answered answer = Ask(request, ContentOf(content));
    if (answer.status != 201) return Lost("a push was refused: " + answer.body);
    Begin(BlobKey(pusher, content));
    End(BlobKey(pusher, content), digest);
  }

  void MountBlob(size_t pusher, size_t content, size_t from) {
    const oci::Digest digest = oci::Digest::Of(ContentOf(content));
    if (broken_) return MountWrongly(pusher, content, digest);
    Request request;
    request.method = "POST";
    request.path = "/v2/" + RepositoryOf(pusher) + "/blobs/uploads/";
    request.query = {{"mount", digest.Render()}, {"from", RepositoryOf(from)}};
    const Answered answer = Ask(request);
    if (answer.status == 201) {
      Begin(BlobKey(pusher, content));
      End(BlobKey(pusher, content), digest);
    } else if (answer.status == 202) {
      Request cancel;
      cancel.method = "DELETE";
      cancel.path = answer.location;
      if (Ask(cancel).status != 204) Lost("an upload could not be cancelled");
    } else {
      Lost("a mount was refused: " + answer.body);
    }
  }

  // What lease.h forbids: it looks first, and says then that it relies on what it has seen.
  void MountWrongly(size_t pusher, size_t content, const oci::Digest& digest) {
    if (!Must(store_->HasBlob(digest))) return;
    for (int i = 0; i < 8; ++i) turns_.Yield();
    auto lease = Must(store_->TakeLease("wrong"));
    Must(turns_catalog_.Write([&](store::CatalogRows& rows) {
      return rows.PutRepositoryBlob({RepositoryOf(pusher), digest, ContentOf(content).size(), clock_.Now()});
    }));
    Begin(BlobKey(pusher, content));
    End(BlobKey(pusher, content), digest);
  }

  void DeleteBlob(size_t pusher, size_t content) {
    const std::string key = BlobKey(pusher, content);
    if (!Now(key).digest) return;
    // A blob that a manifest of this repository names stays, as clients have it.
    for (size_t tag = 0; tag < kTags; ++tag)
      if (named_[pusher][tag].contains(content)) return;
    Begin(key);
    Request request;
    request.method = "DELETE";
    request.path = "/v2/" + RepositoryOf(pusher) + "/blobs/" + oci::Digest::Of(ContentOf(content)).Render();
    const Answered answer = Ask(request);
    if (answer.status != 202) Lost("a blob that was there could not be deleted: " + answer.body);
    End(key, std::nullopt);
  }

  static std::string ManifestOf(size_t config, size_t layer) {
    const auto descriptor = [](size_t content) {
      return R"({"mediaType":"application/octet-stream","digest":")" +
             oci::Digest::Of(ContentOf(content)).Render() + R"(","size":)" +
             std::to_string(ContentOf(content).size()) + "}";
    };
    return R"({"schemaVersion":2,"mediaType":")" + std::string(kManifestType) + R"(","config":)" +
           descriptor(config) + R"(,"layers":[)" + descriptor(layer) + "]}";
  }

  void PutManifest(size_t pusher, size_t tag, size_t config, size_t layer) {
    const std::string manifest = ManifestOf(config, layer);
    named_[pusher][tag] = {config, layer};
    Begin(TagKey(pusher, tag));
    Request request;
    request.method = "PUT";
    request.path = "/v2/" + RepositoryOf(pusher) + "/manifests/t" + std::to_string(tag);
    request.content_type = kManifestType;
    const Answered answer = Ask(request, manifest);
    if (answer.status != 201) Lost("a manifest was refused: " + answer.body);
    End(TagKey(pusher, tag), oci::Digest::Of(manifest));
  }

  void PushManifest(std::mt19937& random, size_t pusher) {
    const size_t config = random() % kContents;
    const size_t layer = random() % kContents;
    const size_t tag = random() % kTags;
    PushBlob(pusher, config);
    PushBlob(pusher, layer);
    // A tag here may move; what it named may be deleted after that.
    PutManifest(pusher, tag, config, layer);
  }

  // Promotion between repositories: the blobs are mounted, the identical manifest is put.
  void Promote(std::mt19937& random, size_t pusher) {
    const size_t from = random() % kPushers;
    const size_t tag = random() % kTags;
    if (from == pusher) return;
    Request request;
    request.method = "GET";
    request.path = "/v2/" + RepositoryOf(from) + "/manifests/t" + std::to_string(tag);
    const Answered answer = Ask(request);
    if (answer.status == 404) return;
    for (size_t config = 0; config < kContents; ++config) {
      for (size_t layer = 0; layer < kContents; ++layer) {
        if (ManifestOf(config, layer) != answer.body) continue;
        for (const size_t content : {config, layer}) {
          MountBlob(pusher, content, from);
          if (!Now(BlobKey(pusher, content)).digest) PushBlob(pusher, content);
        }
        return PutManifest(pusher, tag, config, layer);
      }
    }
    Lost("a manifest that is promoted is not what was pushed: " + answer.body);
  }

  void DeleteManifest(std::mt19937& random, size_t pusher) {
    const size_t tag = random() % kTags;
    const auto digest = Now(TagKey(pusher, tag)).digest;
    if (!digest) return;
    Begin(TagKey(pusher, tag));
    Request request;
    request.method = "DELETE";
    request.path = "/v2/" + RepositoryOf(pusher) + "/manifests/t" + std::to_string(tag);
    const Answered answer = Ask(request);
    if (answer.status != 202) Lost("a tag that was there could not be deleted: " + answer.body);
    named_[pusher][tag].clear();
    End(TagKey(pusher, tag), std::nullopt);
    // Untagged manifests are kept until they are deleted by digest, once no other tag names them.
    for (size_t other = 0; other < kTags; ++other)
      if (Now(TagKey(pusher, other)).digest == digest) return;
    request.path = "/v2/" + RepositoryOf(pusher) + "/manifests/" + digest->Render();
    Ask(request);
  }

  // --- images that are built ---
  void Build(std::mt19937& random, size_t) {
    const size_t tag = random() % kTags;
    const std::string name = "t" + std::to_string(tag);
    Begin(ImageKey(tag));
    if (random() % 4 == 0) {
      Must(store_->RemoveTag("shop/app", name));
      return End(ImageKey(tag), std::nullopt);
    }
    std::map<std::string, std::string> files;
    for (size_t i = 0; i <= random() % 3; ++i) {
      const size_t content = random() % kContents;
      files["f" + std::to_string(content)] = ContentOf(content);
    }
    auto lease = Must(store_->TakeLease("build"));
    turns_.Yield();
    store::Tree tree = store::TreeOf(store_->objects(), files);
    turns_.Yield();
    const store::Layer layer = Must(store_->SealLayer(tree, lease));
    turns_.Yield();
    const oci::Digest digest = store::PutImageOf(*store_, lease, std::vector{layer});
    turns_.Yield();
    Must(store_->SetTag("shop/app", name, digest));
    Must(lease.Release());
    End(ImageKey(tag), digest);
  }

  void CollectOnce(std::mt19937&, size_t) {
    store::CollectOptions options;
    options.rests = 0;
    options.keep_cache = Milliseconds(0);
    options.batch = 3;
    auto collected = store::Collect(*store_, options, clock_);
    if (!collected) return Lost("a collection failed: " + collected.error().Render());
    ++collections_;
    removed_files_ += collected->objects.files + collected->layers.files + collected->blobs.files;
  }

  // --- readers ---
  void ReadSomething(std::mt19937& random, size_t) {
    const size_t pusher = random() % kPushers;
    switch (random() % 3) {
      case 0:
        return CheckBlob(pusher, random() % kContents);
      case 1:
        return CheckTag(pusher, random() % kTags);
      default:
        return CheckImage(random() % kTags);
    }
  }

  // Whether what was kept before was kept all the time until now.
  bool Stayed(const std::string& key, const Kept& before) {
    return before.digest && before.version % 2 == 0 && Now(key).version == before.version;
  }

  void CheckBlob(size_t pusher, size_t content) {
    const std::string key = BlobKey(pusher, content);
    const Kept before = Now(key);
    Request request;
    request.method = "GET";
    request.path = "/v2/" + RepositoryOf(pusher) + "/blobs/" + oci::Digest::Of(ContentOf(content)).Render();
    const Answered answer = Ask(request);
    if (answer.status == 200 && answer.body != ContentOf(content)) Lost("other bytes were served");
    if (answer.status != 200 && Stayed(key, before))
      Lost("the blob " + key + ": " + std::to_string(answer.status) + " " + answer.body);
    ++checks_;
  }

  void CheckTag(size_t pusher, size_t tag) {
    const std::string key = TagKey(pusher, tag);
    const Kept before = Now(key);
    Request request;
    request.method = "GET";
    request.path = "/v2/" + RepositoryOf(pusher) + "/manifests/t" + std::to_string(tag);
    const Answered answer = Ask(request);
    if (Stayed(key, before) && (answer.status != 200 || oci::Digest::Of(answer.body) != *before.digest))
      Lost("the tag " + key + ": " + std::to_string(answer.status) + " " + answer.body);
    ++checks_;
  }

  void CheckImage(size_t tag) {
    const std::string key = ImageKey(tag);
    const Kept before = Now(key);
    if (!before.digest) return;
    const auto whole = [&]() -> Result<void> {
      const store::Image image = TRY(store_->GetImage(*before.digest));
      for (const store::Layer& layer : image.layers) {
        const store::Tree tree = TRY(store_->ReadLayer(layer.id));
        turns_.Yield();
        Result<void> checked;
        tree.Walk([&](const std::string&, const store::Node& node, bool) {
          if (checked && !node.object.empty()) checked = store_->objects().Verify(node.object);
        });
        TRY(std::move(checked));
      }
      return {};
    };
    const auto found = whole();
    if (!found && Stayed(key, before)) Lost("the image " + key + ": " + found.error().Render());
    ++checks_;
  }

  const unsigned seed_;
  const size_t operations_;
  const bool broken_;
  TempDirectory directory_ =
      *TempDirectory::Make(fs::exists("/dev/shm") ? "/dev/shm/ingot-test" : "/tmp/ingot-test", "turns");
  const fs::path root_ = directory_.path();
  Turns turns_;
  store::StillClock clock_;
  store::MemoryCatalog catalog_;
  TurnsCatalog turns_catalog_{catalog_, turns_};
  std::unique_ptr<store::Store> store_ =
      Must(store::Store::Open(store::StorePaths::Below(root_), turns_catalog_, clock_));
  std::unique_ptr<Registry> registry_ = OpenRegistry();
  std::unique_ptr<Registry> OpenRegistry() {
    Registry::Options options;
    options.uploads = root_ / "tmp/uploads";
    return Must(Registry::Open(*store_, clock_, options));
  }
  Sync<std::map<std::string, Kept>> kept_;
  std::map<size_t, std::set<size_t>> named_[kPushers];  // by tag; each pusher's own
  std::atomic<size_t> done_{0};
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> collections_{0};
  std::atomic<uint64_t> removed_files_{0};
  std::atomic<uint64_t> checks_{0};
  Sync<std::vector<std::string>> lost_;
};

unsigned Seed() {
  const char* given = std::getenv("INGOT_SEED");
  const unsigned seed =
      given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device()();
  std::printf("INGOT_SEED=%u\n", seed);
  return seed;
}

// Under a checker of threads or addresses each operation takes many times as long.
constexpr bool kChecker =
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    true;
#else
    false;
#endif

TEST(InterleavingsTest, LoseNoLiveBlob) {
  World world(Seed(), kChecker ? 3'000 : 100'000, false, false);
  world.Run();
  EXPECT_THAT(world.lost(), testing::IsEmpty());
  if (world.lost().empty()) world.CheckEnd();
  EXPECT_THAT(world.lost(), testing::IsEmpty());
  // It was no empty exercise.
  EXPECT_GT(world.removed_files(), kChecker ? 30U : 1'000U);
  std::printf("%lu turns, %lu collections removed %lu files, %lu reads were checked\n", world.turns(),
              world.collections(), world.removed_files(), world.checks());
}

// All at once, as it is: for the thread checker, and for what no turn can show.
TEST(InterleavingsTest, LoseNoLiveBlobOnThreadsThatNobodyHolds) {
  World world(Seed(), kChecker ? 3'000 : 20'000, true, false);
  world.Run();
  EXPECT_THAT(world.lost(), testing::IsEmpty());
  if (world.lost().empty()) world.CheckEnd();
  EXPECT_THAT(world.lost(), testing::IsEmpty());
}

// That the test above can fail: a mount that looks before it has its lease loses a blob within few
// operations.
TEST(InterleavingsTest, ALookBeforeItsLeaseIsFoundOut) {
  if (kChecker) return;  // it takes minutes there, and says nothing about threads or addresses
  for (unsigned seed = 1; seed <= 20; ++seed) {
    World world(seed, 20'000, false, true);
    world.Run();
    if (!world.lost().empty()) return;
  }
  ADD_FAILURE() << "nothing was lost, although a mount looked before it had its lease";
}

// An interleaving is had again by its seed.
TEST(InterleavingsTest, ASeedIsTheSameInterleaving) {
  World first(7, 500, false, false);
  World second(7, 500, false, false);
  first.Run();
  second.Run();
  EXPECT_EQ(first.turns(), second.turns());
  EXPECT_EQ(first.removed_files(), second.removed_files());
  EXPECT_EQ(first.checks(), second.checks());
}

}  // namespace
}  // namespace ingot::registry
