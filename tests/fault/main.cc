// ingot_fault: runs a program and lets one of its system calls on files below a folder go wrong.
//
//   ingot_fault --below DIR --report FILE [--at N --do WHAT] [--seed S] -- COMMAND …
//
// Calls that change a file or folder below DIR, or make it durable, are numbered from 1 over all threads; the
// report has one line for each: number, call, path. WHAT happens at number N:
//
//   kill      the process is ended before the call; of a write, after half of its bytes
//   power     the same, and what was not durable by then is undone: bytes without fsync, names without fsync
//   of their
//             folder (manner of the loss by the seed)
//   short     a write takes half of its bytes and says so
//   EIO …     the call fails with this error, once
//   full      from this call on everything that takes room fails with ENOSPC, until the file DIR/../room
//   exists
//
// Exits as the command does (128 + signal). The command's children are not watched.
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "undo_log.h"

namespace ingot::fault {
namespace {

using Kind = UndoLog::Change::Kind;

struct Call {
  const char* name;
  enum Sort { kWrite, kSync, kSyncAll, kName, kTruncate, kOpen, kOther } sort;
};

const std::map<uint64_t, Call>& Calls() {
  static const std::map<uint64_t, Call> calls = {
      {SYS_write, {"write", Call::kWrite}},         {SYS_pwrite64, {"pwrite64", Call::kWrite}},
      {SYS_fsync, {"fsync", Call::kSync}},          {SYS_fdatasync, {"fdatasync", Call::kSync}},
      {SYS_syncfs, {"syncfs", Call::kSyncAll}},     {SYS_rename, {"rename", Call::kName}},
      {SYS_renameat, {"renameat", Call::kName}},    {SYS_renameat2, {"renameat2", Call::kName}},
      {SYS_unlink, {"unlink", Call::kName}},        {SYS_unlinkat, {"unlinkat", Call::kName}},
      {SYS_mkdir, {"mkdir", Call::kName}},          {SYS_mkdirat, {"mkdirat", Call::kName}},
      {SYS_rmdir, {"rmdir", Call::kName}},          {SYS_ftruncate, {"ftruncate", Call::kTruncate}},
      {SYS_openat, {"openat", Call::kOpen}},        {SYS_open, {"open", Call::kOpen}},
      {SYS_fallocate, {"fallocate", Call::kOther}},
  };
  return calls;
}

std::string LinkOf(const std::string& path) {
  std::error_code ec;
  return fs::read_symlink(path, ec).string();
}

std::string TextAt(pid_t pid, uint64_t address) {
  std::string text;
  while (text.size() < 4096) {
    errno = 0;
    const long word = ::ptrace(PTRACE_PEEKDATA, pid, address + text.size(), nullptr);
    if (errno != 0) return text;
    for (size_t i = 0; i < sizeof word; ++i) {
      const char c = static_cast<char>(word >> (8 * i));
      if (c == '\0') return text;
      text += c;
    }
  }
  return text;
}

// A call that counts, between its beginning and its end.
struct Pending {
  uint64_t number = 0;  // of the system call
  Call call{};
  fs::path path;
  fs::path to;
  std::string open_file;  // /proc/PID/fd/N
  UndoLog::Change change;
  bool failing = false;
  int error = 0;
  bool kill_after = false;
};

class Tracer {
 public:
  struct Options {
    fs::path below;
    fs::path report;
    uint64_t at = 0;
    std::string what;
    unsigned seed = 1;
  };
  explicit Tracer(Options options)
      : options_(std::move(options)),
        report_(options_.report),
        undo_(options_.below.string() + ".undo"),
        random_(options_.seed) {}

  int Run(char** command) {
    child_ = ::fork();
    if (child_ == 0) {
      if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(125);
      ::execvp(command[0], command);
      ::_exit(127);
    }
    int status = 0;
    if (::waitpid(child_, &status, 0) != child_ || !WIFSTOPPED(status)) {
      std::fputs("ingot_fault: this machine does not allow ptrace\n", stderr);
      return 125;
    }
    if (::ptrace(PTRACE_SETOPTIONS, child_, nullptr,
                 PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) != 0)
      return 125;
    ::ptrace(PTRACE_SYSCALL, child_, nullptr, nullptr);
    return Loop();
  }

