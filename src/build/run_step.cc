// ExecuteRun: one RUN in the sandbox, on an overlay of the layers below, its writes captured as a tree.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "build/output_tail.h"
#include "build/stage_executor.h"
#include "store/capture.h"

namespace ingot::build {
namespace {

// A build step has no time limit of its own; this one only bounds a step that hangs for ever.
constexpr Milliseconds kRunTimeout = std::chrono::hours(6);

// Mount points that the runtime makes in the upper directory because the image has none: not what RUN wrote.
constexpr std::string_view kStubs[] = {"dev",        "proc",         "sys",           "etc/resolv.conf",
                                       "etc/hosts",  "etc/hostname", "dev/pts",       "dev/shm",
                                       "dev/mqueue", "dev/pipes",    "sys/fs/cgroup", "run/secrets"};

void DropStubs(store::Tree& tree, const store::Tree& below) {
  for (size_t i = std::size(kStubs); i-- > 0;) {
    const std::string_view path = kStubs[i];
    const store::Node* made = tree.Find(path);
    if (made == nullptr) continue;
    const bool empty_file = made->type == store::NodeType::kRegular && made->size_bytes == 0;
    const bool empty_folder = made->IsDirectory() && tree.List(path).empty();
    if (!empty_file && !empty_folder) continue;
    if (below.Find(path) != nullptr) {
      // The folder was copied up for a mount on it: nothing but its times differ.
      store::Node same = *made;
      same.mtime_s = below.Find(path)->mtime_s;
      same.mtime_ns = below.Find(path)->mtime_ns;
      if (!empty_folder || !(same == *below.Find(path))) continue;
    }
    tree.Remove(path);
    // Its parent may be there for this stub alone.
    const std::string_view parent = store::ParentOf(path);
    const store::Node* old = below.Find(parent);
    store::Node* folder = tree.Find(parent);
    if (parent.empty() || old == nullptr || folder == nullptr || !tree.List(parent).empty()) continue;
    store::Node same = *folder;
    same.mtime_s = old->mtime_s;
    same.mtime_ns = old->mtime_ns;
    if (same == *old) tree.Remove(parent);
  }
}

// The upper directory is what the overlay shows as "/": it must look like the root below.
Result<void> MakeUpper(const fs::path& upper, const std::optional<store::Node>& root) {
  TRY(MakeDirectories(upper, 0755));
  const uint32_t uid = root ? root->uid : 0;
  const uint32_t gid = root ? root->gid : 0;
  if (::chown(upper.c_str(), uid, gid) < 0) return ErrnoError(errno, "give " + upper.string() + " its owner");
  // Not by mkdir: the umask would have its say.
  if (::chmod(upper.c_str(), root ? root->mode : 0755) < 0)
    return ErrnoError(errno, "give " + upper.string() + " its mode");
  return {};
}

std::string SandboxName() {
  static std::atomic<uint64_t> next{0};
  return fmt::format("b{}-{}", ::getpid(), next.fetch_add(1));
}

void SetDefault(std::map<std::string, std::string>& environment, const std::string& name,
                const std::string& value) {
  environment.emplace(name, value);
}

void AddVariables(std::map<std::string, std::string>& environment, const std::vector<std::string>& entries) {
  for (const std::string& entry : entries) {
    const size_t equals = std::min(entry.find('='), entry.size());
    environment[entry.substr(0, equals)] = entry.substr(std::min(entry.size(), equals + 1));
  }
}

}  // namespace

Result<store::Tree> ExecuteRun(const StageEnvironment& environment, const PlannedStep& step,
                               LayersBelow& below, int number) {
  const auto& run = std::get<RunInstruction>(step.instruction.body);
  const std::string where = fmt::format("{}:{}", environment.file_name, step.instruction.line);
  if (below.layers().empty()) {
    return Error(Code::kInvalid,
                 "there is nothing to run yet: the stage is empty (FROM scratch). COPY a program "
                 "first, or build FROM an image.");
  }
  const TempDirectory temp = TRY(TempDirectory::Make(environment.temp_dir, "run-"));
  const RunProcess process =
      ResolveRun(run.command, step.config.shell.empty() ? DefaultShell() : step.config.shell);
  platform::SandboxSpec spec;
  spec.name = SandboxName();
  for (const store::Layer& layer : below.layers())
    spec.root.layers.push_back(environment.store.LayerPath(layer.id));
  spec.root.objects = environment.store.paths().objects;
  spec.process.args = process.argv;
  AddVariables(spec.process.environment, step.environment);
  AddVariables(spec.process.environment, step.proxies);
  SetDefault(spec.process.environment, "PATH",
             "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  // Tools that would write the time of day into what they make ask for it here.
  SetDefault(spec.process.environment, "SOURCE_DATE_EPOCH", std::to_string(environment.source_date_epoch_s));
  spec.process.workdir = step.config.working_dir.empty() ? "/" : step.config.working_dir;
  spec.process.user = step.config.user;
  spec.upper = temp.path() / "upper";
  spec.host_network = true;
  spec.timeout = kRunTimeout;
  if (!process.script_path.empty()) {
    const fs::path script = temp.path() / "script";
    TRY(WriteFileAtomic(script, process.script_content, 0755, Durability::kNone));
    if (::chmod(script.c_str(), 0755) < 0)
      return ErrnoError(errno, "make " + script.string() + " executable");
    spec.binds.emplace_back(script, process.script_path);
  }
  TRY(MakeUpper(*spec.upper, TRY(below.Find(""))));
  OutputTail tail([&](std::string_view line) {
    BuildEvent event;
    event.kind = BuildEvent::Kind::kOutput;
    event.number = number;
    event.text = std::string(line);
    environment.report(event);
  });
  spec.output = [&tail](std::string_view bytes) { tail.Write(bytes); };
  auto exit = environment.sandbox.Run(spec);
  tail.Flush();
  if (!exit) return std::move(exit).error().While(where + ": " + step.instruction.source);
  if (*exit != 0) {
    return Error(Code::kFailed, fmt::format("{}: {} failed with exit code {}{}", where,
                                            step.instruction.source, *exit, tail.Describe()));
  }
  store::CaptureOptions capture;
  capture.clamp_mtime_s = environment.source_date_epoch_s;
  capture.lower = [&below] { return below.Tree(); };
  store::Captured captured = TRY(store::CaptureUpper(*spec.upper, environment.store.objects(), capture));
  for (const std::string& path : captured.dropped) {
    BuildEvent note;
    note.kind = BuildEvent::Kind::kNote;
    note.number = number;
    note.text = "a socket cannot be part of an image and was left out: /" + path;
    environment.report(note);
  }
  DropStubs(captured.tree, *TRY(below.Tree()));
  return std::move(captured.tree);
}

}  // namespace ingot::build
