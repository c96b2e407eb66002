#include "adapters/crun_state.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

#include <cerrno>
#include <charconv>

#include "base/json.h"

namespace ingot::adapters {

Result<std::optional<CrunState>> ReadCrunState(const fs::path& state_directory) {
  auto text = ReadFile(state_directory / "status", 1 << 20);
  if (!text) {
    if (text.error().code() == Code::kNotFound) return std::optional<CrunState>();
    return std::move(text).error();
  }
  auto json = ParseJson(*text);
  if (!json || !json->is_object())
    return Error(Code::kCorrupt, "crun's state " + (state_directory / "status").string() + " is not JSON");
  const JsonObject& object = json->get_object();
  CrunState state;
  state.pid = static_cast<pid_t>(IntOr(object, "pid", 0));
  state.start_ticks = static_cast<uint64_t>(IntOr(object, "process-start-time", 0));
  state.waiting = ::access((state_directory / "exec.fifo").c_str(), F_OK) == 0;
  if (state.pid <= 0)
    return Error(Code::kCorrupt,
                 "crun's state " + (state_directory / "status").string() + " names no process");
  return std::optional(state);
}

std::optional<uint64_t> StartTicks(pid_t pid) {
  auto stat = ReadFile("/proc/" + std::to_string(pid) + "/stat", 1 << 16);
  if (!stat) return std::nullopt;
  // The second field is a name in parentheses that may itself hold any character.
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat->size()) return std::nullopt;
  const char state = (*stat)[name_end + 2];
  if (state == 'Z' || state == 'X') return std::nullopt;
  size_t at = name_end + 2;
  for (int field = 3; field < 22 && at != std::string::npos; ++field) {
    at = stat->find(' ', at);
    if (at != std::string::npos) ++at;
  }
  if (at == std::string::npos) return std::nullopt;
  uint64_t ticks = 0;
  std::from_chars(stat->data() + at, stat->data() + stat->size(), ticks);
  return ticks;
}

std::optional<Fd> OpenProcess(const CrunState& state) {
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, state.pid, 0)));
  if (!pidfd.valid()) return std::nullopt;
  // After opening, so that it is the descriptor's own process that is compared.
  const auto ticks = StartTicks(state.pid);
  if (!ticks || (state.start_ticks != 0 && *ticks != state.start_ticks)) return std::nullopt;
  return pidfd;
}

Result<void> ReleaseExecFifo(const fs::path& state_directory) {
  const fs::path fifo = state_directory / "exec.fifo";
  const int raw = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (raw < 0 && (errno == ENXIO || errno == ENOENT))
    return Error(Code::kConflict, "the container does not wait for its start");
  if (raw < 0) return ErrnoError(errno, "open " + fifo.string());
  Fd fd(raw);
  const char byte = 0;
  if (::write(fd.get(), &byte, 1) != 1) return ErrnoError(errno, "start the container");
  // Last: a process of ours that is killed before it leaves a started container with a fifo that nobody
  // reads, which the next Start takes away.
  ::unlink(fifo.c_str());
  return {};
}

}  // namespace ingot::adapters
