#include "app/signals.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <tuple>
#include <utility>

namespace ingot::app {

namespace {

// All that a handler may reach.
std::atomic<int> interruption_pipe{-1};
std::atomic<int> interruption_number{0};

void OnInterruption(int number) {
  const int before = errno;
  interruption_number = number;
  static_cast<void>(!::write(interruption_pipe, "", 1));
  errno = before;
}

Result<std::pair<Fd, Fd>> MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "make a pipe");
  return std::pair(Fd(ends[0]), Fd(ends[1]));
}

}  // namespace

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

Result<std::unique_ptr<Interruption>> Interruption::Watch(Milliseconds grace) {
  std::unique_ptr<Interruption> made(new Interruption);
  std::tie(made->come_, made->tell_) = TRY(MakePipe());
  std::tie(made->done_, made->end_) = TRY(MakePipe());
  interruption_number = 0;
  interruption_pipe = made->tell_.get();
  struct sigaction action {};
  action.sa_handler = OnInterruption;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, &made->former_int_);
  ::sigaction(SIGTERM, &action, &made->former_term_);
  made->watch_ = std::thread([come = made->come_.get(), done = made->done_.get(), grace] {
    std::array<struct pollfd, 2> p = {{{come, POLLIN, 0}, {done, POLLIN, 0}}};
    while (::poll(p.data(), p.size(), -1) < 0 && errno == EINTR) {
    }
    if (p[1].revents != 0) return;
    const int ready = ::poll(&p[1], 1, static_cast<int>(grace.count()));
    if (ready != 0) return;
    static_cast<void>(!::write(STDERR_FILENO, "interrupted\n", 12));
    ::_exit(128 + interruption_number);
  });
  return made;
}

Interruption::~Interruption() {
  if (!watch_.joinable()) return;
  end_.reset();
  watch_.join();
  ::sigaction(SIGINT, &former_int_, nullptr);
  ::sigaction(SIGTERM, &former_term_, nullptr);
  interruption_pipe = -1;
}

int Interruption::number() const {
  return interruption_number;
}

void LogToStderr(std::string_view text) {
  std::fprintf(stderr, "%s %.*s\n", RenderTime(SystemClock().Now()).c_str(), static_cast<int>(text.size()),
               text.data());
}

}  // namespace ingot::app
