// LateCloser: closes descriptors in a thread of its own. The last one of a file without a name frees its
// blocks and pages, some 0.3 ms per megabyte: nobody who waits for an answer should wait for that.
#pragma once

#include <condition_variable>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/sync.h"

namespace ingot {

// Any thread. The thread is started when first needed.
class LateCloser {
 public:
  LateCloser() = default;
  // Returns when all are closed.
  ~LateCloser();
  LateCloser(const LateCloser&) = delete;
  LateCloser& operator=(const LateCloser&) = delete;

  // An invalid one is let go.
  void Close(Fd fd);

 private:
  struct State {
    std::vector<Fd> waiting;
    bool stopping = false;
    std::thread thread;
  };
  void Loop();

  Sync<State> state_;
  std::condition_variable changed_;
};

}  // namespace ingot
