#include "adapters/seccomp.h"

#include <algorithm>
#include <string_view>

namespace ingot::adapters {

namespace {

// What ordinary programs use, by subject. Not here, so refused: mounting and namespaces, modules, kexec, bpf,
// perf, keyrings, clocks of the host, io_uring (its work is done beyond the filter), userfaultfd, NUMA
// placement, quotas, accounting, swapping, raw port access, open_by_handle_at, and calls of 16-bit and VM86
// days.
constexpr std::string_view kAllowed[] = {
    // Files and directories
    "access", "chdir", "chmod", "chown", "chown32", "close", "close_range", "copy_file_range", "creat", "dup",
    "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate", "fchdir", "fchmod",
    "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr",
    "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs",
    "fstatfs64", "fsync", "ftruncate", "ftruncate64", "futimesat", "getcwd", "getdents", "getdents64",
    "getxattr", "ioctl", "lchown", "lchown32", "lgetxattr", "link", "linkat", "listxattr", "llistxattr",
    "_llseek", "lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "mkdir", "mkdirat", "mknod",
    "mknodat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64",
    "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename",
    "renameat", "renameat2", "rmdir", "sendfile", "sendfile64", "setxattr", "splice", "stat", "stat64",
    "statfs", "statfs64", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee",
    "truncate", "truncate64", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64",
    "utimes", "vmsplice", "write", "writev", "cachestat", "name_to_handle_at",
    // Waiting and events
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "inotify_add_watch", "inotify_init",
    "inotify_init1", "inotify_rm_watch", "_newselect", "poll", "ppoll", "ppoll_time64", "pselect6",
    "pselect6_time64", "select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime",
    "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "io_cancel", "io_destroy", "io_getevents",
    "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit",
    // Memory
    "brk", "madvise", "membarrier", "memfd_create", "memfd_secret", "mincore", "mlock", "mlock2", "mlockall",
    "mmap", "mmap2", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc",
    "pkey_free", "pkey_mprotect", "process_madvise", "process_mrelease", "remap_file_pages",
    "map_shadow_stack",
    // Processes and threads
    "arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex",
    "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "getcpu", "getpgid",
    "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getrlimit", "get_robust_list", "getrusage",
    "getsid", "get_thread_area", "gettid", "ioprio_get", "ioprio_set", "kill", "pidfd_open",
    "pidfd_send_signal", "prctl", "prlimit64", "restart_syscall", "rseq", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64", "sched_setaffinity",
    "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp", "setpgid",
    "setpriority", "setrlimit", "set_robust_list", "setsid", "set_thread_area", "set_tid_address", "tgkill",
    "times", "tkill", "ugetrlimit", "uname", "vfork", "wait4", "waitid", "waitpid", "ptrace",
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
    // Users and groups
    "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32",
    "getresgid", "getresgid32", "getresuid", "getresuid32", "getuid", "getuid32", "setfsgid", "setfsgid32",
    "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32", "setregid", "setregid32",
    "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setuid", "setuid32",
    // Signals
    "alarm", "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sigaltstack",
    "sigprocmask", "sigreturn",
    // Time, read only
    "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep", "setitimer", "sysinfo", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime",
    "timer_settime64",
    // Sockets and pipes ("socket" has a rule of its own)
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "pipe",
    "pipe2", "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg",
    "sendto", "setsockopt", "shutdown", "socketcall", "socketpair",
    // System V and POSIX interprocess communication, within the instance's own namespace
    "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
    "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl",
    "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt", "shmget"};

struct Extra {
  std::string_view capability;
  std::vector<std::string_view> calls;
};

const std::vector<Extra>& Extras() {
  static const std::vector<Extra> extras = {
      {"DAC_READ_SEARCH", {"open_by_handle_at"}},
      {"SYS_ADMIN",
       {"bpf",       "clone",           "clone3",         "fanotify_init", "fsconfig",      "fsmount",
        "fsopen",    "fspick",          "lookup_dcookie", "mount",         "mount_setattr", "move_mount",
        "open_tree", "perf_event_open", "quotactl",       "quotactl_fd",   "setdomainname", "sethostname",
        "setns",     "syslog",          "umount",         "umount2",       "unshare"}},
      {"SYS_BOOT", {"reboot"}},
      {"SYS_CHROOT", {"chroot"}},
      {"SYS_MODULE", {"delete_module", "init_module", "finit_module"}},
      {"SYS_PACCT", {"acct"}},
      {"SYS_PTRACE", {"kcmp", "pidfd_getfd", "process_vm_readv", "process_vm_writev"}},
      {"SYS_RAWIO", {"iopl", "ioperm"}},
      {"SYS_TIME",
       {"settimeofday", "stime", "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime"}},
      {"SYS_TTY_CONFIG", {"vhangup"}},
      {"SYS_NICE", {"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"}},
      {"SYSLOG", {"syslog"}},
      {"BPF", {"bpf"}},
      {"PERFMON", {"perf_event_open"}},
  };
  return extras;
}

template <typename Names>
JsonObject Allow(const Names& names) {
  JsonArray list;
  for (const std::string_view name : names) list.emplace_back(boost::json::string_view(name));
  return JsonObject{{"names", std::move(list)}, {"action", "SCMP_ACT_ALLOW"}};
}

JsonObject AllowWhen(std::string_view name, unsigned index, uint64_t value, std::string_view op,
                     uint64_t value_two = 0) {
  JsonObject rule = Allow(std::vector<std::string_view>{name});
  rule["args"] = JsonArray{JsonObject{
      {"index", index}, {"value", value}, {"valueTwo", value_two}, {"op", boost::json::string_view(op)}}};
  return rule;
}

// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
constexpr uint64_t kNamespaceFlags = 0x7e020000;

}  // namespace

Json SeccompProfile(const std::vector<std::string>& capabilities) {
  const auto has = [&](std::string_view name) {
    return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
  };
  JsonArray rules;
  rules.emplace_back(Allow(kAllowed));
  // Domains PER_LINUX, PER_LINUX32, both with UNAME26, and the query.
  for (const uint64_t persona : {0x0ull, 0x8ull, 0x20000ull, 0x20008ull, 0xffffffffull})
    rules.emplace_back(AllowWhen("personality", 0, persona, "SCMP_CMP_EQ"));
  // AF_ALG (38) and AF_VSOCK (40) reach the kernel's crypto code and the hypervisor.
  rules.emplace_back(AllowWhen("socket", 0, 38, "SCMP_CMP_LT"));
  rules.emplace_back(AllowWhen("socket", 0, 39, "SCMP_CMP_EQ"));
  rules.emplace_back(AllowWhen("socket", 0, 40, "SCMP_CMP_GT"));
  if (!has("SYS_ADMIN")) {
    rules.emplace_back(AllowWhen("clone", 0, kNamespaceFlags, "SCMP_CMP_MASKED_EQ", 0));
    JsonObject clone3 = Allow(std::vector<std::string_view>{"clone3"});
    clone3["action"] = "SCMP_ACT_ERRNO";
    clone3["errnoRet"] = 38;  // ENOSYS
    rules.emplace_back(std::move(clone3));
  }
  for (const Extra& extra : Extras())
    if (has(extra.capability)) rules.emplace_back(Allow(extra.calls));
  return JsonObject{{"defaultAction", "SCMP_ACT_ERRNO"},
                    {"defaultErrnoRet", 1},
                    {"architectures",
                     JsonArray{
#if defined(__x86_64__)
                         "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"
#elif defined(__aarch64__)
                         "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"
#endif
                     }},
                    {"syscalls", std::move(rules)}};
}

}  // namespace ingot::adapters
