// Builds with the real store and the real sandbox (crun): root only. busybox of the host is the only program.
#include "build/builder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "adapters/crun_sandbox.h"
#include "adapters/mmdebstrap.h"
#include "adapters/sqlite_catalog.h"
#include "base/sha256.h"
#include "base/subprocess.h"
#include "definition/parse.h"
#include "store/store.h"

namespace ingot::adapters {
namespace {

using build::BuildEvent;
using build::BuiltImage;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kBusybox[] = "/bin/busybox";

void Write(const fs::path& path, const std::string& text, mode_t mode = 0644) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
  ASSERT_EQ(::chmod(path.c_str(), mode), 0);
}

// One root directory: a store, a sandbox and a builder.
struct Root {
  explicit Root(const fs::path& at) : path(at) {
    fs::create_directories(path);
    catalog = std::move(*SqliteCatalog::Open(path / "store.db"));
    store = std::move(*store::Store::Open(store::StorePaths::Below(path), *catalog, clock));
    sandbox.emplace(CrunSandbox::Options{path / "run", Sha256Hex(fs::canonical(path).string()).substr(0, 8)});
  }
  Result<std::map<std::string, BuiltImage>> Build(const fs::path& project,
                                                  build::DebianBase* debian = nullptr,
                                                  bool no_cache = false) {
    events.clear();
    const std::string yaml = *ReadFile(project / "ingot.yaml");
    auto definition = definition::Parse(yaml, "ingot.yaml", {});
    if (!definition) return std::move(definition).error();
    build::BuildOptions options;
    options.cache_dir = path / "cache";
    options.temp_dir = path / "tmp";
    options.no_cache = no_cache;
    options.builder_version = "ingot test";
    options.progress = [this](const BuildEvent& event) { events.push_back(event); };
    return build::Builder(*store, *sandbox, debian, options).Build(*definition, project);
  }
  int Count(BuildEvent::Kind kind) const {
    return static_cast<int>(std::count_if(events.begin(), events.end(),
                                          [&](const BuildEvent& event) { return event.kind == kind; }));
  }
  // What the image shows at a path: "-rwxr-xr-x"-like facts and the contents of a file.
  store::Tree Show(const oci::Digest& image) { return *store->MergeLayers(store->GetImage(image)->layers); }
  std::string Contents(const store::Tree& tree, const std::string& name) {
    const store::Node* node = tree.Find(name);
    if (node == nullptr) return "(none)";
    if (node->object.empty()) return "";
    const Fd fd = *store->objects().OpenObject(node->object);
    return *ReadFile("/proc/self/fd/" + std::to_string(fd.get()));
  }

  fs::path path;
  SystemClock clock;
  std::unique_ptr<SqliteCatalog> catalog;
  std::unique_ptr<store::Store> store;
  std::optional<CrunSandbox> sandbox;
  std::vector<BuildEvent> events;
};

class BuilderTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIP: building needs root";
    if (!FindProgram("crun")) GTEST_SKIP() << "SKIP: crun is not installed";
    if (::access(kBusybox, X_OK) != 0) GTEST_SKIP() << "SKIP: busybox-static is not installed";
    temp_.emplace(std::move(*TempDirectory::Make("/tmp", "ingot-builder-test-")));
    // Image tests run as another user, who has to get to the root file system.
    ASSERT_EQ(::chmod(temp_->path().c_str(), 0711), 0);
    project = temp_->path() / "project";
    // The base: busybox and its applets.
    Write(project / "base/Dockerfile",
          "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n"
          "COPY passwd group /etc/\n");
    Write(project / "base/passwd", "root:x:0:0:root:/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n");
    Write(project / "base/group", "root:x:0:\nwww:x:33:\n");
    fs::copy_file(kBusybox, project / "base/busybox");
  }
  void Definition(const std::string& images) {
    Write(project / "ingot.yaml", "version: 1\nproject: demo\nimages:\n  base: { build: base }\n" + images);
  }
  std::string Mounts() const {
    std::stringstream all;
    all << std::ifstream("/proc/self/mountinfo").rdbuf();
    std::string ours;
    for (std::string line; std::getline(all, line);)
      if (line.find(temp_->path().string()) != std::string::npos) ours += line + "\n";
    return ours;
  }
  // Groups that the sandbox of `root` made, in every hierarchy.
  std::vector<std::string> Cgroups(const fs::path& root) const {
    const std::string key = "ingot-" + Sha256Hex(fs::canonical(root).string()).substr(0, 8) + "-sb";
    std::vector<std::string> found;
    for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup")) {
      std::error_code ignored;
      for (const auto& group : fs::directory_iterator(hierarchy.path() / key, ignored))
        if (group.is_directory()) found.push_back(group.path());
    }
    return found;
  }

  std::optional<TempDirectory> temp_;
  fs::path project;
};

