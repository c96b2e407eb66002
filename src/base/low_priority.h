// AtLowPriority: work that nobody waits for by the millisecond, done with what the processors have left.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <optional>
#include <thread>
#include <type_traits>

namespace ingot {

// In a thread of its own, since a process without rights can lower a priority but never raise it again.
// `work` must hold no lock that others wait for: they would wait for the processors too. nice(2), sched(7).
template <typename Work>
std::invoke_result_t<Work> AtLowPriority(Work work) {
  // Beside busy processes a sixtieth of a processor is left: slow, but it comes to an end.
  constexpr int kNice = 19;
  std::optional<std::invoke_result_t<Work>> done;
  std::thread thread([&] {
    // Of this thread alone, on Linux. What cannot be lowered is done as it is.
    static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice));
    done.emplace(work());
  });
  thread.join();
  return *std::move(done);
}

}  // namespace ingot
