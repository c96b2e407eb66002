#include "adapters/host_facts.h"

#include <gtest/gtest.h>

#include <set>

#include "base/subprocess.h"

namespace ingot::adapters {
namespace {

TEST(HostFacts, EachIsLookedAtOnceAndExplained) {
  const TempDirectory root = *TempDirectory::Make(fs::temp_directory_path(), "ingot-facts-");
  const std::string mounts = *ReadFile("/proc/self/mountinfo");
  std::set<std::string> names;
  for (const HostFact& fact : LookAtHost(root.path())) {
    EXPECT_TRUE(names.insert(fact.name).second) << fact.name;
    EXPECT_FALSE(fact.seen.empty()) << fact.name;
    EXPECT_EQ(fact.lost.empty(), fact.state == FactState::kOk) << fact.name;
    EXPECT_EQ(fact.remedy.empty(), fact.state == FactState::kOk) << fact.name;
    if (fact.name == "root") {
      EXPECT_EQ(fact.state == FactState::kOk, ::geteuid() == 0);
    }
    if (fact.name == "crun") {
      EXPECT_EQ(fact.state == FactState::kOk, FindProgram("crun").has_value());
    }
  }
  EXPECT_EQ(names, (std::set<std::string>{"root", "kernel", "erofs_file", "erofs_loop", "overlay_data_only",
                                          "idmapped_mounts", "fs_verity", "disk", "user_namespaces",
                                          "network_namespaces", "cgroups", "cgroup_limits", "seccomp", "crun",
                                          "conmon", "haproxy", "mmdebstrap", "memory"}));
  EXPECT_EQ(*ReadFile("/proc/self/mountinfo"), mounts);
  EXPECT_TRUE(fs::is_empty(root.path()));
}

TEST(HostFacts, CouldNotLookIsNeverOk) {
  for (const HostFact& fact : LookAtHost("/proc/none")) {
    if (fact.name != "disk" && fact.name != "erofs_file" && fact.name != "fs_verity") continue;
    EXPECT_EQ(fact.state, FactState::kUnknown) << fact.name;
  }
}

}  // namespace
}  // namespace ingot::adapters