TEST_F(BuilderTest, BuildsAnImageOnAnotherAndFindsItAgain) {
  Definition("  web: { build: web }\n");
  Write(project / "web/Dockerfile",
        "FROM base\nARG GREETING=hello\nENV A=1\nWORKDIR /srv\nCOPY index.html .\n"
        "RUN echo $GREETING $A > made && mkdir -p d/e\nEXPOSE 80\nCMD [\"httpd\"]\n");
  Write(project / "web/index.html", "one\n");
  Root root(temp_->path() / "root");
  const auto first = root.Build(project);
  ASSERT_TRUE(first) << first.error().Render();
  EXPECT_TRUE(first->at("web").golden);
  EXPECT_FALSE(first->at("web").cached);
  EXPECT_EQ(first->at("web").steps, 3);
  EXPECT_EQ(first->at("web").cached_steps, 0);
  const store::Tree tree = root.Show(first->at("web").manifest);
  EXPECT_EQ(root.Contents(tree, "srv/index.html"), "one\n");
  EXPECT_EQ(root.Contents(tree, "srv/made"), "hello 1\n");
  ASSERT_NE(tree.Find("srv/d/e"), nullptr);
  EXPECT_EQ(tree.Find("srv/made")->mtime_s, 0);
  EXPECT_EQ(tree.Find("srv/index.html")->mtime_s, 0);
  // Nothing that the sandbox needed is in the image.
  EXPECT_EQ(tree.Find("proc"), nullptr);
  EXPECT_EQ(tree.Find("dev"), nullptr);
  EXPECT_EQ(tree.Find("sys"), nullptr);
  EXPECT_EQ(tree.Find("etc/resolv.conf"), nullptr);
  const store::Image image = *root.store->GetImage(first->at("web").manifest);
  EXPECT_TRUE(image.golden);
  EXPECT_EQ(image.config.config.working_dir, "/srv");
  EXPECT_THAT(image.config.config.env, testing::Contains("A=1"));
  EXPECT_EQ(image.config.config.cmd, (std::vector<std::string>{"httpd"}));
  EXPECT_EQ(image.config.created, "1970-01-01T00:00:00Z");
  EXPECT_EQ(image.layers.size(), 3 + 3u);

  const auto second = root.Build(project);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->at("web").manifest, first->at("web").manifest);
  EXPECT_TRUE(second->at("web").cached);
  EXPECT_EQ(root.Count(BuildEvent::Kind::kStepStarted), 0);
  EXPECT_EQ(Mounts(), "");
  EXPECT_TRUE(Cgroups(root.path).empty());
}

