#include "adapters/conmon.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <sstream>

#include "base/json.h"
#include "base/subprocess.h"

namespace ingot::adapters {

namespace {

constexpr Milliseconds kCreateTimeout{60'000};

// One line from the pipe, or what came before its end.
Result<std::string> ReadLine(int fd, Milliseconds timeout) {
  std::string out;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (out.size() < (1u << 20)) {
    struct pollfd p = {fd, POLLIN, 0};
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    const int n = ::poll(&p, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "wait for conmon");
    if (n == 0)
      return Error(Code::kTimeout, "crun did not create the container within " +
                                       std::to_string(timeout.count() / 1000) + " s");
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read from conmon");
    if (got == 0) return out;
    out.append(buffer.data(), static_cast<size_t>(got));
    if (const size_t end = out.find('\n'); end != std::string::npos) return out.substr(0, end);
  }
  return out;
}

// "2026-01-01T…Z: crun: executable file `x` not found" → "executable file `x` not found".
std::string CrunWords(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  for (const std::string_view marker : {"crun: ", "[crun:"})
    if (const size_t at = text.find(marker); at != std::string::npos && at < 64 && marker == "crun: ")
      text.erase(0, at + marker.size());
  return text;
}

std::string CommandLine(const std::string& pid) {
  return ReadFile("/proc/" + pid + "/cmdline", 1 << 20).value_or("");
}

bool IsConmonOf(const std::string& command_line, const std::string& option, const std::string& value) {
  return command_line.find("conmon") < 256 &&
         command_line.find(std::string("\0", 1) + option + std::string("\0", 1) + value +
                           std::string("\0", 1)) != std::string::npos;
}

}  // namespace

Result<pid_t> CreateByConmon(const ConmonStart& start) {
  const fs::path crun = TRY(FindProgram("crun"));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return ErrnoError(errno, "make a pipe");
  Fd ours(ends[0]);
  Fd theirs(ends[1]);
  Fd null = TRY(OpenFile("/dev/null", O_RDWR));
  Command command;
  command.argv = {"conmon",
                  "--api-version",
                  "1",
                  "-c",
                  start.name,
                  "-u",
                  start.name,
                  "-r",
                  crun.string(),
                  "--runtime-arg",
                  "--root=" + start.crun_root.string(),
                  "--runtime-arg",
                  "--cgroup-manager=cgroupfs",
                  "-b",
                  start.bundle.string(),
                  "-p",
                  (start.bundle / "pid").string(),
                  "-P",
                  (start.bundle / "conmon.pid").string(),
                  "-l",
                  "k8s-file:" + start.log.string(),
                  "--exit-dir",
                  start.exit_dir.string(),
                  "--full-attach",
                  "--no-sync-log",
                  "--log-level",
                  "error"};
  command.env = std::map<std::string, std::string>{
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"_OCI_SYNCPIPE", "3"}};
  command.cwd = start.bundle;
  command.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {theirs.get(), 3}, {start.lock, 4}};
  command.mount_namespace = start.mount_namespace;
  command.new_session = true;
  Child child = TRY(Spawn(command));
  theirs.reset();
  auto line = ReadLine(ours.get(), kCreateTimeout);
  // It forks and ends at once; its child is the one that stays.
  const auto ended = Wait(child, Milliseconds(5000));
  if (!line) return std::move(line).error();
  if (line->empty())
    return Error(Code::kFailed, "conmon ended without a word (" +
                                    (ended ? ended->Describe() : ended.error().message()) +
                                    "); is the log directory " + start.log.parent_path().string() +
                                    " writable and its disk not full?");
  auto json = ParseJson(*line);
  if (!json || !json->is_object()) return Error(Code::kFailed, "conmon said what it should not: " + *line);
  const JsonObject& object = json->get_object();
  const int64_t pid = IntOr(object, "data", IntOr(object, "pid", -1));
  if (pid <= 0)
    return Error(Code::kFailed,
                 "crun cannot create the container: " + CrunWords(StringOr(object, "message", "?")));
  return static_cast<pid_t>(pid);
}

std::optional<Fd> OpenConmon(const fs::path& bundle, const std::string& name) {
  auto text = ReadFile(bundle / "conmon.pid", 64);
  if (!text) return std::nullopt;
  pid_t pid = 0;
  std::from_chars(text->data(), text->data() + text->size(), pid);
  if (pid <= 0) return std::nullopt;
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid() || !IsConmonOf(CommandLine(std::to_string(pid)), "-c", name)) return std::nullopt;
  return pidfd;
}

std::optional<Fd> FindConmon(const fs::path& bundle) {
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return std::nullopt;
  std::optional<Fd> found;
  while (const dirent* entry = ::readdir(proc)) {
    const std::string name = entry->d_name;
    if (name.empty() || name[0] < '1' || name[0] > '9') continue;
    if (!IsConmonOf(CommandLine(name), "-b", bundle.string())) continue;
    Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, std::atoi(name.c_str()), 0)));
    if (pidfd.valid()) found = std::move(pidfd);
  }
  ::closedir(proc);
  return found;
}

Result<std::optional<int>> ReadExitCode(const fs::path& exit_dir, const std::string& name) {
  auto text = ReadFile(exit_dir / name, 64);
  if (!text) {
    if (text.error().code() == Code::kNotFound) return std::optional<int>();
    return std::move(text).error();
  }
  int code = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), code);
  if (error != std::errc() || end == text->data())
    return Error(Code::kCorrupt, "the exit file of " + name + " holds no number");
  return std::optional(code);
}

Result<void> RotateLog(const fs::path& log, const fs::path& bundle, int keep) {
  const auto numbered = [&](int n) { return n == 0 ? log.string() : log.string() + "." + std::to_string(n); };
  for (int n = std::max(keep, 1) - 1; n >= 0; --n)
    if (::rename(numbered(n).c_str(), numbered(n + 1).c_str()) < 0 && errno != ENOENT)
      return ErrnoError(errno, "rename " + numbered(n));
  const int raw = ::open((bundle / "ctl").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (raw >= 0) {
    const Fd fd(raw);
    TRY(WriteAll(fd.get(), "2 0 0\n"));
  } else if (errno != ENOENT && errno != ENXIO && errno != ENOTDIR) {
    return ErrnoError(errno, "tell conmon of its new log");
  }
  if (keep == 0) ::unlink(numbered(1).c_str());
  return {};
}

std::string TailOfLog(const fs::path& log, size_t bytes) {
  auto fd = OpenFile(log, O_RDONLY);
  if (!fd) return "";
  struct stat st {};
  if (::fstat(fd->get(), &st) < 0) return "";
  const off_t from = std::max<off_t>(0, st.st_size - static_cast<off_t>(bytes));
  std::string raw(bytes, '\0');
  const ssize_t n = ::pread(fd->get(), raw.data(), raw.size(), from);
  if (n <= 0) return "";
  raw.resize(static_cast<size_t>(n));
  std::istringstream in(raw);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    // "2026-01-01T00:00:00.000000000+00:00 stderr F message"
    size_t at = 0;
    for (int field = 0; field < 3 && at != std::string::npos; ++field) {
      at = line.find(' ', at);
      if (at != std::string::npos) ++at;
    }
    if (at == std::string::npos) continue;
    out += (out.empty() ? "" : "\n") + line.substr(at);
  }
  return out;
}

}  // namespace ingot::adapters
