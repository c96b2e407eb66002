#include "adapters/crun_config.h"

#include <sys/resource.h>

#include <algorithm>

#include "adapters/seccomp.h"

namespace ingot::adapters {

namespace {

constexpr std::string_view kCapabilities[] = {"AUDIT_CONTROL",   "AUDIT_READ",   "AUDIT_WRITE",
                                              "BLOCK_SUSPEND",   "BPF",          "CHECKPOINT_RESTORE",
                                              "CHOWN",           "DAC_OVERRIDE", "DAC_READ_SEARCH",
                                              "FOWNER",          "FSETID",       "IPC_LOCK",
                                              "IPC_OWNER",       "KILL",         "LEASE",
                                              "LINUX_IMMUTABLE", "MAC_ADMIN",    "MAC_OVERRIDE",
                                              "MKNOD",           "NET_ADMIN",    "NET_BIND_SERVICE",
                                              "NET_BROADCAST",   "NET_RAW",      "PERFMON",
                                              "SETFCAP",         "SETGID",       "SETPCAP",
                                              "SETUID",          "SYSLOG",       "SYS_ADMIN",
                                              "SYS_BOOT",        "SYS_CHROOT",   "SYS_MODULE",
                                              "SYS_NICE",        "SYS_PACCT",    "SYS_PTRACE",
                                              "SYS_RAWIO",       "SYS_RESOURCE", "SYS_TIME",
                                              "SYS_TTY_CONFIG",  "WAKE_ALARM"};

template <typename... Words>
JsonArray List(Words... words) {
  return JsonArray{Json(words)...};
}

JsonObject Mount(std::string_view target, std::string_view type, std::string_view source, JsonArray options) {
  return JsonObject{{"destination", boost::json::string_view(target)},
                    {"type", boost::json::string_view(type)},
                    {"source", boost::json::string_view(source)},
                    {"options", std::move(options)}};
}

JsonObject BindMount(const CrunConfig::Bind& bind) {
  JsonArray options =
      List(bind.recursive ? "rbind" : "bind", bind.writable ? "rw" : "ro", "nosuid", "nodev", "private");
  if (bind.no_exec) options.emplace_back("noexec");
  return Mount(bind.target, "bind", bind.source.string(), std::move(options));
}

JsonArray Mounts(const CrunConfig& config) {
  JsonArray mounts;
  mounts.emplace_back(Mount("/proc", "proc", "proc", List("nosuid", "noexec", "nodev")));
  mounts.emplace_back(
      Mount("/dev", "tmpfs", "tmpfs", List("nosuid", "noexec", "strictatime", "mode=755", "size=64k")));
  mounts.emplace_back(Mount("/dev/pts", "devpts", "devpts",
                            List("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")));
  mounts.emplace_back(
      Mount("/dev/shm", "tmpfs", "shm", List("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")));
  if (config.sys)
    mounts.emplace_back(BindMount(*config.sys));
  else
    mounts.emplace_back(Mount("/sys", "sysfs", "sysfs", List("nosuid", "noexec", "nodev", "ro")));
  if (config.cgroup_mount)
    mounts.emplace_back(
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", List("nosuid", "noexec", "nodev", "relatime", "ro")));

  struct Inner {
    std::string target;
    JsonObject mount;
  };
  std::vector<Inner> inner;
  for (const platform::Scratch& scratch : config.scratch) {
    JsonArray options = List("nosuid", "nodev", "mode=1777");
    if (!scratch.exec) options.emplace_back("noexec");
    options.emplace_back("size=" + std::to_string(scratch.size_bytes));
    inner.push_back({scratch.path, Mount(scratch.path, "tmpfs", "tmpfs", std::move(options))});
  }
  for (const CrunConfig::Bind& bind : config.binds) inner.push_back({bind.target, BindMount(bind)});
  // A mount on /run comes before one on /run/secrets, or it would cover it.
  std::stable_sort(inner.begin(), inner.end(), [](const Inner& a, const Inner& b) {
    return std::count(a.target.begin(), a.target.end(), '/') <
           std::count(b.target.begin(), b.target.end(), '/');
  });
  for (Inner& one : inner) mounts.emplace_back(std::move(one.mount));
  return mounts;
}

JsonObject Resources(const CrunConfig& config) {
  JsonObject resources;
  // Only the devices that every process needs; crun adds null, zero, full, random, urandom, tty and the
  // terminals.
  resources["devices"] = JsonArray{JsonObject{{"allow", false}, {"access", "rwm"}}};
  if (config.limits.memory_bytes > 0) {
    const auto bytes = static_cast<int64_t>(std::min<uint64_t>(config.limits.memory_bytes, INT64_MAX));
    JsonObject memory{{"limit", bytes}};
    // Memory and swap together: none of it is swap.
    if (config.limit_swap) memory["swap"] = bytes;
    resources["memory"] = std::move(memory);
  }
  if (config.limits.millicpus > 0)
    resources["cpu"] =
        JsonObject{{"quota", int64_t{config.limits.millicpus} * 100}, {"period", uint64_t{100'000}}};
  if (config.limits.pids > 0) resources["pids"] = JsonObject{{"limit", int64_t{config.limits.pids}}};
  return resources;
}

JsonArray Namespaces(const CrunConfig& config) {
  JsonArray namespaces;
  for (const char* type : {"pid", "ipc", "uts", "mount", "cgroup"})
    namespaces.emplace_back(JsonObject{{"type", type}});
  if (!config.host_network) {
    JsonObject network{{"type", "network"}};
    if (!config.network_namespace.empty()) network["path"] = config.network_namespace.string();
    namespaces.emplace_back(std::move(network));
  }
  if (config.ids) namespaces.emplace_back(JsonObject{{"type", "user"}});
  return namespaces;
}

JsonObject ProcessObject(const CrunConfig& config) {
  JsonArray args;
  for (const std::string& arg : config.process.args) args.emplace_back(arg);
  std::map<std::string, std::string> environment = config.process.environment;
  environment.try_emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  environment.try_emplace("HOME", config.user.home);
  environment.try_emplace("HOSTNAME", config.hostname);
  JsonArray env;
  for (const auto& [key, value] : environment) env.emplace_back(key + "=" + value);

  JsonArray capabilities;
  for (const std::string& name : config.process.capabilities) capabilities.emplace_back("CAP_" + name);
  JsonObject sets{{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}};
  // A user other than root keeps the capabilities it was given across execve only when they are ambient.
  if (config.ids) {
    sets["inheritable"] = capabilities;
    sets["ambient"] = capabilities;
  }
  JsonArray groups;
  for (const gid_t gid : config.user.groups) groups.emplace_back(gid);

  struct rlimit files {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const uint64_t most = std::min<uint64_t>(files.rlim_max, 1'048'576);
  return JsonObject{
      {"terminal", false},
      {"user",
       JsonObject{{"uid", config.user.uid}, {"gid", config.user.gid}, {"additionalGids", std::move(groups)}}},
      {"args", std::move(args)},
      {"env", std::move(env)},
      {"cwd", config.process.workdir.empty() ? "/" : config.process.workdir},
      {"capabilities", std::move(sets)},
      {"rlimits", JsonArray{JsonObject{{"type", "RLIMIT_NOFILE"}, {"hard", most}, {"soft", most}},
                            JsonObject{{"type", "RLIMIT_CORE"}, {"hard", 0}, {"soft", 0}}}},
      {"noNewPrivileges", config.ids.has_value()}};
}

}  // namespace

std::vector<std::string> InstanceFiles() {
  return {"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"};
}

std::vector<std::string> MountPoints(const CrunConfig& config) {
  std::vector<std::string> out = {"/proc", "/dev", "/sys"};
  for (const platform::Scratch& scratch : config.scratch) out.push_back(scratch.path);
  return out;
}

Json RenderCrunConfig(const CrunConfig& config) {
  JsonObject linux_part{
      {"namespaces", Namespaces(config)},
      {"resources", Resources(config)},
      {"cgroupsPath", config.cgroup},
      {"seccomp", SeccompProfile(config.process.capabilities)},
      {"maskedPaths", List("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                           "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                           "/proc/interrupts", "/sys/firmware", "/sys/devices/virtual/powercap")},
      {"readonlyPaths", List("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")}};
  if (config.ids) {
    const JsonArray map{
        JsonObject{{"containerID", 0}, {"hostID", config.ids->first}, {"size", config.ids->count}}};
    linux_part["uidMappings"] = map;
    linux_part["gidMappings"] = map;
  }
  JsonObject annotations;
  // Taken in place of the profile; a crun that does not know it compiles the profile.
  if (!config.seccomp_filter.empty()) annotations["run.oci.seccomp_bpf_data"] = config.seccomp_filter;
  return JsonObject{{"ociVersion", "1.0.2"},
                    {"annotations", std::move(annotations)},
                    {"process", ProcessObject(config)},
                    {"root", JsonObject{{"path", config.root.string()}, {"readonly", config.read_only}}},
                    {"hostname", config.hostname},
                    {"mounts", Mounts(config)},
                    {"linux", std::move(linux_part)}};
}

const std::vector<std::string>& BuildCapabilities() {
  static const std::vector<std::string> set = {
      "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER", "FSETID",  "KILL",   "MKNOD",
      "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",      "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"};
  return set;
}

Result<std::string> ParseCapability(std::string_view text) {
  if (text.starts_with("CAP_")) text.remove_prefix(4);
  if (std::find(std::begin(kCapabilities), std::end(kCapabilities), text) == std::end(kCapabilities))
    return Error(Code::kInvalid, "\"" + std::string(text.substr(0, 100)) +
                                     "\" is not a Linux capability; one is NET_BIND_SERVICE");
  return std::string(text);
}

}  // namespace ingot::adapters
