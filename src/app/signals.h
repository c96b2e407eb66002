// How a verb that stays in the foreground waits, and what it says meanwhile.
#pragma once

#include <signal.h>

#include <memory>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"

namespace ingot::app {

// SIGTERM, SIGINT and SIGUSR1 as a descriptor; SIGPIPE is ignored. To be called before any thread exists, so
// that every thread inherits the mask.
Result<Fd> WatchSignals();
// Blocks; the number.
int WaitForSignal(const Fd& signals);

// SIGINT and SIGTERM while it lives, for a verb that has something to put away first. Another one of the same
// kind ends the program at once, as without this; so does the first, when `grace` is over and this still
// lives. One at a time.
class Interruption {
 public:
  static Result<std::unique_ptr<Interruption>> Watch(Milliseconds grace);
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  // Readable, for ever, once one has come. Ours.
  int fd() const { return come_.get(); }
  // Which has come; 0: none.
  int number() const;

 private:
  Interruption() = default;
  Fd come_;
  Fd tell_;  // a signal's handler writes to it
  Fd done_;
  Fd end_;
  struct sigaction former_int_ {};
  struct sigaction former_term_ {};
  std::thread watch_;
};

// One line on stderr, with the time.
void LogToStderr(std::string_view text);

}  // namespace ingot::app
