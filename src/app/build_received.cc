#include "app/build_received.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <thread>

#include "adapters/crun_sandbox.h"
#include "base/subprocess.h"

namespace ingot::app {

namespace {

constexpr std::string_view kFolderPrefix = "received-build-";
constexpr auto kLookWhoAsks = std::chrono::milliseconds(200);
// Others' builds may be there meanwhile, so it is not looked at for ever.
constexpr int kMostSweeps = 25;
constexpr size_t kLongestBuildLine = 4 << 20;

adapters::CrunSandbox SandboxOf(const Layout& layout) {
  return adapters::CrunSandbox({.run_dir = layout.run(), .root_key = layout.key()});
}

// The child, its process group, and what it says. Whatever happens, it does not outlive this.
class BuildProcess {
 public:
  BuildProcess(Child child, const Layout& layout)
      : child_(std::move(child)), sandboxes_(layout.run() / "sb"), sandbox_(SandboxOf(layout)) {}
  ~BuildProcess() {
    if (!ended_) static_cast<void>(End().has_value());
  }
  Result<CommandResult> End() {
    ::kill(-child_.pid, SIGKILL);
    auto result = Reap(std::chrono::seconds(30));
    // It had no time to tidy up after the step that it was at, whose processes may outlive it for a moment.
    for (int i = 0; result && i < kMostSweeps; ++i) {
      const auto swept = sandbox_.Sweep();
      const auto left = ListDirectory(sandboxes_);
      const bool none = left ? std::none_of(left->begin(), left->end(),
                                            [](const std::string& name) { return name.ends_with(".lock"); })
                             : left.error().code() == Code::kNotFound;
      if (swept && none) break;
      std::this_thread::sleep_for(kLookWhoAsks);
    }
    return result;
  }
  Result<CommandResult> Reap(Milliseconds timeout) {
    auto result = Wait(child_, timeout);
    ended_ = result.has_value();
    return result;
  }

 private:
  Child child_;
  const fs::path sandboxes_;
  const adapters::CrunSandbox sandbox_;
  bool ended_ = false;
};

Result<void> CopyContents(int from, int to) {
  std::array<char, 128 << 10> buffer;
  while (true) {
    const ssize_t copied = ::copy_file_range(from, nullptr, to, nullptr, size_t{1} << 30, 0);
    if (copied > 0) continue;
    if (copied == 0) return {};
    if (errno == EINTR) continue;
    break;  // not between these file systems: by hand, from where it is
  }
  while (true) {
    const ssize_t n = ::read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read a file that was sent");
    if (n == 0) return {};
    TRY(WriteAll(to, std::string_view(buffer.data(), static_cast<size_t>(n))));
  }
}

}  // namespace

Result<void> LayOut(const store::Tree& tree, store::Store& store, const fs::path& folder,
                    store::DiskShare& share) {
  uint64_t bytes = 0;
  std::optional<Error> failure;
  const auto put = [&](const std::string& path, const store::Node& node) -> Result<void> {
    using Type = store::NodeType;
    const fs::path to = folder / path;
    // A name's parents are directories in a tree, and so they are here: no link is followed.
    if (node.type == Type::kDirectory) {
      if (::mkdir(to.c_str(), 0755) != 0) return ErrnoError(errno, "make " + to.string());
      return {};
    }
    if (node.type == Type::kSymlink) {
      if (::symlink(node.target.c_str(), to.c_str()) != 0)
        return ErrnoError(errno, "make the link " + to.string());
      return {};
    }
    if (node.type != Type::kRegular)
      return Error(Code::kUnsupported, path + ": only files, folders and links can be built from");
    const uint64_t size = TRY(store.objects().SizeOf(node.object));
    if (size != node.size_bytes) return Error(Code::kInvalid, "its size is not what the tree says of it");
    bytes += store::OnDisk(size);
    TRY(share.Grow(bytes));
    const Fd from = TRY(store.objects().OpenObject(node.object));
    const Fd file =
        TRY(OpenFile(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, (node.mode & 0100) != 0 ? 0755 : 0644));
    return CopyContents(from.get(), file.get());
  };
  tree.Walk([&](const std::string& path, const store::Node& node, bool) {
    if (failure) return;
    auto done = put(path, node);
    if (!done) failure = std::move(done).error().While("laying out " + path);
  });
  if (failure) return std::move(*failure);
  return {};
}

Result<void> RunReceivedBuild(const Layout& layout, const fs::path& folder, const Json& document,
                              const std::function<bool(std::string_view)>& on_line,
                              const std::function<bool()>& gone) {
  TRY(WriteFileAtomic(folder / "request.json", RenderJson(document), 0600, Durability::kNone));
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "make a pipe");
  const Fd from(pipe[0]);
  Fd to(pipe[1]);
  const Fd nothing = TRY(OpenFile("/dev/null", O_RDWR));
  Command command;
  command.argv = {"/proc/self/exe", "build-received", folder.string(), "--root", layout.root.string()};
  if (!layout.host_config.empty()) {
    command.argv.insert(command.argv.end(), {"--host-config", layout.host_config});
  }
  command.fds = {{nothing.get(), 0}, {to.get(), 1}};
  command.cwd = folder;
  command.new_session = true;
  command.die_with_parent = true;
  BuildProcess process(TRY(Spawn(command)), layout);
  to.reset();
  std::string unfinished;
  bool last_word = false;
  while (true) {
    struct pollfd p = {from.get(), POLLIN, 0};
    const int ready = ::poll(&p, 1, static_cast<int>(Milliseconds(kLookWhoAsks).count()));
    if (gone()) return Error(Code::kCancelled, "who asked for the build has gone");
    if (ready <= 0) continue;
    std::array<char, 64 << 10> buffer;
    const ssize_t n = ::read(from.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read what the build says");
    if (n == 0) break;
    unfinished.append(buffer.data(), static_cast<size_t>(n));
    size_t begin = 0;
    for (size_t end = unfinished.find('\n'); end != std::string::npos; end = unfinished.find('\n', begin)) {
      const std::string_view line = std::string_view(unfinished).substr(begin, end - begin);
      last_word = line.starts_with("{\"images\":") || line.starts_with("{\"error\":");
      if (!on_line(line)) return Error(Code::kCancelled, "who asked for the build has gone");
      begin = end + 1;
    }
    unfinished.erase(0, begin);
    if (unfinished.size() > kLongestBuildLine)
      return Error(Code::kInternal, "the build says a line without an end");
  }
  const CommandResult result = TRY(process.Reap(std::chrono::seconds(30)));
  if (!last_word) return Error(Code::kInternal, "the build ended without a result: " + result.Describe());
  return {};
}

Result<TempDirectory> MakeBuildFolder(const Layout& layout) {
  TempDirectory folder = TRY(TempDirectory::Make(layout.tmp(), kFolderPrefix));
  // Instances of steps, which are other users, pass through it.
  if (::chmod(folder.path().c_str(), 0711) != 0) return ErrnoError(errno, "open " + folder.path().string());
  return folder;
}

Result<void> SweepReceivedBuilds(const Layout& layout) {
  auto names = ListDirectory(layout.tmp());
  if (!names && names.error().code() == Code::kNotFound) return {};
  if (!names) return std::move(names).error();
  for (const std::string& name : *names)
    if (name.starts_with(kFolderPrefix)) TRY(RemoveTree(layout.tmp() / name));
  return SandboxOf(layout).Sweep();
}

}  // namespace ingot::app