TEST_F(BuilderTest, OnlyWhatChangedIsDoneAgain) {
  Definition("  web: { build: { context: web, args: { UNUSED: \"1\", USED: \"1\" } } }\n");
  Write(project / "web/Dockerfile",
        "FROM base\nRUN echo slow > /slow\nCOPY a b /srv/\nARG USED\nRUN echo $USED > /used\n");
  Write(project / "web/a", "a\n");
  Write(project / "web/b", "b\n");
  Write(project / "web/other", "not copied\n");
  Root root(temp_->path() / "root");
  const auto first = root.Build(project);
  ASSERT_TRUE(first) << first.error().Render();
  const auto digest = first->at("web").manifest;
  const auto ran = [&]() -> int {
    const auto built = root.Build(project);
    EXPECT_TRUE(built) << built.error().Render();
    return built ? built->at("web").steps - built->at("web").cached_steps : -1;
  };
  EXPECT_EQ(ran(), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (project / "web/a").c_str(), nullptr, 0), 0);
  EXPECT_EQ(ran(), 0) << "touched";
  Write(project / "web/other", "changed\n");
  EXPECT_EQ(ran(), 0) << "a file that nothing copies";
  Write(project / "web/Dockerfile", "# a comment\n" + *ReadFile(project / "web/Dockerfile"));
  EXPECT_EQ(ran(), 0) << "a comment";
  fs::rename(project / "web", project / "moved");
  Definition("  web: { build: { context: moved, args: { UNUSED: \"2\", USED: \"1\" } } }\n");
  EXPECT_EQ(ran(), 0) << "the context moved, an unused argument";
  EXPECT_EQ(root.Build(project)->at("web").manifest, digest);
  Definition("  web: { build: { context: moved, args: { USED: \"2\" } } }\n");
  EXPECT_EQ(ran(), 1) << "an argument that the last RUN sees";
  ASSERT_EQ(::chmod((project / "moved/a").c_str(), 0755), 0);
  EXPECT_EQ(ran(), 2) << "an x bit";
  Write(project / "moved/b", "changed\n");
  EXPECT_EQ(ran(), 2) << "contents";
  EXPECT_EQ(ran(), 0);
}