 private:
  int Loop() {
    int status = 0;
    while (true) {
      const pid_t pid = ::waitpid(-1, &status, __WALL);
      if (pid < 0) return 125;
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        pending_.erase(pid);
        if (pid != child_) continue;
        break;
      }
      int signal = 0;
      if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        Syscall(pid);
      } else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
        signal = WSTOPSIG(status);
      }
      ::ptrace(PTRACE_SYSCALL, pid, nullptr, signal);
    }
    // No thread of it is left by now: its main thread is the last to be reported.
    if (cut_)
      for (const std::string& undone : undo_.Cut(static_cast<int>(options_.seed % 4), random_))
        report_ << "lost " << undone << "\n";
    report_.flush();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void Syscall(pid_t pid) {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      if (auto call = Begin(pid, info)) pending_[pid] = std::move(*call);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
      const auto found = pending_.find(pid);
      if (found == pending_.end()) return;
      End(pid, found->second, info.exit.rval);
      pending_.erase(found);
    }
  }

  bool Below(const fs::path& path) const {
    const std::string& text = path.native();
    const std::string& root = options_.below.native();
    return text.starts_with(root) && (text.size() == root.size() || text[root.size()] == '/');
  }

  fs::path PathAt(pid_t pid, uint64_t folder, uint64_t address) const {
    const std::string text = TextAt(pid, address);
    if (text.starts_with('/')) return fs::path(text).lexically_normal();
    const std::string base = static_cast<int>(folder) == AT_FDCWD
                                 ? LinkOf("/proc/" + std::to_string(pid) + "/cwd")
                                 : LinkOf("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(folder));
    return (fs::path(base) / text).lexically_normal();
  }

  // What a call is about; nothing when it does not count.
  std::optional<Pending> Look(pid_t pid, const __ptrace_syscall_info& info) const {
    const auto found = Calls().find(info.entry.nr);
    if (found == Calls().end()) return std::nullopt;
    const auto* args = info.entry.args;
    Pending call;
    call.number = info.entry.nr;
    call.call = found->second;
    switch (info.entry.nr) {
      case SYS_rename:
        call.path = PathAt(pid, static_cast<uint64_t>(AT_FDCWD), args[0]);
        call.to = PathAt(pid, static_cast<uint64_t>(AT_FDCWD), args[1]);
        break;
      case SYS_renameat:
      case SYS_renameat2:
        call.path = PathAt(pid, args[0], args[1]);
        call.to = PathAt(pid, args[2], args[3]);
        break;
      case SYS_unlink:
      case SYS_mkdir:
      case SYS_rmdir:
        call.path = PathAt(pid, static_cast<uint64_t>(AT_FDCWD), args[0]);
        break;
      case SYS_unlinkat:
      case SYS_mkdirat:
        call.path = PathAt(pid, args[0], args[1]);
        break;
      case SYS_open:
        if ((args[1] & O_CREAT) == 0) return std::nullopt;
        call.path = PathAt(pid, static_cast<uint64_t>(AT_FDCWD), args[0]);
        break;
      case SYS_openat:
        if ((args[2] & O_CREAT) == 0) return std::nullopt;
        call.path = PathAt(pid, args[0], args[1]);
        break;
      default:
        call.open_file = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(static_cast<int>(args[0]));
        call.path = LinkOf(call.open_file);
    }
    if (!Below(call.path)) return std::nullopt;
    // A file that is there already is not made.
    struct stat st {};
    if (call.call.sort == Call::kOpen && ::lstat(call.path.c_str(), &st) == 0) return std::nullopt;
    return call;
  }

  std::optional<Pending> Begin(pid_t pid, const __ptrace_syscall_info& info) {
    std::optional<Pending> call = Look(pid, info);
    if (!call) return call;
    ++count_;
    report_ << count_ << " " << call->call.name << " " << call->path.native() << (call->to.empty() ? "" : " ")
            << call->to.native() << std::endl;
    Remember(pid, info, *call);
    const bool now = count_ == options_.at;
    const std::string& what = options_.what;
    if (now && (what == "kill" || what == "power")) {
      cut_ = what == "power";
      if (call->call.sort == Call::kWrite && info.entry.args[2] > 1) {
        Halve(pid);
        call->kill_after = true;
      } else {
        ::kill(child_, SIGKILL);
      }
    } else if (now && what == "short") {
      if (call->call.sort == Call::kWrite && info.entry.args[2] > 1) Halve(pid);
    } else if (what == "full" && options_.at != 0 && count_ >= options_.at && TakesRoom(*call) &&
               !fs::exists(options_.below.parent_path() / "room")) {
      Fail(pid, *call, ENOSPC);
    } else if (now && (what == "EIO" || what == "ENOSPC")) {
      Fail(pid, *call, what == "EIO" ? EIO : ENOSPC);
    }
    return call;
  }

  static bool TakesRoom(const Pending& call) {
    switch (call.call.sort) {
      case Call::kWrite:
      case Call::kOpen:
      case Call::kOther:
        return true;
      case Call::kName:
        return call.number != SYS_unlink && call.number != SYS_unlinkat && call.number != SYS_rmdir;
      default:
        return false;
    }
  }

  void Halve(pid_t pid) {
    user_regs_struct regs{};
    ::ptrace(PTRACE_GETREGS, pid, nullptr, &regs);
    regs.rdx /= 2;
    ::ptrace(PTRACE_SETREGS, pid, nullptr, &regs);
  }

  // The kernel is given a call that does not exist; its answer is replaced at the end.
  void Fail(pid_t pid, Pending& call, int error) {
    user_regs_struct regs{};
    ::ptrace(PTRACE_GETREGS, pid, nullptr, &regs);
    regs.orig_rax = static_cast<unsigned long long>(-1);
    ::ptrace(PTRACE_SETREGS, pid, nullptr, &regs);
    call.failing = true;
    call.error = error;
  }

  void Remember(pid_t pid, const __ptrace_syscall_info& info, Pending& call) {
    if (options_.what != "power") return;
    const auto* args = info.entry.args;
    switch (info.entry.nr) {
      case SYS_write:
        call.change = undo_.BeforeWrite(call.open_file, OffsetOf(pid, static_cast<int>(args[0])), args[2]);
        break;
      case SYS_pwrite64:
        call.change = undo_.BeforeWrite(call.open_file, args[3], args[2]);
        break;
      case SYS_ftruncate:
        call.change = undo_.BeforeTruncate(call.open_file, args[1]);
        break;
      case SYS_open:
      case SYS_openat:
        call.change = undo_.BeforeName(Kind::kCreate, call.path);
        break;
      case SYS_mkdir:
      case SYS_mkdirat:
        call.change = undo_.BeforeName(Kind::kMakeFolder, call.path);
        break;
      case SYS_rmdir:
        call.change = undo_.BeforeName(Kind::kRemoveFolder, call.path);
        break;
      case SYS_unlinkat:
        call.change =
            undo_.BeforeName((args[2] & AT_REMOVEDIR) != 0 ? Kind::kRemoveFolder : Kind::kUnlink, call.path);
        break;
      case SYS_unlink:
        call.change = undo_.BeforeName(Kind::kUnlink, call.path);
        break;
      case SYS_rename:
      case SYS_renameat:
      case SYS_renameat2:
        call.change = undo_.BeforeName(Kind::kRename, call.path, call.to);
        break;
      default:
        break;
    }
  }

  static uint64_t OffsetOf(pid_t pid, int fd) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/fdinfo/" + std::to_string(fd));
    std::string word;
    uint64_t offset = 0;
    while (file >> word)
      if (word == "pos:") file >> offset;
    return offset;
  }

  void End(pid_t pid, Pending& call, int64_t result) {
    if (call.failing) {
      user_regs_struct regs{};
      ::ptrace(PTRACE_GETREGS, pid, nullptr, &regs);
      regs.rax = static_cast<unsigned long long>(-call.error);
      ::ptrace(PTRACE_SETREGS, pid, nullptr, &regs);
      return;
    }
    if (result >= 0) {
      undo_.Done(std::move(call.change));
      struct stat st {};
      if (call.call.sort == Call::kSyncAll) undo_.SyncedAll();
      if (call.call.sort == Call::kSync && ::stat(call.open_file.c_str(), &st) == 0)
        S_ISDIR(st.st_mode) ? undo_.SyncedFolder(call.path) : undo_.SyncedFile(st.st_ino);
    }
    if (call.kill_after) ::kill(child_, SIGKILL);
  }

  Options options_;
  std::ofstream report_;
  UndoLog undo_;
  std::mt19937 random_;
  pid_t child_ = -1;
  uint64_t count_ = 0;
  bool cut_ = false;
  std::map<pid_t, Pending> pending_;
};

int Main(int argc, char** argv) {
  Tracer::Options options;
  int i = 1;
  for (; i + 1 < argc && std::strcmp(argv[i], "--") != 0; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--below") options.below = fs::path(value).lexically_normal();
    if (name == "--report") options.report = value;
    if (name == "--at") options.at = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--do") options.what = value;
    if (name == "--seed") options.seed = static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
  }
  if (i + 1 >= argc || options.below.empty() || options.report.empty()) {
    std::fputs(
        "usage: ingot_fault --below DIR --report FILE [--at N --do kill|power|short|full|EIO|ENOSPC] "
        "[--seed S] -- COMMAND …\n",
        stderr);
    return 125;
  }
  return Tracer(options).Run(argv + i + 1);
}

}  // namespace
}  // namespace ingot::fault

int main(int argc, char** argv) {
  return ingot::fault::Main(argc, argv);
}
