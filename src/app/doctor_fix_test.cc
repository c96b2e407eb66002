// What is done about a fact, with a modprobe that only writes down what it was asked for: to load modules is
// not a test's to do. The limit of user namespaces, folders and packages: tests/e2e/test_doctor_fix.py.
#include "app/doctor_fix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <optional>

#include "base/file.h"

namespace ingot::app {
namespace {

using adapters::FactState;
using adapters::HostFact;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DoctorFixTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = TempDirectory::Make(fs::temp_directory_path(), "ingot-doctor-fix-");
    ASSERT_TRUE(made) << made.error().Render();
    folder_.emplace(std::move(*made));
    const std::string script =
        "#!/bin/sh\necho \"$@\" >> " + (folder_->path() / "asked").string() +
        "\n[ \"$1\" != loop ] || { echo 'FATAL: Module loop not found' >&2; exit 1; }\n";
    ASSERT_TRUE(WriteFileAtomic(folder_->path() / "modprobe", script, 0755, Durability::kNone));
    former_ = std::getenv("PATH");
    ::setenv("PATH", (folder_->path().string() + ":" + former_).c_str(), 1);
    layout_.root = folder_->path() / "root";
  }
  void TearDown() override { ::setenv("PATH", former_.c_str(), 1); }
  std::string Asked() const {
    auto text = ReadFile(folder_->path() / "asked", 1000);
    return text ? *text : "";
  }
  static HostFact Fact(const std::string& name, FactState state) { return {name, state, "", "", ""}; }

  std::optional<TempDirectory> folder_;
  std::string former_;
  Layout layout_;
};

TEST_F(DoctorFixTest, ModulesOfWhatIsMissingAreLoaded) {
  const auto fixes =
      FixesFor({Fact("erofs_file", FactState::kMissing), Fact("erofs_loop", FactState::kMissing),
                Fact("overlay_data_only", FactState::kMissing)},
               layout_, false);
  ASSERT_EQ(fixes.size(), 3u);
  std::vector<std::string> what;
  for (const Fix& fix : fixes) what.push_back(fix.fact + ": " + fix.what);
  EXPECT_THAT(what, ElementsAre("erofs_file: modprobe erofs", "erofs_loop: modprobe loop",
                                "overlay_data_only: modprobe overlay"));
  EXPECT_EQ(Asked(), "") << "nothing is done before it is asked for";
  EXPECT_TRUE(fixes[0].apply());
  const auto failed = fixes[1].apply();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().Render(), ::testing::HasSubstr("Module loop not found"));
  EXPECT_TRUE(fixes[2].apply());
  EXPECT_EQ(Asked(), "erofs\nloop\noverlay\n");
}

TEST_F(DoctorFixTest, WhatIsThereOrCannotBeToldIsLeftAlone) {
  for (const FactState state : {FactState::kOk, FactState::kDegraded, FactState::kUnknown})
    EXPECT_THAT(
        FixesFor({Fact("erofs_file", state), Fact("erofs_loop", state), Fact("overlay_data_only", state),
                  Fact("user_namespaces", state), Fact("crun", state)},
                 layout_, true),
        IsEmpty());
}

}  // namespace
}  // namespace ingot::app
