#include "adapters/root_user.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace ingot::adapters {
namespace {

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:1001::/home/app:/bin/sh\nnohome:x:7:8:::\n:x:9:9::/"
    ":\n";
constexpr const char* kGroup = "root:x:0:\napp:x:1001:\nextra:x:2000:other,app\nwheel:x:10:app\n";

TEST(RootUser, NamesAndNumbers) {
  EXPECT_EQ(*LookUpUser("", kPasswd, kGroup), (RootUser{0, 0, {}, "/root"}));
  EXPECT_EQ(*LookUpUser("app", kPasswd, kGroup), (RootUser{1000, 1001, {2000, 10}, "/home/app"}));
  EXPECT_EQ(*LookUpUser("1000", kPasswd, kGroup), (RootUser{1000, 1001, {2000, 10}, "/home/app"}));
  EXPECT_EQ(*LookUpUser("app:wheel", kPasswd, kGroup), (RootUser{1000, 10, {}, "/home/app"}));
  EXPECT_EQ(*LookUpUser("1234", kPasswd, kGroup), (RootUser{1234, 0, {}, "/"}));
  EXPECT_EQ(*LookUpUser("1234:4321", kPasswd, kGroup), (RootUser{1234, 4321, {}, "/"}));
  EXPECT_EQ(*LookUpUser("nohome", kPasswd, kGroup), (RootUser{7, 8, {}, "/"}));
  EXPECT_EQ(*LookUpUser("", "", ""), (RootUser{0, 0, {}, "/"}));
}

TEST(RootUser, WhatIsNotThereIsSaid) {
  for (const char* bad : {"nobody", "app:none", "-1", "4294967295", "99999999999", "broken", "app "})
    EXPECT_EQ(LookUpUser(bad, kPasswd, kGroup).error().code(), Code::kNotFound) << bad;
}

TEST(RootUser, LinksDoNotLeadOutOfTheRoot) {
  const TempDirectory root = *TempDirectory::Make(fs::temp_directory_path(), "ingot-user-");
  ASSERT_TRUE(MakeDirectories(root.path() / "etc"));
  fs::create_symlink("/../../../../etc/passwd", root.path() / "etc" / "group");
  fs::create_symlink("/elsewhere/passwd", root.path() / "etc" / "passwd");
  ASSERT_TRUE(MakeDirectories(root.path() / "elsewhere"));
  ASSERT_TRUE(WriteFileAtomic(root.path() / "elsewhere" / "passwd", "inside:x:5:6::/in:/bin/sh\n"));
  const Fd fd = *OpenFile(root.path(), O_PATH | O_DIRECTORY);
  EXPECT_EQ(LookUpUser("inside", fd.get())->uid, 5u);
  // The host's own users are not seen.
  EXPECT_EQ(LookUpUser("daemon", fd.get()).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace ingot::adapters
