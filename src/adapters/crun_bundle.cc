#include "adapters/crun_bundle.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "adapters/instance_root.h"
#include "adapters/linux_mount.h"

namespace ingot::adapters {

using platform::InstanceSpec;

namespace {

std::string HostsFile(const InstanceSpec& spec) {
  std::string out = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" +
                    (spec.hostname.empty() ? spec.id.Short() : spec.hostname) + "\n";
  for (const auto& [name, address] : spec.hosts) out += address + "\t" + name + "\n";
  return out;
}

bool IsFileName(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

Result<void> MakeSecrets(const InstanceSpec& spec, const RootUser& user, const fs::path& target) {
  uint64_t size = 1 << 20;
  for (const auto& [name, bytes] : spec.secrets) size += (bytes.size() + 4095) / 4096 * 4096 + 4096;
  const uint32_t first = spec.ids ? spec.ids->first : 0;
  const MountFlags flags{.read_only = false, .no_exec = true};
  Fd tmpfs = TRY(MountTmpfs(size, 0755, flags));
  for (const auto& [name, bytes] : spec.secrets) {
    Fd fd(::openat(tmpfs.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
    if (!fd.valid()) return ErrnoError(errno, "make the secret " + name);
    TRY(WriteAll(fd.get(), bytes));
    if (::fchown(fd.get(), first + user.uid, first + user.gid) < 0)
      return ErrnoError(errno, "own the secret " + name);
  }
  if (::fchownat(tmpfs.get(), "", first, first, AT_EMPTY_PATH) < 0)
    return ErrnoError(errno, "own the secrets' directory");
  TRY(Restrict(tmpfs.get(), {.read_only = true, .no_exec = true}));
  TRY(MakeDirectories(target, 0711));
  return AttachMount(tmpfs.get(), target);
}

// Scratch that is to be copied out is mounted by us: what crun mounts is gone with the process.
Result<void> MakeKept(const InstanceSpec& spec, const fs::path& bundle, CrunConfig& config) {
  for (size_t i = 0; i < spec.scratch.size(); ++i) {
    const platform::Scratch& scratch = spec.scratch[i];
    if (!scratch.kept) continue;
    const fs::path target = KeptIn(bundle, i);
    Fd tmpfs = TRY(MountTmpfs(scratch.size_bytes, 01777, {.read_only = false, .no_exec = !scratch.exec}));
    const uint32_t first = spec.ids ? spec.ids->first : 0;
    if (::fchownat(tmpfs.get(), "", first, first, AT_EMPTY_PATH) < 0)
      return ErrnoError(errno, "own " + scratch.path);
    TRY(MakeDirectories(target, 0711));
    TRY(AttachMount(tmpfs.get(), target));
    config.binds.push_back({target, scratch.path, false, !scratch.exec, true});
  }
  return {};
}

// Owners are shifted by the mount: on the disk everything belongs to whom it belongs to inside, and the
// next instance, with another range, finds it as this one left it.
Result<void> MakeVolumes(const InstanceSpec& spec, const RootUser& user, const fs::path& bundle,
                         CrunConfig& config) {
  if (spec.volumes.empty()) return {};
  Fd users;
  if (spec.ids) users = TRY(MakeUserNamespace(*spec.ids));
  for (size_t i = 0; i < spec.volumes.size(); ++i) {
    const platform::VolumeBind& volume = spec.volumes[i];
    if (TRY(ListDirectory(volume.source)).empty() && ::lchown(volume.source.c_str(), user.uid, user.gid) < 0)
      return ErrnoError(errno, "own " + volume.source.string());
    const fs::path target = bundle / "volumes" / std::to_string(i);
    Fd mount = TRY(CloneMount(volume.source, users.valid() ? users.get() : -1,
                              {.read_only = volume.read_only, .no_exec = true}));
    TRY(MakeDirectories(target, 0711));
    TRY(AttachMount(mount.get(), target));
    config.binds.push_back({target, volume.path, false, true, !volume.read_only});
  }
  return {};
}

Result<void> MakeSys(const fs::path& network_namespace, const fs::path& target) {
  Fd network = TRY(OpenFile(network_namespace, O_RDONLY));
  if (::setns(network.get(), CLONE_NEWNET) < 0)
    return ErrnoError(errno, "enter the network namespace " + network_namespace.string());
  Fd sys = TRY(MountSysfs());
  TRY(MakeDirectories(target, 0711));
  return AttachMount(sys.get(), target);
}

}  // namespace

Result<void> CheckForBundle(const InstanceSpec& spec) {
  if (spec.process.args.empty() || spec.process.args[0].empty())
    return Error(Code::kInvalid, spec.id.Render() +
                                     " has no command: the image has neither ENTRYPOINT nor CMD; give the "
                                     "service a `command`");
  for (const auto& [name, bytes] : spec.secrets)
    if (!IsFileName(name)) return Error(Code::kInvalid, "\"" + name + "\" cannot be a secret's file name");
  for (const platform::Scratch& scratch : spec.scratch)
    if (scratch.path.size() < 2 || scratch.path[0] != '/' ||
        fs::path(scratch.path).lexically_normal().string() != scratch.path)
      return Error(Code::kInvalid, "the scratch path \"" + scratch.path + "\" is not a plain absolute path");
  for (const platform::VolumeBind& volume : spec.volumes)
    if (volume.path.size() < 2 || volume.path[0] != '/' ||
        fs::path(volume.path).lexically_normal().string() != volume.path)
      return Error(Code::kInvalid, "the volume path \"" + volume.path + "\" is not a plain absolute path");
  for (const auto& [name, address] : spec.hosts)
    if (name.find_first_of(" \t\r\n#") != std::string::npos ||
        address.find_first_of(" \t\r\n#") != std::string::npos)
      return Error(Code::kInvalid, "\"" + name + "\" cannot stand in /etc/hosts");
  return {};
}

fs::path KeptIn(const fs::path& bundle, size_t index) {
  return bundle / "kept" / std::to_string(index);
}

Result<void> MakeBundle(const InstanceSpec& spec, const fs::path& bundle, CrunConfig config) {
  ::umask(0);
  TRY(MakeDirectories(bundle, 0711));
  TRY(MakeDirectories(bundle / "rootfs", 0711));
  config.root = bundle / "rootfs";
  config.hostname = spec.hostname.empty() ? spec.id.Short() : spec.hostname;
  config.ids = spec.ids;
  config.limits = spec.limits;
  for (const platform::Scratch& scratch : spec.scratch)
    if (!scratch.kept) config.scratch.push_back(scratch);
  config.network_namespace = spec.network_namespace;

  RootOptions options;
  options.directories = MountPoints(config);
  if (!spec.secrets.empty()) options.directories.push_back("/run/secrets");
  for (const platform::Scratch& scratch : spec.scratch)
    if (scratch.kept) options.directories.push_back(scratch.path);
  for (const platform::VolumeBind& volume : spec.volumes) options.directories.push_back(volume.path);
  const std::string contents[] = {HostsFile(spec),
                                  "# No name service: what this instance uses stands in /etc/hosts.\n",
                                  config.hostname + "\n"};
  for (const std::string& path : InstanceFiles())
    options.files.emplace_back(path, contents[options.files.size()]);
  options.staging = bundle / "rootfs";
  InstanceRoot root = TRY(MakeRoot(spec.root, spec.ids, spec.process.user, options));
  config.user = root.user;
  TRY(AttachMount(root.mount.get(), bundle / "rootfs"));
  if (!spec.secrets.empty()) {
    TRY(MakeSecrets(spec, root.user, bundle / "secrets"));
    config.binds.push_back({bundle / "secrets", "/run/secrets", false, true});
  }
  TRY(MakeKept(spec, bundle, config));
  TRY(MakeVolumes(spec, root.user, bundle, config));
  if (!spec.network_namespace.empty()) {
    // A new sysfs shows the devices of a network namespace, and only its owner may make one: not the
    // instance.
    TRY(MakeSys(spec.network_namespace, bundle / "sys"));
    config.sys = CrunConfig::Bind{bundle / "sys", "/sys", false, true};
  }
  return WriteFileAtomic(bundle / "config.json", RenderJson(RenderCrunConfig(config)), 0600,
                         Durability::kNone);
}

Result<void> UnmountBundle(const fs::path& bundle) {
  for (const char* mount : {"rootfs", "secrets", "sys"}) TRY(Unmount(bundle / mount));
  for (const char* several : {"kept", "volumes"}) {
    auto mounts = ListDirectory(bundle / several);
    if (!mounts && mounts.error().code() != Code::kNotFound) return std::move(mounts).error();
    if (mounts)
      for (const std::string& mount : *mounts) TRY(Unmount(bundle / several / mount));
  }
  return {};
}

}  // namespace ingot::adapters
