#include "adapters/stream_carrier.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace ingot::adapters {

namespace {

constexpr size_t kCarriedPiece = 1 << 16;
constexpr int kInterrupts = 3;

Result<std::pair<Fd, Fd>> MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return ErrnoError(errno, "make a pipe");
  return std::pair(Fd(ends[0]), Fd(ends[1]));
}

// Ours may be shared with other programs, so it is never made non-blocking: it is asked whether it would.
bool WouldNotBlock(int fd, short events) {
  struct pollfd p = {fd, events, 0};
  return ::poll(&p, 1, 0) > 0;
}

}  // namespace

Result<StreamCarrier> StreamCarrier::Make(const platform::SandboxSpec::Streams& ours) {
  StreamCarrier made;
  made.ours_ = ours;
  std::tie(made.their_input_, made.input_) = TRY(MakePipe());
  std::tie(made.output_, made.their_output_) = TRY(MakePipe());
  std::tie(made.error_, made.their_error_) = TRY(MakePipe());
  ::fcntl(made.input_.get(), F_SETFL, O_NONBLOCK);
  // Writing to who has gone is an error to look at, not the end of us.
  ::signal(SIGPIPE, SIG_IGN);
  return made;
}

void StreamCarrier::CloseTheirs() {
  their_input_.reset();
  their_output_.reset();
  their_error_.reset();
}

bool StreamCarrier::Read(Way& way) {
  std::array<char, kCarriedPiece> buffer;
  const ssize_t n = ::read(way.from, buffer.data(), buffer.size());
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (n <= 0) return false;
  way.waiting.assign(buffer.data(), static_cast<size_t>(n));
  return true;
}

bool StreamCarrier::Write(Way& way) {
  // What a pipe takes at once without blocking, if it takes any.
  const ssize_t n = ::write(way.to, way.waiting.data(), std::min<size_t>(way.waiting.size(), PIPE_BUF));
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (n < 0) return false;
  way.waiting.erase(0, static_cast<size_t>(n));
  return true;
}

int StreamCarrier::TakeSignal() const {
  struct signalfd_siginfo info {};
  return ::read(ours_.signals, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

Result<bool> StreamCarrier::Run(int pidfd, std::chrono::steady_clock::time_point deadline,
                                const std::function<void(int)>& signal) {
  std::array<Way, 3> ways = {Way{ours_.input, input_.get()}, Way{output_.get(), ours_.output},
                             Way{error_.get(), ours_.error}};
  std::array<Fd*, 3> pipes = {&input_, &output_, &error_};
  bool ended = false;
  while (!ended || ways[1].open || ways[2].open) {
    // Each way waits for its one end or its other: a slow reader holds up who writes, and nobody else.
    std::array<struct pollfd, 5> p{};
    for (size_t i = 0; i < ways.size(); ++i) {
      const bool writes = !ways[i].waiting.empty();
      p[i] = {!ways[i].open ? -1
              : writes      ? ways[i].to
                            : ways[i].from,
              static_cast<short>(writes ? POLLOUT : POLLIN), 0};
    }
    p[3] = {ended ? -1 : pidfd, POLLIN, 0};
    p[4] = {ended ? -1 : ours_.signals, POLLIN, 0};
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    const int n = ::poll(p.data(), p.size(), static_cast<int>(std::min<int64_t>(left, 1 << 30)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "carry standard streams");
    if (p[4].revents != 0) {
      const int number = TakeSignal();
      if ((number == SIGINT || number == SIGQUIT) && ++interrupts_ >= kInterrupts)
        signal(SIGKILL);
      else if (number != 0)
        signal(number);
    }
    for (size_t i = 0; i < ways.size(); ++i) {
      Way& way = ways[i];
      if (!way.open || p[i].revents == 0) continue;
      const bool writes = !way.waiting.empty();
      if (writes && !WouldNotBlock(way.to, POLLOUT)) continue;
      if (writes ? Write(way) : Read(way)) continue;
      way.open = false;
      pipes[i]->reset();
    }
    if (p[3].revents != 0) {
      ended = true;
      ways[0].open = false;
    }
  }
  return true;
}

}  // namespace ingot::adapters
