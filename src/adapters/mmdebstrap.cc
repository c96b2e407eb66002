#include "adapters/mmdebstrap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>

#include "adapters/debian_packages.h"
#include "adapters/debian_scratch.h"
#include "adapters/debian_sources.h"
#include "base/sha256.h"
#include "build/image_inputs.h"

namespace ingot::adapters {
namespace {

constexpr Milliseconds kAssembleTimeout{1'800'000};
// Raised when Assemble gives another outcome for the same packages.
constexpr char kVersion[] = "mmdebstrap/1";

std::string HostCodename() {
  auto release = ReadFile("/etc/os-release", 1 << 16);
  if (!release) return "";
  const std::string mark = "VERSION_CODENAME=";
  const size_t at = release->find(mark);
  if (at == std::string::npos) return "";
  return release->substr(at + mark.size(), release->find('\n', at) - at - mark.size());
}

uint64_t AvailableMemory() {
  std::ifstream info("/proc/meminfo");
  for (std::string key; info >> key;) {
    uint64_t kib = 0;
    if (key == "MemAvailable:" && info >> kib) return kib * 1024;
    info.ignore(256, '\n');
  }
  return 0;
}

// The root file system and apt's copy of the packages, generously.
uint64_t NeededMemory(const build::LockedBase& base) {
  uint64_t packed = 0;
  for (const build::DebianPackage& package : base.packages) packed += package.size_bytes;
  return packed * 12 + (uint64_t{64} << 20);
}

// Runs `work` on a thread with a mount namespace of its own: what is mounted there is gone when it ends,
// however it ends.
Result<void> InPrivateMounts(const std::function<Result<void>()>& work) {
  Result<void> result;
  std::thread([&] {
    if (::unshare(CLONE_FS | CLONE_NEWNS) < 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
      result = ErrnoError(errno, "make a mount namespace to assemble a base in (this needs root)");
      return;
    }
    result = work();
  }).join();
  return result;
}

Command MmdebstrapCommand(const build::LockedBase& base, const fs::path& root, const fs::path& repository) {
  std::string include;
  for (const build::DebianPackage& package : base.packages)
    include += (include.empty() ? "" : ",") + package.name;
  Command command;
  // A process namespace that ends with its first process, which ends with us: whatever mmdebstrap and the
  // packages' scripts started does not outlive the build.
  command.argv = {"unshare",
                  "--fork",
                  "--pid",
                  "--kill-child",
                  "--",
                  "sh",
                  "-c",
                  "umask 022; exec \"$@\"",
                  "sh",
                  "mmdebstrap",
                  "--quiet",
                  "--mode=root",
                  "--variant=essential",
                  "--format=directory",
                  "--architectures=" + base.architecture,
                  "--include=" + include,
                  "--dpkgopt=force-unsafe-io",
                  "--aptopt=Acquire::Languages \"none\"",
                  "--aptopt=APT::Install-Recommends \"false\"",
                  "--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount",
                  "",
                  root.string(),
                  "deb [trusted=yes] file://" + repository.string() + " ./"};
  command.env = std::map<std::string, std::string>{
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"LC_ALL", "C.UTF-8"},
      {"HOME", "/root"},
      {"DEBIAN_FRONTEND", "noninteractive"},
      {"DEBCONF_NONINTERACTIVE_SEEN", "true"},
      {"SOURCE_DATE_EPOCH", std::to_string(base.NewestRelease())},
      {"PYTHONHASHSEED", "0"}};
  command.die_with_parent = true;
  return command;
}

// Every locked package is installed in exactly its version.
Result<void> CheckInstalled(const fs::path& root, const build::LockedBase& base) {
  const std::string status = TRY(ReadFile(root / "var/lib/dpkg/status"));
  std::map<std::string, std::string, std::less<>> installed;
  std::string name;
  bool ok = false;
  size_t begin = 0;
  while (begin < status.size()) {
    const size_t end = std::min(status.find('\n', begin), status.size());
    const std::string_view line = std::string_view(status).substr(begin, end - begin);
    begin = end + 1;
    if (line.starts_with("Package: ")) name = line.substr(9);
    if (line.starts_with("Status: ")) ok = line == "Status: install ok installed";
    if (line.starts_with("Version: ") && ok) installed[name] = line.substr(9);
  }
  for (const build::DebianPackage& package : base.packages) {
    const auto found = installed.find(package.name);
    if (found == installed.end() || found->second != package.version)
      return Error(Code::kFailed, "mmdebstrap did not install " + package.name + " " + package.version);
  }
  return {};
}

}  // namespace

