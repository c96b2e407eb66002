// Sealed layers as the kernel sees them: mounted as EROFS, and stacked as lowers of an overlay over the pool.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "store/capture.h"
#include "store/random_tree.h"
#include "store/sealed_layer.h"

namespace ingot::store {
namespace {

class Mounts {
 public:
  ~Mounts() {
    for (auto it = mounted_.rbegin(); it != mounted_.rend(); ++it) ::umount2(it->c_str(), MNT_DETACH);
  }
  // 0, or errno.
  int Mount(const std::string& source, const fs::path& target, const char* type, unsigned long flags,
            const std::string& data) {
    fs::create_directories(target);
    if (::mount(source.c_str(), target.c_str(), type, flags, data.empty() ? nullptr : data.c_str()) != 0)
      return errno;
    mounted_.push_back(target);
    return 0;
  }

 private:
  std::vector<std::string> mounted_;
};

class SealedMountTest : public ::testing::Test {
 protected:
  SealedMountTest()
      : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-mount-")),
        pool_(*ObjectPool::Open(directory_.path() / "objects")) {}

  // Mounts the layers, lowest first, and returns the overlay's folder; "" with a SKIP reason.
  fs::path MountStack(const std::vector<Tree>& layers, const std::string& upper_options = "") {
    if (::geteuid() != 0) {
      skip_ = "SKIP: mounting needs root";
      return {};
    }
    EXPECT_TRUE(pool_.Flush());
    std::string lowers;
    for (size_t i = layers.size(); i-- > 0;) {
      const fs::path file = directory_.path() / ("layer" + std::to_string(i));
      const auto image = RenderSealed(layers[i]);
      EXPECT_TRUE(image) << image.error().Render();
      EXPECT_TRUE(WriteFileAtomic(file, *image, 0644, Durability::kNone));
      const fs::path at = directory_.path() / ("erofs" + std::to_string(i));
      const int error = mounts_.Mount(file, at, "erofs", MS_RDONLY, "");
      if (error == ENOTBLK || error == ENODEV) {
        skip_ = "SKIP: this kernel does not mount EROFS from files";
        return {};
      }
      EXPECT_EQ(error, 0) << std::strerror(error);
      lowers += "lowerdir+=" + at.string() + ",";
    }
    const fs::path root = directory_.path() / "root";
    const int error = mounts_.Mount(
        "overlay", root, "overlay", upper_options.empty() ? MS_RDONLY : 0,
        lowers + "datadir+=" + pool_.directory().string() + ",metacopy=on,redirect_dir=on" + upper_options);
    EXPECT_EQ(error, 0) << std::strerror(error);
    return root;
  }
  Tree CaptureMounted(const fs::path& root) {
    CaptureOptions options;
    options.move = false;
    auto captured = CaptureDirectory(root, pool_, options);
    EXPECT_TRUE(captured) << captured.error().Render();
    EXPECT_TRUE(captured->dropped.empty());
    return captured->tree;
  }

