// What a push, pull or copy shows while it goes on.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "app/terminal.h"
#include "registry/image_copy.h"
#include "registry/image_pull.h"

namespace ingot::app {

// A live line on a terminal; when piped a line every ten seconds. Any thread.
class TransferView {
 public:
  TransferView(bool quiet, std::string what) : what_(std::move(what)), progress_(quiet) {}
  void On(const registry::CopyProgress& progress) {
    Show(progress.done_bytes, progress.total_bytes, progress.blobs_done, progress.blobs_total, "blobs");
  }
  void On(const registry::PullProgress& progress) {
    Show(progress.done_bytes, progress.total_bytes, progress.layers_done, progress.layers_total, "layers");
  }
  // What takes its time at a registry.
  void Note(const std::string& text);
  void Clear();
  double elapsed_ms() const;

 private:
  using ViewClock = std::chrono::steady_clock;
  void Show(uint64_t done, uint64_t total, size_t pieces, size_t all, const char* kind);

  const std::string what_;
  const ViewClock::time_point begin_ = ViewClock::now();
  std::mutex mutex_;
  Progress progress_;
  ViewClock::time_point live_{};
  ViewClock::time_point line_ = begin_;
};

}  // namespace ingot::app