TEST_F(BuilderTest, SameDigestInAnotherRootWithAnotherUmaskAndTime) {
  Definition("  web: { build: web }\n");
  Write(project / "web/Dockerfile",
        "FROM base AS one\nRUN mkdir /out && date > /dev/null && echo x > /out/x && ln /out/x /out/y\n"
        "FROM base\nCOPY --from=one /out /srv/\nCOPY tree /srv/tree/\nRUN touch /new && chmod 0600 "
        "/etc/passwd\nRUN cat /proc/sys/kernel/hostname /etc/hosts > /names && export > /variables\n");
  Write(project / "web/tree/sub/f", "f\n");
  Root one(temp_->path() / "one");
  const auto first = one.Build(project);
  ASSERT_TRUE(first) << first.error().Render();
  // Another checkout: other modes of the umask's making, other times, another place.
  const fs::path copy = temp_->path() / "elsewhere";
  fs::copy(project, copy, fs::copy_options::recursive);
  ASSERT_EQ(::chmod((copy / "web/tree/sub/f").c_str(), 0600), 0);
  ASSERT_EQ(::chmod((copy / "web/tree/sub").c_str(), 0700), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  const mode_t before = ::umask(077);
  Root two(temp_->path() / "two");
  const auto second = two.Build(copy);
  ::umask(before);
  ASSERT_TRUE(second) << second.error().Render();
  EXPECT_EQ(second->at("base").manifest, first->at("base").manifest);
  EXPECT_EQ(second->at("web").manifest, first->at("web").manifest);
  const store::Tree tree = two.Show(second->at("web").manifest);
  EXPECT_EQ(tree.Find("srv/tree/sub/f")->mode, 0644u);
  EXPECT_EQ(tree.names().at("srv/x"), tree.names().at("srv/y")) << "one inode";
}

TEST_F(BuilderTest, RunChangesOnlyWhatItSays) {
  Definition("  web: { build: web }\n");
  Write(project / "web/Dockerfile",
        "FROM base\nRUN chmod 0700 /bin/busybox\nRUN rm /etc/group\nRUN true\n"
        "RUN cp -r /etc /etc2 && rm -r /etc2\n");
  Root root(temp_->path() / "root");
  const auto built = root.Build(project);
  ASSERT_TRUE(built) << built.error().Render();
  const store::Image base = *root.store->GetImage(built->at("base").manifest);
  const store::Image image = *root.store->GetImage(built->at("web").manifest);
  // chmod and rm are a layer each; `true` is none; what came and went leaves nothing either.
  ASSERT_EQ(image.layers.size(), base.layers.size() + 2);
  const store::Tree chmod = *root.store->ReadLayer(image.layers[base.layers.size()].id);
  const store::Tree below = root.Show(built->at("base").manifest);
  ASSERT_NE(chmod.Find("bin/busybox"), nullptr);
  EXPECT_EQ(chmod.Find("bin/busybox")->mode, 0700u);
  EXPECT_EQ(chmod.Find("bin/busybox")->object, below.Find("bin/busybox")->object);
  EXPECT_EQ(image.layers[base.layers.size()].object_bytes, fs::file_size(kBusybox)) << "named, not copied";
  const store::Tree removed = *root.store->ReadLayer(image.layers[base.layers.size() + 1].id);
  ASSERT_NE(removed.Find("etc/group"), nullptr);
  EXPECT_EQ(removed.Find("etc/group")->type, store::NodeType::kWhiteout);
  EXPECT_EQ(root.Show(built->at("web").manifest).Find("etc/group"), nullptr);
  EXPECT_EQ(image.config.history.size(), base.config.history.size() + 4);
  EXPECT_TRUE(image.config.history[base.config.history.size() + 2].empty_layer);
}

TEST_F(BuilderTest, CopiesWithOwnersModesAndHeredocs) {
  Definition("  web: { build: web }\n");
  Write(project / "web/Dockerfile",
        "FROM base\nCOPY --chown=app:www --chmod=0640 a /srv/a\nCOPY <<EOF /etc/motd\nhello\nEOF\n"
        "RUN <<EOF\necho one > /one\necho two > /two\nEOF\n"
        "RUN <<EOF\n#!/bin/busybox sh\necho $0 > /script\nEOF\n"
        "ADD files.tar /unpacked/\nUSER app\nRUN id -u > /tmp/id || id -u\nWORKDIR /home/app\n");
  Write(project / "web/a", "a\n");
  Write(project / "web/in/deep/file", "packed\n");
  ASSERT_TRUE(RunChecked({.argv = {"tar", "-C", (project / "web/in").string(), "-cf",
                                   (project / "web/files.tar").string(), "deep"}},
                         Milliseconds(10000)));
  Root root(temp_->path() / "root");
  const auto built = root.Build(project);
  ASSERT_TRUE(built) << built.error().Render();
  const store::Tree tree = root.Show(built->at("web").manifest);
  EXPECT_EQ(tree.Find("srv/a")->uid, 1000u);
  EXPECT_EQ(tree.Find("srv/a")->gid, 33u);
  EXPECT_EQ(tree.Find("srv/a")->mode, 0640u);
  EXPECT_EQ(tree.Find("srv")->uid, 0u);
  EXPECT_EQ(root.Contents(tree, "etc/motd"), "hello\n");
  EXPECT_EQ(root.Contents(tree, "one"), "one\n");
  EXPECT_EQ(root.Contents(tree, "two"), "two\n");
  EXPECT_EQ(root.Contents(tree, "unpacked/deep/file"), "packed\n");
  EXPECT_EQ(tree.Find("unpacked/files.tar"), nullptr);
  EXPECT_EQ(tree.Find("home/app")->uid, 1000u);
}

TEST_F(BuilderTest, AFailingRunSaysWhereAndWhatAndKeepsTheRest) {
  Definition("  web: { build: web }\n");
  Write(project / "web/Dockerfile", "FROM base\nRUN echo kept > /kept\nRUN echo about to fail; exit 7\n");
  Root root(temp_->path() / "root");
  const auto built = root.Build(project);
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kFailed);
  EXPECT_THAT(built.error().message(), StartsWith("web/Dockerfile:3: RUN echo about to fail; exit 7 failed "
                                                  "with exit code 7"));
  EXPECT_THAT(built.error().message(), HasSubstr("\n  about to fail"));
  EXPECT_EQ(Mounts(), "");
  EXPECT_TRUE(Cgroups(root.path).empty());
  EXPECT_TRUE(fs::is_empty(root.path / "tmp"));
  Write(project / "web/Dockerfile", "FROM base\nRUN echo kept > /kept\nRUN echo fine\n");
  const auto again = root.Build(project);
  ASSERT_TRUE(again) << again.error().Render();
  EXPECT_EQ(again->at("web").steps, 2);
  EXPECT_EQ(again->at("web").cached_steps, 1);
}

