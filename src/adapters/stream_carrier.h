// Carries standard streams between descriptors of ours and pipes of a child: a runtime gives the streams it
// is handed to the container's user, and ours (a file, a terminal) must stay what they are.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "platform/runtime.h"

namespace ingot::adapters {

class StreamCarrier {
 public:
  static Result<StreamCarrier> Make(const platform::SandboxSpec::Streams& ours);

  // The child's ends, until CloseTheirs, once it has them.
  int input() const { return their_input_.get(); }
  int output() const { return their_output_.get(); }
  int error() const { return their_error_.get(); }
  void CloseTheirs();

  // Until the child has ended (`pidfd`) and what it wrote is carried; false when the time is over before.
  // Signals are passed to `signal`; a third SIGINT or SIGQUIT becomes SIGKILL, since a program may hear none.
  // A reader of ours that has gone is told to the child by a broken pipe.
  Result<bool> Run(int pidfd, std::chrono::steady_clock::time_point deadline,
                   const std::function<void(int)>& signal);

 private:
  struct Way {
    int from = -1;
    int to = -1;
    bool open = true;
    std::string waiting;  // read, and not written yet
  };
  bool Read(Way& way);
  bool Write(Way& way);
  int TakeSignal() const;

  platform::SandboxSpec::Streams ours_;
  Fd their_input_, their_output_, their_error_;
  Fd input_, output_, error_;
  int interrupts_ = 0;
};

}  // namespace ingot::adapters
