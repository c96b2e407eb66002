#include "app/hidden_input.h"

#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
namespace ingot::app {

namespace {

constexpr char kInterrupt = '\x03';

// A terminal that shows nothing, until it dies. Signals of the keyboard wait as long, or an interrupted
// program would leave it so.
class SilentTerminal {
 public:
  SilentTerminal() : is_terminal_(::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!is_terminal_) return;
    sigset_t keys;
    sigemptyset(&keys);
    for (const int number : {SIGTSTP, SIGTERM, SIGHUP}) sigaddset(&keys, number);
    ::sigprocmask(SIG_BLOCK, &keys, &mask_);
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    silent.c_cc[VEOL] = kInterrupt;  // read like any other letter, and at once
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  ~SilentTerminal() {
    if (!is_terminal_) return;
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    std::fputc('\n', stderr);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;
  bool is_terminal() const { return is_terminal_; }

 private:
  termios before_{};
  sigset_t mask_{};
  bool is_terminal_;
};

}  // namespace

Result<std::string> ReadHidden(const std::string& prompt, size_t limit_bytes) {
  const SilentTerminal terminal;
  if (terminal.is_terminal()) std::fputs(prompt.c_str(), stderr);
  std::string out;
  std::array<char, 65'536> piece{};
  bool more = true;
  while (more) {
    const ssize_t n = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read standard input");
    out.append(piece.data(), static_cast<size_t>(n));
    // A terminal gives a line at a time.
    more = n > 0 && out.size() <= limit_bytes &&
           !(terminal.is_terminal() && (out.ends_with('\n') || out.ends_with(kInterrupt)));
  }
  ::explicit_bzero(piece.data(), piece.size());
  if (out.size() > limit_bytes)
    return Error(Code::kInvalid,
                 "more than " + std::to_string(limit_bytes) + " bytes came on standard input");
  if (!terminal.is_terminal()) return out;
  if (out.find(kInterrupt) != std::string::npos) return Error(Code::kCancelled, "nothing was set");
  if (!out.ends_with('\n')) return Error(Code::kInvalid, "no line came from the terminal");
  out.pop_back();
  return out;
}

}  // namespace ingot::app