TEST_F(BuilderTest, OnlyAnImageThatPassedItsTestsIsGolden) {
  const std::string tests =
      "    test: [{ run: [test, -f, /srv/ok] }, { http: { port: 8080, path: /ok }, "
      "timeout: 5s }]\n";
  Definition("  web:\n    build: web\n" + tests);
  Write(project / "web/Dockerfile",
        "FROM base\nCOPY ok /srv/\nENTRYPOINT [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/srv\"]\n");
  Write(project / "web/ok", "ok\n");
  Root root(temp_->path() / "root");
  const auto built = root.Build(project);
  ASSERT_TRUE(built) << built.error().Render();
  EXPECT_EQ(root.Count(BuildEvent::Kind::kTestPassed), 2);
  EXPECT_THAT(root.store->GetImage(built->at("web").manifest)->test_record, HasSubstr("GET :8080/ok"));
  ASSERT_TRUE(root.Build(project));
  EXPECT_EQ(root.Count(BuildEvent::Kind::kTestStarted), 0) << "its tests are known";

  Definition("  web:\n    build: web\n    test: [{ run: [\"false\"] }]\n");
  Write(project / "web/ok", "changed\n");
  const auto failed = root.Build(project);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kFailed);
  EXPECT_THAT(failed.error().message(), StartsWith("image test \"run: false\" failed"));
  const std::vector<store::ImageRow> images = *root.store->ListImages();
  EXPECT_EQ(images.size(), 3u);
  for (const store::ImageRow& image : images) {
    if (image.digest == built->at("web").manifest || image.digest == built->at("base").manifest) continue;
    EXPECT_FALSE(image.golden);
  }
  EXPECT_EQ(Mounts(), "");
}

TEST_F(BuilderTest, AKilledBuildLeavesNothing) {
  Definition("  web: { build: web }\n");
  Write(project / "web/Dockerfile", "FROM base\nRUN echo begun && sleep 1000\n");
  const fs::path at = temp_->path() / "root";
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Root root(at);
    ::_exit(root.Build(project) ? 0 : 1);
  }
  // Its sandbox has begun when a sleep runs in its cgroup.
  std::vector<std::string> groups;
  for (int i = 0; i < 600 && groups.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (!fs::exists(at / "run/sb")) continue;
    groups = Cgroups(at);
  }
  ASSERT_FALSE(groups.empty());
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ::waitpid(child, nullptr, 0);
  for (int i = 0; i < 200; ++i) {
    size_t alive = 0;
    for (const std::string& group : groups) {
      const auto procs = ReadFile(group + "/cgroup.procs");
      if (procs) alive += std::count(procs->begin(), procs->end(), '\n');
    }
    if (alive == 0) break;
    ASSERT_LT(i, 199) << "processes outlive the build";
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(Mounts(), "");
  Write(project / "web/Dockerfile", "FROM base\nRUN echo other\n");
  Root root(at);
  const auto built = root.Build(project);
  ASSERT_TRUE(built) << built.error().Render();
  EXPECT_TRUE(Cgroups(at).empty());
  EXPECT_TRUE(fs::is_empty(at / "tmp"));
}