std::string MmdebstrapBase::Version() const {
  return kVersion;
}

Result<std::vector<build::DebianSource>> MmdebstrapBase::Sources(const std::string& suite) const {
  if (!options_.mirrors.empty()) return SourcesOfMirrors(suite, options_.mirrors);
  return SourcesFor(suite, HostCodename(), ReadHostSources(options_.etc_apt));
}

Result<build::LockedBase> MmdebstrapBase::Resolve(const std::string& suite,
                                                  const std::vector<std::string>& packages,
                                                  const Note& note) {
  build::LockedBase base;
  base.suite = suite;
  base.architecture = build::MachineArchitecture();
  base.requested = packages;
  base.sources = TRY(Sources(suite));
  std::string where;
  for (const build::DebianSource& source : base.sources) where += source.uri + " " + source.suite + "\n";
  // One at a time per set of sources: apt would refuse the second.
  const fs::path state = options_.cache_dir / "apt" / Sha256Hex(where).substr(0, 16);
  TRY(MakeDirectories(state, 0755));
  const FileLock lock = TRY(FileLock::Take(state / "ingot.lock", true));
  DebianApt apt = TRY(DebianApt::Open(state, base.sources, base.architecture));
  TRY(apt.Update(note));
  base.sources = apt.sources();
  base.packages = TRY(apt.Solve(packages));
  return base;
}

Result<void> MmdebstrapBase::Assemble(const build::LockedBase& base, const Note& note,
                                      const std::function<Result<void>(const fs::path& root)>& use) {
  for (const char* program : {"mmdebstrap", "dpkg-deb", "unshare"}) {
    if (!FindProgram(program)) {
      return Error(Code::kUnsupported, std::string("images from debian:… need ") + program +
                                           ", which is not installed. On Debian: apt-get install mmdebstrap");
    }
  }
  TRY(MakeDirectories(options_.cache_dir, 0755));
  const DebianPackages cache(options_.cache_dir / "deb");
  const std::vector<build::DebianPackage> missing = cache.Missing(base.packages);
  if (!missing.empty()) {
    const DebianScratch state = TRY(DebianScratch::Make(options_.cache_dir / "apt", "fetch-"));
    std::vector<build::DebianSource> sources = base.sources;
    if (!options_.mirrors.empty()) {
      // The same packages from another place: security updates from its security mirror, if it names one.
      const auto mirrors = TRY(SourcesOfMirrors(base.suite, options_.mirrors));
      for (build::DebianSource& source : sources) {
        const auto same = std::find_if(mirrors.begin(), mirrors.end(),
                                       [&](const auto& mirror) { return mirror.suite == source.suite; });
        if (same != mirrors.end()) source.uri = same->uri;
      }
    }
    const DebianApt apt = TRY(DebianApt::Open(state.path(), sources, base.architecture));
    TRY(cache.Add(apt, missing, note));
  }
  note(fmt::format("installing {} packages", base.packages.size()));
  // The repository is linked, so it has to be on the cache's file system.
  const DebianScratch repository = TRY(DebianScratch::Make(options_.cache_dir, "repository-"));
  TRY(cache.MakeRepository(base.packages, repository.path() / "r"));
  const DebianScratch work = TRY(DebianScratch::Make(options_.temp_dir, "debian-"));
  return InPrivateMounts([&]() -> Result<void> {
    // dpkg flushes every file it writes: in memory that costs nothing.
    if (NeededMemory(base) < AvailableMemory() / 2 &&
        ::mount("tmpfs", work.path().c_str(), "tmpfs", 0, "mode=0755") < 0) {
      return ErrnoError(errno, "mount a tmpfs at " + work.path().string());
    }
    const fs::path root = work.path() / "root";
    TRY(MakeDirectories(root, 0755));
    const CommandResult result =
        TRY(Run(MmdebstrapCommand(base, root, repository.path() / "r"), kAssembleTimeout));
    if (!result.ok()) {
      const std::string& err = result.err;
      return Error(Code::kFailed, fmt::format("mmdebstrap failed ({}): {}", result.Describe(),
                                              err.size() > 3000 ? err.substr(err.size() - 3000) : err));
    }
    TRY(CheckInstalled(root, base));
    TRY(NormaliseDebianRoot(root, base));
    return use(root);
  });
}

}  // namespace ingot::adapters
