// The scrub: everything stored is read again in the background, slowly, and what is damaged is set aside and
// repaired from what the store has. docs/formats/store.md, "Scrub".
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "app/layout.h"
#include "app/open_store.h"
#include "base/clock.h"
#include "base/json.h"

namespace ingot::app {

// Where it stands: <root>/scrub.json, rewritten every few seconds.
struct ScrubState {
  std::string cursor;  // the last thing that was looked at, as "object <hex>"; empty: none yet
  WallTime began{};
  WallTime completed{};                                  // of the last whole round; 0: none
  uint64_t bytes = 0;                                    // of this round
  uint64_t found = 0;                                    // damaged, in this round
  uint64_t unknown = 0;                                  // that could not be read, in this round
  static Result<ScrubState> Read(const Layout& layout);  // kNotFound: it has not run
  Json ToJson() const;
};

class Scrubber {
 public:
  struct Options {
    uint64_t rate_bytes = uint64_t{20} << 20;
    Milliseconds every = std::chrono::hours(7 * 24);
    // What was found or repaired: "store.damaged", "store.repaired", "store.lost" with its details.
    std::function<void(const std::string& kind, JsonObject detail)> report;
  };
  // Begins on a thread of its own, at idle priority. One per root: it waits while another process scrubs.
  Scrubber(const Layout& layout, store::Store& store, const Clock& clock, Options options);
  ~Scrubber();

 private:
  struct Round;
  void Loop();
  bool Sleep(Milliseconds time);  // false: it is to end
  Result<void> RunRound(ScrubState& state);

  Layout layout_;
  store::Store& store_;
  const Clock& clock_;
  Options options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace ingot::app
