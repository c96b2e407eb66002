#include "app/doctor_fix.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "adapters/volume_quota.h"
#include "base/subprocess.h"

namespace ingot::app {

namespace {

using adapters::FactState;
using adapters::HostFact;

constexpr Milliseconds kModuleTimeout{10'000};
constexpr Milliseconds kInstallTimeout{600'000};
constexpr const char* kNamespaceLimit = "15000";
constexpr const char* kSysctl = "/proc/sys/user/max_user_namespaces";
constexpr const char* kSysctlFile = "/etc/sysctl.d/90-ingot.conf";

// A folder, and what others than root may have there at most.
struct Folder {
  fs::path path;
  mode_t most;
};

std::vector<Folder> FoldersOf(const Layout& layout) {
  return {{layout.root, 0755},
          {layout.run(), 0755},
          {layout.secrets(), 0700},
          {layout.volumes(), 0700},
          {layout.artifacts(), 0700}};
}

struct Wrong {
  Folder folder;
  std::string why;
};

// kIo and its like when one cannot be looked at. One that is not there is made when it is needed.
Result<std::vector<Wrong>> WrongFolders(const Layout& layout) {
  std::vector<Wrong> out;
  for (const Folder& folder : FoldersOf(layout)) {
    struct stat st {};
    if (::lstat(folder.path.c_str(), &st) < 0) {
      if (errno == ENOENT) continue;
      return ErrnoError(errno, "look at " + folder.path.string());
    }
    const mode_t mode = st.st_mode & 07777;
    char text[8];
    std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode));
    if (!S_ISDIR(st.st_mode))
      out.push_back({folder, folder.path.string() + " is no folder"});
    else if (st.st_uid != 0)
      out.push_back({folder, folder.path.string() + " belongs to user " + std::to_string(st.st_uid)});
    else if ((mode & 0777 & ~folder.most) != 0)
      out.push_back({folder, folder.path.string() + " has mode " + text});
  }
  return out;
}

Result<void> MakeOurs(const Folder& folder) {
  // Never through a link: what it leads to may be anybody's.
  const Fd fd = TRY(OpenFile(folder.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat st {};
  if (::fstat(fd.get(), &st) < 0) return ErrnoError(errno, "look at " + folder.path.string());
  if (::fchown(fd.get(), 0, 0) < 0) return ErrnoError(errno, "give " + folder.path.string() + " to root");
  if (::fchmod(fd.get(), st.st_mode & folder.most) < 0)
    return ErrnoError(errno, "set the mode of " + folder.path.string());
  return {};
}

const HostFact* FactOf(const std::vector<HostFact>& facts, std::string_view name) {
  for (const HostFact& fact : facts)
    if (fact.name == name) return fact.state == FactState::kOk ? nullptr : &fact;
  return nullptr;
}

std::function<Result<void>()> Runs(std::vector<std::string> argv, Milliseconds timeout) {
  return [argv = std::move(argv), timeout]() -> Result<void> {
    TRY(RunChecked({.argv = argv}, timeout));
    return {};
  };
}

// Now, and after the next start of the host.
Result<void> RaiseNamespaceLimit() {
  // Not atomically: it is the kernel's.
  const Fd fd = TRY(OpenFile(kSysctl, O_WRONLY));
  TRY(WriteAll(fd.get(), kNamespaceLimit));
  return WriteFileAtomic(kSysctlFile, std::string("user.max_user_namespaces = ") + kNamespaceLimit + "\n",
                         0644);
}

// PROJECT/ENVIRONMENT/NAME-MEMBER.
Result<size_t> CountVolumes(const fs::path& directory) {
  size_t count = 0;
  for (const std::string& project : TRY(ListDirectory(directory))) {
    if (project.starts_with('.') || !fs::is_directory(directory / project)) continue;
    for (const std::string& environment : TRY(ListDirectory(directory / project)))
      for (const std::string& volume : TRY(ListDirectory(directory / project / environment)))
        count += volume.starts_with('.') ? 0 : 1;
  }
  return count;
}

void AddModules(const std::vector<HostFact>& facts, std::vector<Fix>& out) {
  static constexpr std::array<std::pair<const char*, const char*>, 3> kModules = {
      {{"erofs_file", "erofs"}, {"erofs_loop", "loop"}, {"overlay_data_only", "overlay"}}};
  for (const auto& [name, module] : kModules) {
    const HostFact* fact = FactOf(facts, name);
    // One that is degraded works by another way: its module is there.
    if (fact == nullptr || fact->state != FactState::kMissing) continue;
    out.push_back({name, std::string("modprobe ") + module, Runs({"modprobe", module}, kModuleTimeout)});
  }
}

void AddPackages(const std::vector<HostFact>& facts, bool install, std::vector<Fix>& out) {
  for (const char* package : {"crun", "conmon", "haproxy", "mmdebstrap"}) {
    const HostFact* fact = FactOf(facts, package);
    if (fact == nullptr || fact->state != FactState::kMissing) continue;
    const std::string command = std::string("apt-get install -y --no-install-recommends ") + package;
    out.push_back(
        {package, command,
         install ? Runs({"apt-get", "install", "-y", "--no-install-recommends", package}, kInstallTimeout)
                 : std::function<Result<void>()>()});
  }
}

}  // namespace

HostFact FoldersFact(const Layout& layout) {
  auto wrong = WrongFolders(layout);
  const std::string lost = "others than root may read or change what is Ingot's";
  if (!wrong)
    return {"folders", FactState::kUnknown, wrong.error().Render(), lost, "look at " + layout.root.string()};
  if (wrong->empty()) return {"folders", FactState::kOk, layout.root.string(), "", ""};
  std::string seen;
  for (const Wrong& one : *wrong) seen += (seen.empty() ? "" : "; ") + one.why;
  return {"folders", FactState::kMissing, seen, lost, "run: ingot doctor --fix"};
}

HostFact VolumesFact(const Layout& layout) {
  const std::string not_known = "what data of stateful services there is is not known";
  std::error_code error;
  if (!fs::exists(layout.volumes(), error) && !error) return {"volumes", FactState::kOk, "none", "", ""};
  auto count = CountVolumes(layout.volumes());
  if (!count)
    return {"volumes", FactState::kUnknown, count.error().Render(), not_known,
            "look at " + layout.volumes().string()};
  const std::string seen = std::to_string(*count) + " with data";
  const std::string unlimited = *count == 0 ? "" : adapters::QuotaMissing(layout.volumes());
  if (unlimited.empty()) return {"volumes", FactState::kOk, seen, "", ""};
  return {"volumes", FactState::kDegraded, seen, "the size of a volume is no limit: " + unlimited,
          "have " + layout.volumes().string() + " on a file system that counts by project"};
}

std::vector<Fix> FixesFor(const std::vector<HostFact>& facts, const Layout& layout, bool install) {
  std::vector<Fix> out;
  if (auto wrong = WrongFolders(layout); wrong)
    for (const Wrong& one : *wrong) {
      char mode[8];
      std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(one.folder.most));
      out.push_back({"folders", "chown root: " + one.folder.path.string() + ", at most mode " + mode,
                     [folder = one.folder] { return MakeOurs(folder); }});
    }
  AddModules(facts, out);
  if (const HostFact* fact = FactOf(facts, "user_namespaces");
      fact != nullptr && fact->state == FactState::kMissing)
    out.push_back(
        {"user_namespaces",
         std::string("sysctl user.max_user_namespaces=") + kNamespaceLimit + ", also in " + kSysctlFile,
         RaiseNamespaceLimit});
  AddPackages(facts, install, out);
  return out;
}

}  // namespace ingot::app