TEST_F(BuilderTest, RefusesWhatItCannotBuild) {
  Root root(temp_->path() / "root");
  const auto error = [&](const std::string& images, const std::string& dockerfile) {
    Definition(images);
    Write(project / "web/Dockerfile", dockerfile);
    const auto built = root.Build(project);
    return built ? Error(Code::kInternal, "built") : built.error();
  };
  const std::string web = "  web: { build: web }\n";
  Error pulled = error(web, "FROM debian:12\nRUN true\n");
  EXPECT_EQ(pulled.code(), Code::kUnsupported);
  EXPECT_THAT(pulled.message(),
              StartsWith("web/Dockerfile:1: docker.io/library/debian:12: images cannot be pulled"));
  Error name = error(web, "FROM Debian:12\nRUN true\n");
  EXPECT_EQ(name.code(), Code::kInvalid);
  EXPECT_THAT(name.message(),
              StartsWith("web/Dockerfile:1: Debian:12 is neither a stage nor an image of ingot.yaml: "));
  Error missing = error(web, "FROM base\nCOPY nothing /\n");
  EXPECT_EQ(missing.code(), Code::kInvalid);
  EXPECT_THAT(missing.message(), HasSubstr("web/Dockerfile:2: the build context"));
  Error layout = error(web, "FROM oci-layout:nowhere\nRUN true\n");
  EXPECT_EQ(layout.code(), Code::kNotFound);
  Error empty = error(web, "FROM scratch\nENV A=1\n");
  EXPECT_EQ(empty.code(), Code::kInvalid);
  Error target = error("  web: { build: { context: web, target: nope } }\n", "FROM base AS one\nRUN true\n");
  EXPECT_EQ(target.code(), Code::kInvalid);
  EXPECT_THAT(target.message(), HasSubstr("has no stage nope; it has one"));
}

TEST_F(BuilderTest, AssemblesADebianBaseTheSameTwice) {
  if (!FindProgram("mmdebstrap")) GTEST_SKIP() << "SKIP: mmdebstrap is not installed";
  Write(project / "ingot.yaml",
        "version: 1\nproject: demo\nimages:\n  runtime: { from: debian:bookworm, packages: [python3-minimal] "
        "}\n");
  MmdebstrapBase first_base({temp_->path() / "one/cache", temp_->path() / "one/tmp", "", "/etc/apt"});
  Root one(temp_->path() / "one");
  const auto first = one.Build(project, &first_base);
  if (!first && first.error().code() == Code::kUnavailable)
    GTEST_SKIP() << "SKIP: no Debian mirror: " << first.error().Render();
  ASSERT_TRUE(first) << first.error().Render();
  EXPECT_TRUE(fs::exists(project / "ingot.lock"));
  const store::Tree tree = one.Show(first->at("runtime").manifest);
  ASSERT_NE(tree.Find("usr/bin/python3"), nullptr);
  EXPECT_EQ(tree.Find("etc/resolv.conf"), nullptr);
  EXPECT_EQ(tree.Find("etc/hostname"), nullptr);
  // Again from nothing but the lock, in another root with another umask.
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  const mode_t before = ::umask(077);
  MmdebstrapBase second_base({temp_->path() / "two/cache", temp_->path() / "two/tmp", "", "/etc/apt"});
  Root two(temp_->path() / "two");
  const auto second = two.Build(project, &second_base);
  ::umask(before);
  ASSERT_TRUE(second) << second.error().Render();
  EXPECT_EQ(second->at("runtime").manifest, first->at("runtime").manifest);
  if (second->at("runtime").manifest != first->at("runtime").manifest) {
    for (const auto& change : store::Diff(tree, two.Show(second->at("runtime").manifest)))
      ADD_FAILURE() << change.path;
  }
  EXPECT_EQ(Mounts(), "");
}

}  // namespace
}  // namespace ingot::adapters
