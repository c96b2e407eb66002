// A world with whatever is deployed to it, for tests of rollouts as a whole.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rollout/testing.h"

namespace ingot::rollout::testing {

// The kinds of recorded events that begin with `prefix`.
inline std::vector<std::string> Kinds(World& world, const std::string& prefix) {
  std::vector<std::string> out;
  for (const audit::Event& event : world.Events())
    if (event.kind.starts_with(prefix)) out.push_back(event.kind);
  return out;
}

// The instance with this short name.
inline platform::InstanceId Named(World& world, const std::string& name) {
  for (const auto& [id, status] : world.fake.instances())
    if (id.Short() == name) return id;
  return {};
}

class ControllerTest : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_THAT(world.violations(), ::testing::IsEmpty());
    EXPECT_TRUE(audit::Verify(world.Events()));
  }
  // Applies and settles; the revision that serves then.
  uint64_t Deploy(const Shop& shop) {
    auto accepted = world.DoApply(shop);
    EXPECT_TRUE(accepted) << accepted.error().Render();
    world.Settle();
    world.CheckSettled();
    return world.Served();
  }
  World world;
};

}  // namespace ingot::rollout::testing
