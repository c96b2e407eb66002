// For tests only: a root directory with a small image (a static busybox in a real sealed layer over a real
// object pool).
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "base/file.h"
#include "platform/runtime.h"
#include "store/object_pool.h"
#include "store/sealed_layer.h"
#include "store/tree.h"

namespace ingot::adapters {

class SmallImage {
 public:
  static constexpr const char* kBusybox = "/bin/busybox";

  // Why the tests cannot run here; empty when they can.
  static std::string Skip() {
    if (::geteuid() != 0) return "SKIP: needs root";
    if (::access(kBusybox, X_OK) != 0)
      return "SKIP: needs /bin/busybox; on Debian: apt-get install busybox-static";
    for (const char* program : {"/usr/bin/crun", "/usr/bin/conmon"})
      if (::access(program, X_OK) != 0) return std::string("SKIP: needs ") + program;
    return "";
  }

  explicit SmallImage(const fs::path& root)
      : objects_(root / "objects"), layer_(root / "layers" / "base.erofs") {
    auto pool = store::ObjectPool::Open(objects_);
    EXPECT_TRUE(pool) << pool.error().Render();
    store::Tree tree;
    const auto put_file = [&](const std::string& path, const std::string& bytes, uint32_t mode) {
      auto id = pool->Put(bytes);
      EXPECT_TRUE(id) << id.error().Render();
      EXPECT_TRUE(tree.Put(path, store::Node::Regular(*id, bytes.size(), mode)));
    };
    for (const char* path : {"bin", "etc", "home", "var"})
      EXPECT_TRUE(tree.Put(path, store::Node::Directory()));
    EXPECT_TRUE(tree.Put("tmp", store::Node::Directory(01777)));
    put_file("bin/busybox", *ReadFile(kBusybox), 0755);
    for (const char* name :
         {"sh",   "cat", "id",    "ls",   "touch", "sleep", "true", "false", "dd", "grep",  "nc",   "mount",
          "stat", "cp",  "chmod", "kill", "ip",    "wc",    "seq",  "echo",  "rm", "mkdir", "wget", "env"})
      EXPECT_TRUE(tree.Put(std::string("bin/") + name, store::Node::Symlink("busybox")));
    put_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n", 0644);
    put_file("etc/group", "root:x:0:\napp:x:1001:\nextra:x:2000:other,app\n", 0644);
    put_file("etc/motd", "sealed\n", 0644);
    put_file("bin/broken",
             "\x7f"
             "ELF but no program",
             0755);
    EXPECT_TRUE(pool->Flush());
    auto bytes = store::RenderSealed(tree);
    EXPECT_TRUE(bytes) << bytes.error().Render();
    EXPECT_TRUE(MakeDirectories(layer_.parent_path()));
    EXPECT_TRUE(WriteFileAtomic(layer_, *bytes, 0644, Durability::kNone));
  }

  platform::RootFs root() const { return {{layer_}, objects_}; }

 private:
  fs::path objects_;
  fs::path layer_;
};

}  // namespace ingot::adapters
