#include "registry/credentials.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "store/store_fixture.h"

namespace ingot::registry {
namespace {

using store::Must;

// Sets a variable of the environment, or removes it, until it dies.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
  }
  ~Variable() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

TEST(CredentialsTest, TheFirstFileThatKnowsTheRegistryCounts) {
  const fs::path folder = testing::TempDir();
  // "a:one", "a:two", "b:two"
  Must(WriteFileAtomic(folder / "one.json", R"({"auths":{"a.example":{"auth":"YTpvbmU="}}})"));
  Must(WriteFileAtomic(folder / "two.json",
                       R"({"auths":{"a.example":{"auth":"YTp0d28="},"b.example":{"auth":"Yjp0d28="}}})"));
  Credentials credentials({folder / "missing.json", folder / "one.json", folder / "two.json"});
  EXPECT_EQ(Must(credentials.Find("a.example", "x"))->password, "one");
  EXPECT_EQ(Must(credentials.Find("b.example", "x"))->password, "two");
  EXPECT_EQ(Must(credentials.Find("c.example", "x")), std::nullopt);
}

TEST(CredentialsTest, AreWhereDockerAndPodmanKeepThem) {
  const Variable home("HOME", "/h");
  const Variable runtime("XDG_RUNTIME_DIR", "/run/user/7");
  const Variable config("XDG_CONFIG_HOME", nullptr);
  {
    const Variable docker("DOCKER_CONFIG", nullptr);
    const Variable file("REGISTRY_AUTH_FILE", nullptr);
    EXPECT_EQ(DockerConfigFiles(),
              (std::vector<fs::path>{"/run/user/7/containers/auth.json", "/h/.config/containers/auth.json",
                                     "/h/.docker/config.json"}));
  }
  const Variable docker("DOCKER_CONFIG", "/d");
  EXPECT_EQ(DockerConfigFiles(), std::vector<fs::path>{"/d/config.json"});
  const Variable file("REGISTRY_AUTH_FILE", "/f");
  EXPECT_EQ(DockerConfigFiles(), std::vector<fs::path>{"/f"});
}

}  // namespace
}  // namespace ingot::registry
