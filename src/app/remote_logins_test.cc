#include "app/remote_logins.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace ingot::app {
namespace {

TEST(RemoteLogins, AreKeptByHostAndReadByTheirOwnerAlone) {
  const TempDirectory directory = *TempDirectory::Make("/tmp", "ingot-logins-");
  const RemoteLogins logins(directory.path() / "ingot" / "hosts.json");
  EXPECT_EQ(*logins.Find("https://a:7443"), std::nullopt);
  EXPECT_FALSE(*logins.Remove("https://a:7443"));
  const RemoteLogin login{"ingot_1", "PEM\n", "/c.crt", "/c.key"};
  ASSERT_TRUE(logins.Set("https://a:7443", login));
  ASSERT_TRUE(logins.Set("https://b", {"ingot_2", "", "", ""}));
  EXPECT_EQ(*logins.Find("https://a:7443"), login);
  EXPECT_EQ((*logins.Find("https://b"))->token, "ingot_2");
  struct stat st {};
  ASSERT_EQ(::stat(logins.file().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(logins.file().parent_path().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  EXPECT_TRUE(*logins.Remove("https://a:7443"));
  EXPECT_EQ(*logins.Find("https://a:7443"), std::nullopt);
  EXPECT_EQ((*logins.Find("https://b"))->token, "ingot_2");
  // What others could have read is not used.
  ASSERT_EQ(::chmod(logins.file().c_str(), 0640), 0);
  EXPECT_EQ(logins.Find("https://b").error().code(), Code::kPermission);
  ASSERT_EQ(::chmod(logins.file().c_str(), 0600), 0);
  ASSERT_TRUE(WriteFileAtomic(logins.file(), "{", 0600));
  EXPECT_EQ(logins.Find("https://b").error().code(), Code::kInvalid);
}

TEST(RemoteLogins, AHostIsNamedByItsUrl) {
  EXPECT_EQ(ParseRemoteUrl("https://Host.example:7443")->Authority(), "host.example:7443");
  EXPECT_EQ(ParseRemoteUrl("https://host.example/")->Authority(), "host.example");
  for (const char* bad : {"http://host.example:7443", "https://host.example/v1", "host.example",
                          "https://a:b@host.example", ""})
    EXPECT_EQ(ParseRemoteUrl(bad).error().code(), Code::kInvalid) << bad;
}

}  // namespace
}  // namespace ingot::app
