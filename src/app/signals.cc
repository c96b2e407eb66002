#include "app/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/clock.h"

namespace ingot::app {

Result<Fd> WatchSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "watch for signals");
  return Fd(fd);
}

int WaitForSignal(const Fd& signals) {
  struct signalfd_siginfo info {};
  while (::read(signals.get(), &info, sizeof info) < 0 && errno == EINTR) {
  }
  return static_cast<int>(info.ssi_signo);
}

void LogToStderr(std::string_view text) {
  std::fprintf(stderr, "%s %.*s\n", RenderTime(SystemClock().Now()).c_str(), static_cast<int>(text.size()),
               text.data());
}

}  // namespace ingot::app
