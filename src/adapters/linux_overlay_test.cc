// Overlays as instances and build steps have them, on this kernel: by the way that it would choose, and by
// that of a kernel before 6.5. What only an older kernel does is proven on it: tests/vm.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "adapters/linux_mount.h"
#include "store/object_pool.h"
#include "store/sealed_layer.h"

namespace ingot::adapters {
namespace {

class LinuxOverlayTest : public ::testing::TestWithParam<OverlayWay> {
 protected:
  LinuxOverlayTest() : directory_(*TempDirectory::Make(fs::temp_directory_path(), "ingot-overlay-")) {
    for (const char* name : {"staging", "upper", "work", "root", "own"})
      EXPECT_TRUE(MakeDirectories(directory_.path() / name));
  }

  // In a mount namespace that ends with it.
  static Result<void> Alone(const std::function<Result<void>()>& work) {
    return OnThread([&]() -> Result<void> {
      if (::unshare(CLONE_NEWNS) < 0) return ErrnoError(errno, "make a mount namespace");
      if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
        return ErrnoError(errno, "make it private");
      return work();
    });
  }

  // A layer with one file, `name`, that says `contents`.
  Result<Fd> Layer(const std::string& name, const std::string& contents) {
    store::ObjectPool pool = TRY(store::ObjectPool::Open(objects()));
    store::Tree tree;
    TRY(tree.Put(name, store::Node::Regular(TRY(pool.Put(contents)), contents.size())));
    TRY(pool.Flush());
    const fs::path file = directory_.path() / (name + ".erofs");
    TRY(WriteFileAtomic(file, TRY(store::RenderSealed(tree)), 0644, Durability::kNone));
    return MountSealedLayer(file);
  }
  // A topmost layer in memory that hides the pool where it is an ordinary one.
  Result<Fd> OwnLayerOf(OverlayWay way) {
    Fd own = TRY(MountTmpfs(1 << 20, 0755));
    if (way == OverlayWay::kString) TRY(HidePool(own.get()));
    return own;
  }
  fs::path objects() const { return directory_.path() / "objects"; }

  TempDirectory directory_;
};

// An instance's root is made in two steps: the image alone, to look into it, and then with a layer of its own
// on top, which for a build step can be written to.
TEST_P(LinuxOverlayTest, LayersThatWereAttachedOnceServeASecondOverlay) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIP: mounting needs root";
  const OverlayWay way = GetParam();
  if (way == OverlayWay::kLayers && !HasDataOnlyLayers())
    GTEST_SKIP() << "SKIP: this kernel has no data-only lowers";
  const auto done = Alone([&]() -> Result<void> {
    const Fd low = TRY(Layer("low", "of the lower layer"));
    const Fd high = TRY(Layer("high", "of the upper layer"));
    const fs::path at = directory_.path() / "root";
    {
      Staging staging(directory_.path() / "staging");
      Overlay overlay;
      overlay.layers = {low.get(), high.get()};
      overlay.objects = objects();
      overlay.staging = &staging;
      overlay.way = way;
      EXPECT_TRUE(staging.Attach(overlay.layers));
      EXPECT_FALSE(staging.Attach(overlay.layers)) << "they are attached already";
      const Fd image = TRY(MountOverlay(overlay));
      TRY(AttachMount(image.get(), at));
      EXPECT_EQ(TRY(ReadFile(at / "low")), "of the lower layer");
      TRY(Unmount(at));

      const Fd own = TRY(OwnLayerOf(way));
      overlay.layers.push_back(own.get());
      EXPECT_TRUE(staging.Attach(overlay.layers)) << "the new one is not";
      overlay.upper = directory_.path() / "upper";
      overlay.work = directory_.path() / "work";
      const Fd writable = TRY(MountOverlay(overlay));
      TRY(AttachMount(writable.get(), at));
    }
    EXPECT_FALSE(TRY(IsMountPoint(directory_.path() / "staging"))) << "nothing stays attached";
    EXPECT_EQ(TRY(ReadFile(at / "low")), "of the lower layer");
    EXPECT_EQ(TRY(ReadFile(at / "high")), "of the upper layer");
    EXPECT_EQ(TRY(ListDirectory(at)), (std::vector<std::string>{"high", "low"}))
        << "and no folder of the pool";
    TRY(WriteFileAtomic(at / "new", "written", 0644, Durability::kNone));
    EXPECT_EQ(TRY(ReadFile(directory_.path() / "upper" / "new")), "written");
    return Unmount(at);
  });
  EXPECT_TRUE(done) << done.error().Render();
}

INSTANTIATE_TEST_SUITE_P(Ways, LinuxOverlayTest,
                         ::testing::Values(OverlayWay::kAny, OverlayWay::kLayers, OverlayWay::kString));

}  // namespace
}  // namespace ingot::adapters
