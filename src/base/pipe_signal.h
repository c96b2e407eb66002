// PipeSignalHeld: no SIGPIPE for what this thread writes while it lives; a write to a pipe or socket whose
// other side has gone just fails with EPIPE.
//
// For code that cannot say MSG_NOSIGNAL and must not change the disposition of a process that may not be its
// own: write(2) to a child's input, a TLS library's own writes. signal(7), pthread_sigmask(3).
#pragma once

#include <signal.h>

#include <ctime>

namespace ingot {

// Ends in the thread that made it.
class PipeSignalHeld {
 public:
  PipeSignalHeld() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  PipeSignalHeld(const PipeSignalHeld&) = delete;
  PipeSignalHeld& operator=(const PipeSignalHeld&) = delete;
  ~PipeSignalHeld() {
    if (::sigismember(&before_, SIGPIPE) == 1) return;
    const struct timespec now {};
    while (::sigtimedwait(&pipe_, nullptr, &now) == SIGPIPE) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
};

}  // namespace ingot
