// UpstreamFetch: a blob that is being fetched from another registry, read by all who asked for it while it
// arrives. Its last byte is held back until its digest was found to be right, so nobody gets a whole blob
// that is not what its name says.
#pragma once

#include <condition_variable>
#include <functional>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/sync.h"
#include "registry/message.h"

namespace ingot::registry {

class UpstreamFetch final : public GrowingFile {
 public:
  // --- who fetches it ---
  // Once, when its size is known; `fd` reads what is written.
  void Begin(Fd fd, uint64_t size_bytes);
  void Grow(size_t bytes);
  // Once, at the end: everything is there and right, or not.
  void End(Result<void> outcome);

  // --- who reads it ---
  // Blocks until the size is known or it failed.
  Result<uint64_t> WaitForSize();
  // After WaitForSize.
  int fd() const override { return fd_.get(); }
  Grown Look(uint64_t beyond, std::function<void()> wake) override;

 private:
  struct State {
    std::optional<uint64_t> size_bytes;
    uint64_t written_bytes = 0;
    bool ended = false;
    std::optional<Error> error;
    std::vector<std::function<void()>> waiting;
  };
  // Tells all who wait.
  void Tell();

  Fd fd_;  // set before size_bytes is
  Sync<State> state_;
  std::condition_variable changed_;
};

}  // namespace ingot::registry
