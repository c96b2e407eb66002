#include "adapters/host_facts.h"

#include <fcntl.h>
#include <linux/fsverity.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <cerrno>

#include "adapters/cgroup.h"
#include "adapters/linux_mount.h"
#include "base/subprocess.h"
#include "base/units.h"
#include "store/sealed_layer.h"

namespace ingot::adapters {

namespace {

HostFact Ok(std::string name, std::string seen) {
  return {std::move(name), FactState::kOk, std::move(seen), "", ""};
}

// "Could not look" and "looked, and it is not there" are two things: only the codes that say the latter are a
// lack.
FactState StateOf(const Error& error) {
  switch (error.code()) {
    case Code::kUnsupported:
    case Code::kNotFound:
    case Code::kUnavailable:
    case Code::kCorrupt:
      return FactState::kMissing;
    default:
      return FactState::kUnknown;
  }
}

HostFact Lacks(std::string name, const Error& error, std::string lost, std::string remedy) {
  return {std::move(name), StateOf(error), error.message(), std::move(lost), std::move(remedy)};
}

constexpr const char* kNewerKernel =
    "install a newer kernel: apt-get install linux-image-amd64 (bookworm-backports)";

HostFact Root() {
  if (::geteuid() == 0) return Ok("root", "user 0");
  return {"root", FactState::kMissing, "user " + std::to_string(::geteuid()),
          "nothing can be built or run: mounts and namespaces need root", "run ingot as root (sudo)"};
}

HostFact Kernel() {
  struct utsname name {};
  if (::uname(&name) < 0)
    return {"kernel", FactState::kUnknown, "uname failed", "the kernel's abilities are not known",
            "see dmesg"};
  return Ok("kernel", name.release);
}

// A layer with nothing in it, in a directory of ours.
Result<fs::path> ProbeLayer(const fs::path& directory) {
  const std::string bytes = TRY(store::RenderSealed(store::Tree()));
  TRY(WriteFileAtomic(directory / "probe.erofs", bytes, 0600, Durability::kNone));
  return directory / "probe.erofs";
}

// In a mount namespace that ends with the thread.
Result<void> Privately(const std::function<Result<void>()>& work) {
  return OnThread([&]() -> Result<void> {
    if (::unshare(CLONE_NEWNS) < 0) return ErrnoError(errno, "make a mount namespace");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
      return ErrnoError(errno, "make it private");
    return work();
  });
}

void LookAtMounts(const fs::path& directory, std::vector<HostFact>& facts) {
  auto layer = ProbeLayer(directory);
  if (!layer) {
    for (const char* name : {"erofs_file", "erofs_loop", "overlay_data_only", "idmapped_mounts"})
      facts.push_back({name, FactState::kUnknown, layer.error().message(), "it was not tried",
                       "make room and permission for " + directory.string()});
    return;
  }
  const auto mount_layer = [&](LayerWay way) {
    return Privately([&]() -> Result<void> {
      TRY(MountSealedLayer(*layer, -1, way));
      return {};
    });
  };
  const auto file = mount_layer(LayerWay::kFile);
  const auto loop = mount_layer(LayerWay::kLoop);
  if (file) {
    facts.push_back(Ok("erofs_file", "mounted from a file"));
  } else {
    HostFact fact =
        Lacks("erofs_file", file.error(), "each layer of each instance takes a loop device", kNewerKernel);
    if (loop && fact.state == FactState::kMissing) fact.state = FactState::kDegraded;
    if (!loop) fact.lost = "no image can be mounted";
    facts.push_back(std::move(fact));
  }
  if (loop)
    facts.push_back(Ok("erofs_loop", "mounted through a loop device"));
  else
    facts.push_back(Lacks("erofs_loop", loop.error(),
                          file ? "no other way than mounting from a file" : "no image can be mounted",
                          "modprobe loop"));
  if (file && !loop && facts.back().state == FactState::kMissing) facts.back().state = FactState::kDegraded;

  const auto overlay = [&](OverlayWay way) {
    return Privately([&]() -> Result<void> {
      const Fd mount = TRY(MountSealedLayer(*layer));
      TRY(MakeDirectories(directory / "objects"));
      TRY(MakeDirectories(directory / "staging"));
      Overlay wanted;
      wanted.layers = {mount.get()};
      wanted.objects = directory / "objects";
      Staging staging(directory / "staging");
      wanted.staging = &staging;
      wanted.way = way;
      TRY(MountOverlay(wanted));
      return {};
    });
  };
  const auto layers = HasDataOnlyLayers() ? overlay(OverlayWay::kLayers)
                                          : Result<void>(Error(Code::kUnsupported, "no data-only lowers"));
  const auto string = overlay(OverlayWay::kString);
  if (layers)
    facts.push_back(Ok("overlay_data_only", "objects are a data-only layer"));
  else
    facts.push_back({"overlay_data_only", string ? FactState::kDegraded : StateOf(layers.error()),
                     layers.error().message(),
                     string ? "the object pool is an ordinary layer, its folders hidden by whiteouts"
                            : "no image can be mounted: " + string.error().message(),
                     kNewerKernel});

  const auto shifted = Privately([&]() -> Result<void> {
    const Fd users = TRY(MakeUserNamespace({3'000'000'000, 65536}));
    TRY(MountSealedLayer(*layer, users.get()));
    return {};
  });
  facts.push_back(shifted ? Ok("idmapped_mounts", "owners of a sealed layer are shifted")
                          : Lacks("idmapped_mounts", shifted.error(),
                                  "instances cannot have user ranges of their own, so none is started",
                                  kNewerKernel));
}

HostFact UserNamespaces() {
  auto made = OnThread([]() -> Result<void> {
    TRY(MakeUserNamespace({3'000'000'000, 65536}));
    return {};
  });
  if (made) return Ok("user_namespaces", "a range of 65536 users was mapped");
  return Lacks("user_namespaces", made.error(),
               "instances cannot have users of their own, so none is started",
               "sysctl user.max_user_namespaces=15000");
}

HostFact Verity(const fs::path& directory) {
  const std::string lost =
      "the kernel does not check file contents at each read; ingot verify does, when it is run";
  const std::string remedy = "use ext4 with: tune2fs -O verity DEVICE, or btrfs";
  const fs::path file = directory / "verity";
  if (auto written = WriteFileAtomic(file, "x", 0600, Durability::kNone); !written)
    return {"fs_verity", FactState::kUnknown, written.error().message(), lost, remedy};
  auto fd = OpenFile(file, O_RDONLY);
  if (!fd) return {"fs_verity", FactState::kUnknown, fd.error().message(), lost, remedy};
  struct fsverity_enable_arg argument {};
  argument.version = 1;
  argument.hash_algorithm = FS_VERITY_HASH_ALG_SHA256;
  argument.block_size = 4096;
  if (::ioctl(fd->get(), FS_IOC_ENABLE_VERITY, &argument) == 0) return Ok("fs_verity", "enabled on a file");
  const int error = errno;
  const bool lacking = error == EOPNOTSUPP || error == ENOTTY;
  return {"fs_verity", lacking ? FactState::kDegraded : FactState::kUnknown,
          ErrnoError(error, "enable it below " + directory.parent_path().string()).message(), lost, remedy};
}

void LookAtControl(std::vector<HostFact>& facts) {
  auto host = LookAtCgroups();
  if (!host) {
    facts.push_back(Lacks("cgroups", host.error(), "limits do not hold and instances cannot be ended whole",
                          "boot with systemd, or mount cgroup2 at /sys/fs/cgroup"));
    return;
  }
  std::string controllers;
  for (const auto& hierarchy : host->hierarchies)
    for (const std::string& name : hierarchy.controllers) controllers += " " + name;
  const char* mode = host->mode == CgroupMode::kV2       ? "v2"
                     : host->mode == CgroupMode::kHybrid ? "hybrid"
                                                         : "v1";
  facts.push_back(Ok("cgroups", mode + (":" + controllers)));
  std::string missing;
  for (const char* name : {"cpu", "memory", "pids"})
    if (host->Directory(name, "").empty()) missing += (missing.empty() ? "" : ", ") + std::string(name);
  if (missing.empty())
    facts.push_back(Ok("cgroup_limits", "cpu, memory, pids"));
  else
    facts.push_back({"cgroup_limits", FactState::kMissing, "no controller for " + missing,
                     "limits on " + missing + " do not hold",
                     "boot with cgroup_enable=memory systemd.unified_cgroup_hierarchy=1"});
}

HostFact Seccomp() {
  auto actions = ReadFile("/proc/sys/kernel/seccomp/actions_avail", 4096);
  if (actions && actions->find("errno") != std::string::npos) return Ok("seccomp", "filters");
  HostFact fact{"seccomp", FactState::kMissing, "this kernel has no seccomp filters",
                "instances may make every system call",
                "install a Debian kernel: apt-get install linux-image-amd64"};
  if (!actions && actions.error().code() != Code::kNotFound) {
    fact.state = FactState::kUnknown;
    fact.seen = actions.error().message();
  }
  return fact;
}

// The first line of a program's answer to --version.
HostFact Program(const std::string& name, const std::string& option, const std::string& lost) {
  auto found = FindProgram(name);
  if (!found) return {name, FactState::kMissing, found.error().message(), lost, "apt-get install " + name};
  auto out = RunChecked({.argv = {found->string(), option}}, Milliseconds(5000));
  if (!out)
    return {name, FactState::kUnknown, out.error().message(), lost, "apt-get install --reinstall " + name};
  return Ok(name, out->substr(0, out->find('\n')));
}

HostFact Disk(const fs::path& directory) {
  struct statvfs st {};
  if (::statvfs(directory.c_str(), &st) < 0)
    return {"disk", FactState::kUnknown, ErrnoError(errno, "look at " + directory.string()).message(),
            "builds may run out of room", "look at df"};
  const uint64_t free = static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
  if (free >= (uint64_t{2} << 30)) return Ok("disk", RenderSize(free) + " free");
  return {"disk", FactState::kDegraded, RenderSize(free) + " free",
          "a base image and its build need about 2 GiB", "free some, or run: ingot gc"};
}

HostFact Memory() {
  struct sysinfo info {};
  if (::sysinfo(&info) < 0)
    return {"memory", FactState::kUnknown, "sysinfo failed", "instances may be killed for lack of it",
            "look at free"};
  const uint64_t total = static_cast<uint64_t>(info.totalram) * info.mem_unit;
  if (total >= (uint64_t{900} << 20)) return Ok("memory", RenderSize(total));
  return {"memory", FactState::kDegraded, RenderSize(total),
          "two fleets at once, as a rollout has them, may not fit", "use a host with at least 1 GiB"};
}

HostFact Network() {
  auto made = OnThread([]() -> Result<void> {
    if (::unshare(CLONE_NEWNET) < 0) return ErrnoError(errno, "make a network namespace");
    return {};
  });
  if (made) return Ok("network_namespaces", "made one; no nftables needed");
  return Lacks("network_namespaces", made.error(), "instances cannot be kept apart, so none is started",
               "install a Debian kernel: apt-get install linux-image-amd64");
}

}  // namespace

std::string_view FactStateName(FactState state) {
  switch (state) {
    case FactState::kOk:
      return "ok";
    case FactState::kDegraded:
      return "degraded";
    case FactState::kMissing:
      return "missing";
    case FactState::kUnknown:
      break;
  }
  return "unknown";
}

namespace {

// Folders of the path that are not there now; those that are empty at its end are removed. Whoever only looks
// makes no root of an empty folder.
class MissingFolders {
 public:
  explicit MissingFolders(const fs::path& path) {
    for (fs::path at = path; at.has_relative_path() && ::access(at.c_str(), F_OK) != 0; at = at.parent_path())
      missing_.push_back(at);
  }
  ~MissingFolders() {
    for (const fs::path& folder : missing_)
      if (::rmdir(folder.c_str()) != 0) return;
  }
  MissingFolders(const MissingFolders&) = delete;
  MissingFolders& operator=(const MissingFolders&) = delete;

 private:
  std::vector<fs::path> missing_;  // the innermost first
};

}  // namespace

std::vector<HostFact> LookAtHost(const fs::path& root) {
  std::vector<HostFact> facts;
  facts.push_back(Root());
  facts.push_back(Kernel());
  const MissingFolders missing(root / "tmp");
  if (auto directory = TempDirectory::Make(root / "tmp", "doctor")) {
    LookAtMounts(directory->path(), facts);
    facts.push_back(Verity(directory->path()));
    facts.push_back(Disk(directory->path()));
  } else {
    for (const char* name :
         {"erofs_file", "erofs_loop", "overlay_data_only", "idmapped_mounts", "fs_verity", "disk"})
      facts.push_back({name, FactState::kUnknown, directory.error().message(), "it was not tried",
                       "make " + root.string() + " writable"});
  }
  facts.push_back(UserNamespaces());
  facts.push_back(Network());
  LookAtControl(facts);
  facts.push_back(Seccomp());
  facts.push_back(Program("crun", "--version", "nothing can be run or built"));
  facts.push_back(Program("conmon", "--version", "nothing can be run"));
  facts.push_back(Program("haproxy", "-v", "nothing can be reached"));
  facts.push_back(Program("mmdebstrap", "--version", "images cannot start from debian:SUITE"));
  facts.push_back(Memory());
  return facts;
}

}  // namespace ingot::adapters
