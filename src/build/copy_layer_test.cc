#include "build/copy_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "build/links.h"
#include "build/lock_file.h"

namespace ingot::build {
namespace {

using store::Node;
using store::Tree;

Node File(const std::string& text) {
  return Node::Regular(store::ObjectId::Of(text), text.size());
}

// A base with a merged /usr, a sticky /tmp and a file.
Tree Below() {
  Tree tree;
  EXPECT_TRUE(tree.Put("usr/bin", Node::Directory()));
  EXPECT_TRUE(tree.Put("bin", Node::Symlink("usr/bin")));
  Node tmp = Node::Directory(01777);
  EXPECT_TRUE(tree.Put("tmp", tmp));
  EXPECT_TRUE(tree.Put("etc/hosts", File("hosts")));
  return tree;
}

FindBelow Finder(const Tree& tree) {
  return [&tree](const std::string& path) -> Result<std::optional<Node>> {
    const Node* node = tree.Find(path);
    return node == nullptr ? std::optional<Node>() : std::optional<Node>(*node);
  };
}

SelectedSource Folder(const std::string& name, std::vector<std::pair<std::string, Node>> items) {
  SelectedSource source{name, true, {}};
  Node itself = Node::Directory();
  itself.implied = true;
  source.items.push_back({"", itself, "", -1});
  for (auto& [path, node] : items) {
    if (node.IsDirectory()) node.implied = true;
    source.items.push_back({path, node, "", -1});
  }
  return source;
}

SelectedSource One(const std::string& name, const std::string& text) {
  return {name, false, {{"", File(text), "", -1}}};
}

std::vector<std::string> Names(const Tree& tree) {
  std::vector<std::string> names;
  for (const auto& [path, id] : tree.names()) names.push_back(path);
  return names;
}

TEST(CopyLayer, AFileIntoAFolderOrAsOne) {
  const Tree below = Below();
  EXPECT_EQ(Names(*MakeCopyLayer({One("f", "x")}, {.destination = "/srv/f"}, Finder(below))),
            (std::vector<std::string>{"", "srv", "srv/f"}));
  EXPECT_EQ(Names(*MakeCopyLayer({One("f", "x")}, {.destination = "/srv", .directory = true}, Finder(below))),
            (std::vector<std::string>{"", "srv", "srv/f"}));
  EXPECT_EQ(Names(*MakeCopyLayer({One("f", "x")}, {.destination = "/tmp"}, Finder(below))),
            (std::vector<std::string>{"", "tmp", "tmp/f"}));
  const auto refused = MakeCopyLayer({Folder("d", {})}, {.destination = "/etc/hosts"}, Finder(below));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
}

TEST(CopyLayer, WhatIsThereKeepsItsModeAndLinksAreFollowed) {
  const Tree below = Below();
  const Selection selection = {Folder("rootfs", {{"bin", Node::Directory()},
                                                 {"bin/tool", File("t")},
                                                 {"tmp", Node::Directory()},
                                                 {"tmp/f", File("f")},
                                                 {"new", Node::Directory()}})};
  const auto layer = MakeCopyLayer(selection, {.destination = "/", .directory = true}, Finder(below));
  ASSERT_TRUE(layer) << layer.error().Render();
  EXPECT_EQ(Names(*layer),
            (std::vector<std::string>{"", "new", "tmp", "tmp/f", "usr", "usr/bin", "usr/bin/tool"}));
  EXPECT_EQ(layer->Find("tmp")->mode, 01777u);
  EXPECT_EQ(layer->Find("new")->mode, 0755u);
  const auto through = MakeCopyLayer({One("sh", "x")}, {.destination = "/bin/sh"}, Finder(below));
  EXPECT_NE(through->Find("usr/bin/sh"), nullptr);
}

TEST(CopyLayer, OwnerAndModeAreOfWhatIsCopiedNotOfParents) {
  const Tree below = Below();
  const auto layer = MakeCopyLayer(
      {One("f", "x")}, {.destination = "/a/b/f", .directory = false, .owner = Owner{7, 8}, .mode = 0600},
      Finder(below));
  EXPECT_EQ(layer->Find("a/b/f")->uid, 7u);
  EXPECT_EQ(layer->Find("a/b/f")->gid, 8u);
  EXPECT_EQ(layer->Find("a/b/f")->mode, 0600u);
  EXPECT_EQ(layer->Find("a/b")->uid, 0u);
  EXPECT_EQ(layer->Find("a")->mode, 0755u);
}

TEST(CopyLayer, WorkdirMakesOnlyWhatIsMissing) {
  const Tree below = Below();
  EXPECT_TRUE(MakeDirectoryLayer("/tmp", {0, 0}, 0, Finder(below))->empty());
  const auto layer = MakeDirectoryLayer("/tmp/x/y", {5, 6}, 9, Finder(below));
  EXPECT_EQ(Names(*layer), (std::vector<std::string>{"", "tmp", "tmp/x", "tmp/x/y"}));
  EXPECT_EQ(layer->Find("tmp")->uid, 0u);
  EXPECT_EQ(layer->Find("tmp/x/y")->uid, 5u);
  EXPECT_EQ(layer->Find("tmp/x/y")->mtime_s, 9);
}

TEST(ResolveOwner, NamesAndNumbers) {
  const ReadBelow read = [](const std::string& path) -> Result<std::string> {
    if (path == "etc/passwd") return std::string("root:x:0:0::/:/bin/sh\napp:x:10:11::/:/bin/sh\n");
    if (path == "etc/group") return std::string("root:x:0:\nwww:x:33:\n");
    return Error(Code::kNotFound, path);
  };
  EXPECT_EQ(*ResolveOwner("5", read), Owner(5, 5));
  EXPECT_EQ(*ResolveOwner("5:6", read), Owner(5, 6));
  EXPECT_EQ(*ResolveOwner("app", read), Owner(10, 11));
  EXPECT_EQ(*ResolveOwner("app:www", read), Owner(10, 33));
  EXPECT_EQ(ResolveOwner("nobody", read).error().code(), Code::kInvalid);
  EXPECT_EQ(ResolveOwner("app:nobody", read).error().code(), Code::kInvalid);
}

TEST(Links, StayWithinTheRootAndEnd) {
  const ReadLink read = [](const std::string& path) -> Result<std::optional<std::string>> {
    if (path == "abs") return std::optional<std::string>("/usr/x");
    if (path == "d/up") return std::optional<std::string>("../../../e");
    if (path == "loop") return std::optional<std::string>("loop");
    return std::optional<std::string>();
  };
  EXPECT_EQ(*ResolveLinks("abs/y", false, read), "usr/x/y");
  EXPECT_EQ(*ResolveLinks("abs", false, read), "abs");
  EXPECT_EQ(*ResolveLinks("d/up/f", true, read), "e/f");
  EXPECT_EQ(ResolveLinks("loop/x", true, read).error().code(), Code::kInvalid);
  EXPECT_EQ(CleanPath("/a/./b/../../../c//"), "c");
}

TEST(LockFile, RendersAndParsesBack) {
  LockedBase base;
  base.suite = "bookworm";
  base.architecture = "amd64";
  base.requested = {"nginx-light"};
  base.sources = {{"http://deb.debian.org/debian", "bookworm", {"main"}, 1'700'000'000},
                  {"http://deb.debian.org/debian-security", "bookworm-security", {"main"}, 1'700'000'100}};
  base.packages = {{"nginx-light", "1.22.1-9", "amd64", std::string(64, 'a'), 12, 0, "pool/n.deb"}};
  LockFile lock;
  lock.images["runtime"] = base;
  const auto parsed = LockFile::Parse(lock.Render());
  ASSERT_TRUE(parsed) << parsed.error().Render();
  EXPECT_EQ(*parsed, lock);
  EXPECT_EQ(base.NewestRelease(), 1'700'000'100);
  EXPECT_EQ(lock.Render().find("references"), std::string::npos) << "a lock without any is as it was";
  lock.references[*oci::Reference::Parse("docker.io/library/redis:7.2")] = oci::Digest::Of("redis");
  lock.references[*oci::Reference::Parse("127.0.0.1:5000/app:1")] = oci::Digest::Of("app");
  const auto again = LockFile::Parse(lock.Render());
  ASSERT_TRUE(again) << again.error().Render();
  EXPECT_EQ(*again, lock);
  LockedBase other = base;
  other.packages[0].path = "elsewhere/n.deb";
  EXPECT_EQ(other.Identity(), base.Identity()) << "where it came from";
  other.packages[0].version = "1.22.1-10";
  EXPECT_NE(other.Identity(), base.Identity());
}

TEST(LockFile, RefusesWhatCouldEscape) {
  const std::string good =
      R"({"version":1,"images":{"r":{"suite":"bookworm","architecture":"amd64","requested":[],)"
      R"("sources":[{"uri":"http://d/debian","suite":"bookworm","components":["main"],"released":1}],)"
      R"("packages":[{"name":"NAME","version":"1","architecture":"all","size":1,"sha256":"SHA",)"
      R"("source":SOURCE,"path":"PATH"}]}}})";
  const auto with = [&](const std::string& name, const std::string& sha, const std::string& source,
                        const std::string& path) {
    std::string text = good;
    for (const auto& [mark, value] :
         {std::pair{"NAME", name}, {"SHA", sha}, {"SOURCE", source}, {"PATH", path}})
      text.replace(text.find(mark), std::string(mark).size(), value);
    return LockFile::Parse(text);
  };
  const std::string sha(64, '0');
  EXPECT_TRUE(with("bash", sha, "0", "pool/b.deb"));
  for (const auto& bad :
       {with("-o", sha, "0", "p"), with("a b", sha, "0", "p"), with("bash", "../x", "0", "p"),
        with("bash", sha, "1", "p"), with("bash", sha, "0", "../p"), with("bash", sha, "0", "/p")}) {
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code(), Code::kInvalid);
    EXPECT_THAT(bad.error().message(), testing::HasSubstr("ingot lock"));
  }
  EXPECT_EQ(LockFile::Parse(R"({"version":2,"images":{}})").error().code(), Code::kUnsupported);
  const std::string digest = oci::Digest::Of("x").Render();
  for (const std::string& reference :
       {R"("redis:7":")" + digest + "\"", std::string(R"("docker.io/library/redis:7":"sha256:abc")"),
        std::string(R"("docker.io/library/redis:7":5)"), R"("docker.io/library/../x:7":")" + digest + "\"",
        R"("docker.io/a/b@)" + digest + R"(":")" + oci::Digest::Of("y").Render() + "\""}) {
    const auto bad = LockFile::Parse(R"({"version":1,"images":{},"references":{)" + reference + "}}");
    ASSERT_FALSE(bad) << reference;
    EXPECT_EQ(bad.error().code(), Code::kInvalid);
    EXPECT_THAT(bad.error().message(), testing::HasSubstr("ingot.lock: references."));
  }
}

}  // namespace
}  // namespace ingot::build