  TempDirectory directory_;
  ObjectPool pool_;
  Mounts mounts_;
  std::string skip_;
};

// Each name, type, mode, owner, time, attribute, link and byte of a mounted stack is that of the trees
// merged.
TEST_F(SealedMountTest, AStackShowsTheMergedTrees) {
  RandomTree random(42, pool_);
  std::vector<Tree> layers{random.Make(250, /*layer=*/true), random.Make(150, /*layer=*/true),
                           random.Make(100, /*layer=*/true)};
  Tree below;
  for (Tree& layer : layers) {
    PruneWhiteouts(layer, &below);
    below = ApplyOn(below, layer);
  }
  // Names that all layers share, so that merging has something to do.
  const Tree merged_before = ApplyOn(ApplyOn(layers[0], layers[1]), layers[2]);
  const Tree after = random.Change(merged_before, 120);
  layers.push_back(DiffLayer(merged_before, after));
  const fs::path root = MountStack(layers);
  if (root.empty()) GTEST_SKIP() << skip_;
  const Tree seen = CaptureMounted(root);
  EXPECT_TRUE(seen == after);
  for (const TreeChange& change : Diff(after, seen)) {
    ADD_FAILURE() << "differs: " << static_cast<int>(change.kind) << " /" << change.path;
  }
}

TEST_F(SealedMountTest, ManyRandomLayers) {
  for (uint64_t seed = 0; seed < 15; ++seed) {
    RandomTree random(seed, pool_);
    Tree lower = random.Make(60, /*layer=*/true);
    Tree upper = random.Make(60, /*layer=*/true);
    const Tree root_tree = ApplyOn(lower, upper);
    const Tree nothing;
    PruneWhiteouts(lower, &nothing);
    PruneWhiteouts(upper, &lower);
    ASSERT_TRUE(ApplyOn(lower, upper) == root_tree);
    Mounts scoped;
    std::swap(mounts_, scoped);
    const fs::path root = MountStack({lower, upper});
    if (root.empty()) GTEST_SKIP() << skip_;
    EXPECT_TRUE(CaptureMounted(root) == root_tree) << "seed " << seed;
    std::swap(mounts_, scoped);
  }
}

TEST_F(SealedMountTest, TheRootShowsNoTraceOfThePool) {
  Tree tree;
  ASSERT_TRUE(tree.Put("etc/motd", Node::Regular(*pool_.Put("hello"), 5)));
  const fs::path root = MountStack({tree});
  if (root.empty()) GTEST_SKIP() << skip_;
  EXPECT_EQ(*ListDirectory(root), std::vector<std::string>{"etc"});
  EXPECT_EQ(*ReadFile(root / "etc/motd"), "hello");
}

// What a RUN does to an overlay, captured and laid on top of what was below, is what the RUN saw at its end.
TEST_F(SealedMountTest, AnUpperDirectoryBecomesItsLayer) {
  RandomTree random(5, pool_);
  Tree base = random.Make(80, /*layer=*/false);
  ASSERT_TRUE(base.Put("usr/share/doc/a/readme", Node::Regular(*pool_.Put("readme"), 6)));
  ASSERT_TRUE(base.Put("usr/share/doc/b", Node::Regular(*pool_.Put("b"), 1)));
  ASSERT_TRUE(base.Put("usr/share/doc/gone/x", Node::Regular(*pool_.Put("x"), 1)));
  ASSERT_TRUE(base.Put("usr/share/old/replaced", Node::Regular(*pool_.Put("old"), 3)));
  ASSERT_TRUE(base.Put("usr/share/old/kept", Node::Regular(*pool_.Put("kept"), 4)));
  ASSERT_TRUE(base.Put("usr/share/old/sub/deep", Node::Regular(*pool_.Put("deep"), 4)));
  const fs::path upper = directory_.path() / "upper";
  fs::create_directories(upper);
  fs::create_directories(directory_.path() / "work");
  const fs::path root =
      MountStack({base}, ",upperdir=" + upper.string() + ",workdir=" + (directory_.path() / "work").string());
  if (root.empty()) GTEST_SKIP() << skip_;

  ASSERT_TRUE(WriteFileAtomic(root / "usr/new", "new", 0640));
  ASSERT_TRUE(WriteFileAtomic(root / "usr/share/doc/b", "changed", 0644));
  ASSERT_EQ(::chmod((root / "usr/share/doc/a/readme").c_str(), 04755), 0);  // a metacopy
  fs::remove_all(root / "usr/share/doc/gone");
  fs::rename(root / "usr/share/old", root / "usr/share/moved");  // a redirect
  ASSERT_TRUE(WriteFileAtomic(root / "usr/share/moved/replaced", "replacement", 0644));
  fs::remove(root / "usr/share/moved/sub/deep");
  ASSERT_EQ(::chmod((root / "usr/share/moved/kept").c_str(), 0600), 0);
  fs::create_directory(root / "usr/share/old");  // opaque by nature: the old one was renamed
  ASSERT_TRUE(WriteFileAtomic(root / "usr/share/old/fresh", "fresh", 0644));
  fs::create_hard_link(root / "usr/new", root / "usr/new-link");
  fs::rename(root / "usr/share/doc/a/readme", root / "usr/renamed-readme");  // a redirected metacopy
  const Tree seen = CaptureMounted(root);

  Mounts unmount;
  std::swap(mounts_, unmount);
  { const Mounts now = std::move(unmount); }
  CaptureOptions options;
  size_t asked = 0;
  options.lower = [&]() -> Result<const Tree*> {
    ++asked;
    return &base;
  };
  auto captured = CaptureUpper(upper, pool_, options);
  ASSERT_TRUE(captured) << captured.error().Render();
  EXPECT_EQ(asked, 1U);
  const Tree applied = ApplyOn(base, captured->tree);
  for (const TreeChange& change : Diff(seen, applied)) {
    ADD_FAILURE() << "differs: " << static_cast<int>(change.kind) << " /" << change.path;
  }
  EXPECT_EQ(applied.Find("usr/renamed-readme")->object, ObjectId::Of("readme"));
  EXPECT_EQ(applied.Find("usr/renamed-readme")->mode, 04755U);
  EXPECT_EQ(applied.Find("usr/share/moved/kept")->object, ObjectId::Of("kept"));
  EXPECT_EQ(applied.Find("usr/share/moved/sub/deep"), nullptr);
  EXPECT_EQ(captured->tree.Find("usr/share/doc/gone")->type, NodeType::kWhiteout);
  EXPECT_TRUE(RenderSealed(captured->tree));
}

}  // namespace
}  // namespace ingot::store
