#include "store/oci_layout.h"

#include <cstdlib>
#include <fstream>

#include "base/sha256.h"
#include "base/subprocess.h"
#include "oci/index.h"
#include "store/image_diff.h"
#include "store/store_fixture.h"
#include "store/tar_writer.h"
#include "store/verify.h"

namespace ingot::store {
namespace {

constexpr auto kPatience = std::chrono::minutes(2);

class OciLayoutTest : public StoreTest {
 protected:
  oci::Digest MakeImage() {
    auto lease = Must(store_->TakeLease("test"));
    Tree base = TreeOf(store_->objects(), {{"etc/conf", "a=1\n"}, {"bin/old", "old"}, {"big", big_}});
    Must(base.Put("bin/link", Node::Symlink("old")));
    Tree top = TreeOf(store_->objects(), {{"app/run", "v1"}});
    Must(top.Put("bin/old", Node::Whiteout()));
    const oci::Digest digest = PutImageOf(
        *store_, lease,
        std::vector{Must(store_->SealLayer(base, lease)), Must(store_->SealLayer(top, lease))}, "x");
    Must(store_->SetTag("shop/web", "v1", digest));
    return digest;
  }
  std::unique_ptr<Store> Other() {
    return Must(Store::Open(StorePaths::Below(root_ / "other"), other_, clock_));
  }
  std::string Tool(const std::vector<std::string>& argv) {
    Command command;
    command.argv = argv;
    auto done = RunChecked(std::move(command), kPatience);
    EXPECT_TRUE(done) << (done ? "" : done.error().Render());
    return done ? *done : "";
  }
  Result<oci::Digest> ImportInto(Store& store, std::string_view name = "") {
    auto lease = Must(store.TakeLease("import"));
    auto imported = ImportLayout(store, layout_, name, lease);
    if (imported) Must(store.SetTag("imported", "v1", *imported));
    return imported;
  }
  std::string big_ = std::string(3'000'000, 'b');
  MemoryCatalog other_;
  fs::path layout_ = root_ / "layout";
};

TEST_F(OciLayoutTest, ExportAndImportKeepTheDigest) {
  const oci::Digest digest = MakeImage();
  ASSERT_TRUE(ExportLayout(*store_, digest, layout_, "v1"));
  EXPECT_EQ(Must(ReadFile(layout_ / "oci-layout")), R"({"imageLayoutVersion":"1.0.0"})");
  EXPECT_THAT(FilesBelow(layout_), testing::SizeIs(6));
  const auto index = Must(oci::Index::Parse(Must(ReadFile(layout_ / "index.json"))));
  ASSERT_EQ(index.manifests.size(), 1U);
  EXPECT_EQ(index.manifests[0].digest, digest);
  EXPECT_EQ(index.manifests[0].annotations.at("org.opencontainers.image.ref.name"), "v1");
  EXPECT_EQ(index.manifests[0].platform->architecture, "amd64");

  auto other = Other();
  EXPECT_EQ(Must(ImportInto(*other)), digest);
  const Image before = Must(store_->GetImage(digest));
  const Image after = Must(other->GetImage(digest));
  EXPECT_EQ(before.layers, after.layers);  // the very same sealed layers, and no blob is kept for them
  EXPECT_EQ(FilesBelow(root_ / "other/blobs").size(), 2U);
  EXPECT_TRUE(Must(Verify(*other, {})).ok());
}

TEST_F(OciLayoutTest, ALayoutGrowsAndANameIsReplaced) {
  const oci::Digest first = MakeImage();
  auto lease = Must(store_->TakeLease("test"));
  const oci::Digest second = PutImageOf(*store_, lease, std::map<std::string, std::string>{{"only", "this"}});
  Must(ExportLayout(*store_, first, layout_, "v1"));
  Must(ExportLayout(*store_, first, layout_, "v1"));
  Must(ExportLayout(*store_, second, layout_, "v2"));
  const auto entries = [&] {
    std::vector<oci::Digest> digests;
    for (const auto& entry : Must(oci::Index::Parse(Must(ReadFile(layout_ / "index.json")))).manifests)
      digests.push_back(entry.digest);
    return digests;
  };
  EXPECT_THAT(entries(), testing::ElementsAre(first, second));
  auto other = Other();
  EXPECT_EQ(ImportInto(*other).error().code(), Code::kInvalid);  // which one?
  EXPECT_EQ(ImportInto(*other, "v3").error().code(), Code::kNotFound);
  EXPECT_EQ(Must(ImportInto(*other, "v2")), second);
  EXPECT_EQ(Must(ImportInto(*other, first.Render())), first);
  Must(ExportLayout(*store_, second, layout_, "v1"));
  EXPECT_THAT(entries(), testing::ElementsAre(second, second));
}

TEST_F(OciLayoutTest, AFolderThatHoldsSomethingElseIsNotTouched) {
  const oci::Digest digest = MakeImage();
  Must(MakeDirectories(layout_));
  std::ofstream(layout_ / "precious") << "x";
  EXPECT_EQ(ExportLayout(*store_, digest, layout_, "").error().code(), Code::kExists);
  EXPECT_THAT(FilesBelow(layout_), testing::ElementsAre("precious"));
  EXPECT_EQ(ExportLayout(*store_, oci::Digest::Of("none"), root_ / "new", "").error().code(),
            Code::kNotFound);
}

TEST_F(OciLayoutTest, ADamagedObjectIsNotExported) {
  const oci::Digest digest = MakeImage();
  const fs::path object = store_->objects().PathOf(ObjectId::Of("v1"));
  fs::permissions(object, fs::perms::owner_all);
  std::ofstream(object, std::ios::trunc) << "V1";
  EXPECT_EQ(ExportLayout(*store_, digest, layout_, "v1").error().code(), Code::kCorrupt);
  EXPECT_FALSE(fs::exists(layout_ / "index.json"));
  for (const std::string& file : FilesBelow(layout_))
    EXPECT_THAT(file, testing::Not(testing::HasSubstr(".tmp.")));
}

TEST_F(OciLayoutTest, EveryDigestIsCheckedOnImport) {
  const oci::Digest digest = MakeImage();
  Must(ExportLayout(*store_, digest, layout_, "v1"));
  const std::vector<std::string> blobs = Must(ListDirectory(layout_ / "blobs/sha256"));
  ASSERT_EQ(blobs.size(), 4U);
  auto other = Other();
  for (const std::string& blob : blobs) {
    SCOPED_TRACE(blob);
    const fs::path path = layout_ / "blobs/sha256" / blob;
    const std::string bytes = Must(ReadFile(path));
    std::string flipped = bytes;
    flipped[flipped.size() / 2] ^= 1;
    for (const std::string& bad : {flipped, bytes + "x", bytes.substr(0, bytes.size() - 1), std::string()}) {
      Must(WriteFileAtomic(path, bad));
      const auto imported = ImportInto(*other);
      ASSERT_FALSE(imported);
      EXPECT_EQ(imported.error().code(), Code::kInvalid) << imported.error().Render();
    }
    fs::remove(path);
    EXPECT_EQ(ImportInto(*other).error().code(), Code::kNotFound);
    Must(WriteFileAtomic(path, bytes));
  }
  EXPECT_TRUE(Must(other->ListImages()).empty());
  EXPECT_EQ(Must(ImportInto(*other)), digest);
}

TEST_F(OciLayoutTest, NotALayoutIsSaidSo) {
  Must(MakeDirectories(layout_));
  auto other = Other();
  EXPECT_EQ(ImportInto(*other).error().code(), Code::kNotFound);
  std::ofstream(layout_ / "oci-layout") << R"({"imageLayoutVersion":"9"})";
  EXPECT_EQ(ImportInto(*other).error().code(), Code::kUnsupported);
}

// What another tool makes of the layout must come back: compressed layers are kept as they came, and the
// files are the same.
class OtherTools : public OciLayoutTest, public testing::WithParamInterface<const char*> {};

TEST_P(OtherTools, ReadTheLayoutAndTheirsIsRead) {
  if (!FindProgram("skopeo")) GTEST_SKIP() << "SKIP: no skopeo";
  const oci::Digest digest = MakeImage();
  Must(ExportLayout(*store_, digest, layout_, "v1"));
  const std::string insecure = "--insecure-policy";
  Tool({"skopeo", insecure, "copy", "oci:" + layout_.string() + ":v1", "dir:" + (root_ / "dir").string()});
  EXPECT_EQ(oci::Digest::Of(Must(ReadFile(root_ / "dir/manifest.json"))), digest);

  const fs::path theirs = root_ / "theirs";
  Tool({"skopeo", insecure, "copy", "--dest-compress", "--dest-compress-format", GetParam(),
        "oci:" + layout_.string() + ":v1", "oci:" + theirs.string() + ":v1"});
  layout_ = theirs;
  auto other = Other();
  const oci::Digest compressed = Must(ImportInto(*other, "v1"));
  EXPECT_NE(compressed, digest);
  const Image image = Must(other->GetImage(compressed));
  EXPECT_THAT(image.manifest.layers[0].media_type, testing::EndsWith(GetParam()));
  EXPECT_TRUE(Must(other->HasBlob(image.manifest.layers[0].digest)));
  EXPECT_EQ(image.layers, Must(store_->GetImage(digest)).layers);
  EXPECT_TRUE(Must(Verify(*other, {})).ok());
  // And out again, verbatim.
  Must(ExportLayout(*other, compressed, root_ / "again", "v1"));
  Tool({"skopeo", insecure, "copy", "oci:" + (root_ / "again").string() + ":v1",
        "dir:" + (root_ / "dir2").string()});
  EXPECT_EQ(oci::Digest::Of(Must(ReadFile(root_ / "dir2/manifest.json"))), compressed);
}

INSTANTIATE_TEST_SUITE_P(Compressions, OtherTools, testing::Values("gzip", "zstd"));

TEST_F(OciLayoutTest, ATarThatIsNotOursIsKeptVerbatim) {
  // The tar of GNU tar differs from the canonical one.
  if (!FindProgram("tar")) GTEST_SKIP() << "SKIP: no tar";
  const fs::path folder = root_ / "folder";
  Must(MakeDirectories(folder / "etc"));
  std::ofstream(folder / "etc/name") << "theirs";
  Tool({"tar", "--format=gnu", "-cf", (root_ / "layer.tar").string(), "-C", folder.string(), "etc"});
  const std::string tar = Must(ReadFile(root_ / "layer.tar"));
  oci::ImageConfig config;
  config.architecture = "amd64";
  config.os = "linux";
  config.diff_ids = {oci::Digest::Of(tar)};
  oci::Manifest manifest;
  const auto put = [&](const std::string& bytes, std::string_view type) {
    oci::Descriptor descriptor;
    descriptor.media_type = type;
    descriptor.digest = oci::Digest::Of(bytes);
    descriptor.size_bytes = bytes.size();
    Must(MakeDirectories(layout_ / "blobs/sha256"));
    Must(WriteFileAtomic(layout_ / "blobs/sha256" / descriptor.digest.hex(), bytes));
    return descriptor;
  };
  manifest.config = put(config.Render(), oci::kConfigType);
  manifest.layers = {put(tar, oci::kLayerTarType)};
  oci::Index inner;
  inner.manifests = {put(manifest.Render(), oci::kManifestType)};
  inner.manifests[0].platform = oci::HostPlatform();
  oci::Index index;
  index.manifests = {put(inner.Render(), oci::kIndexType)};
  Must(WriteFileAtomic(layout_ / "index.json", index.Render()));
  Must(WriteFileAtomic(layout_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));

  const oci::Digest digest = Must(ImportInto(*store_));
  EXPECT_EQ(digest, inner.manifests[0].digest);
  const Image image = Must(store_->GetImage(digest));
  ASSERT_TRUE(image.layers[0].blob);
  EXPECT_EQ(image.layers[0].diff_id, config.diff_ids[0]);
  EXPECT_EQ(Must(store_->GetBlob(image.layers[0].blob->digest)), tar);
  EXPECT_TRUE(Must(Verify(*store_, {})).ok());
  // An image built on it names the same blob.
  auto lease = Must(store_->TakeLease("test"));
  const Layer top = Must(store_->SealLayer(TreeOf(store_->objects(), {{"app", "1"}}), lease));
  const Image built = Must(store_->GetImage(PutImageOf(*store_, lease, std::vector{image.layers[0], top})));
  EXPECT_EQ(built.manifest.layers[0].digest, oci::Digest::Of(tar));
  Must(ExportLayout(*store_, built.digest, root_ / "out", ""));
  EXPECT_EQ(Must(ReadFile(root_ / "out/blobs/sha256" / config.diff_ids[0].hex())), tar);
}

TEST_F(OciLayoutTest, PodmanRunsIt) {
  if (!FindProgram("podman")) GTEST_SKIP() << "SKIP: no podman";
  const auto busybox = ReadFile("/bin/busybox");
  if (!busybox || busybox->substr(0, 4096).find("/ld-") != std::string::npos)
    GTEST_SKIP() << "SKIP: no busybox that needs no library";
  auto lease = Must(store_->TakeLease("test"));
  const auto program = Must(store_->objects().PutFile("/bin/busybox"));
  Tree tree;
  Must(tree.Put("bin/echo", Node::Regular(program.id, program.size_bytes, 0755)));
  for (const char* folder : {"proc", "sys", "dev", "etc", "run", "tmp"})
    Must(tree.Put(folder, Node::Directory()));
  NewImage image;
  image.config.architecture = oci::HostPlatform().architecture;
  image.config.os = "linux";
  image.config.config.entrypoint = {{"/bin/echo"}};
  image.config.config.cmd = {{"sealed and whole"}};
  image.layers = {Must(store_->SealLayer(tree, lease))};
  // Podman makes a name of the path, and a name has no capital letters.
  const auto lower = Must(FileLock::Take("/tmp/ingot-test/podman-layout.lock", true));
  layout_ = "/tmp/ingot-test/podman-layout";
  Must(RemoveTree(layout_));
  Must(ExportLayout(*store_, Must(store_->PutImage(image, lease)), layout_, "v1"));
  const auto podman = [&](std::vector<std::string> args) {
    std::vector<std::string> argv = {"podman",
                                     "--root",
                                     (root_ / "podman").string(),
                                     "--runroot",
                                     (root_ / "podman-run").string(),
                                     "--storage-driver",
                                     "vfs",
                                     "--cgroup-manager=cgroupfs",
                                     "--events-backend=none"};
    argv.insert(argv.end(), args.begin(), args.end());
    Command command;
    command.argv = std::move(argv);
    // crun refuses a host with both versions of cgroups, until it does not see the second.
    command.new_mount_namespace = true;
    command.unmount = {"/sys/fs/cgroup/unified"};
    return ingot::Run(std::move(command), kPatience);
  };
  const auto pulled = Must(podman({"pull", "-q", "oci:" + layout_.string() + ":v1"}));
  Must(RemoveTree(layout_));
  ASSERT_TRUE(pulled.ok()) << pulled.err;
  std::string id = pulled.out;
  while (!id.empty() && id.back() == '\n') id.pop_back();
  const auto ran = Must(podman({"run", "--rm", "--network=none", "--cgroups=disabled", "--log-driver=none",
                                "--ulimit=nofile=256:256", "--ulimit=nproc=256:256", id}));
  Must(podman({"rmi", "-af"}));
  if (!ran.ok() && ran.err.find("cgroup") != std::string::npos)
    GTEST_SKIP() << "SKIP: podman cannot run containers here: " << ran.err;
  EXPECT_TRUE(ran.ok()) << ran.err;
  EXPECT_EQ(ran.out, "sealed and whole\n");
}

TEST_F(OciLayoutTest, DiffNamesFilesAndSizes) {
  const oci::Digest before = MakeImage();
  auto lease = Must(store_->TakeLease("test"));
  const Image old = Must(store_->GetImage(before));
  Tree top = TreeOf(store_->objects(), {{"app/run", "version 2"}, {"app/new", "n"}});
  Must(top.Put("etc/conf", Node::Whiteout()));
  Must(top.Put("bin/old", Node::Whiteout()));
  const oci::Digest after =
      PutImageOf(*store_, lease, std::vector{old.layers[0], Must(store_->SealLayer(top, lease))}, "x");
  const ImageDiff diff = Must(DiffImages(*store_, before, after));
  EXPECT_EQ(diff.shared_layers, 1U);
  EXPECT_FALSE(diff.config_changed);
  EXPECT_THAT(diff.files, testing::ElementsAre(FileChange{ChangeKind::kAdded, "app/new", 0, 1},
                                               FileChange{ChangeKind::kChanged, "app/run", 2, 9},
                                               FileChange{ChangeKind::kRemoved, "etc/conf", 4, 0}));
  EXPECT_TRUE(Must(DiffImages(*store_, before, before)).files.empty());
  EXPECT_EQ(DiffImages(*store_, before, oci::Digest::Of("none")).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace ingot::store
