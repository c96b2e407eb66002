#include "app/transfer_view.h"

#include "base/units.h"

namespace ingot::app {

namespace {

constexpr std::chrono::milliseconds kShownEvery{100};
constexpr std::chrono::seconds kToldEvery{10};

}  // namespace

void TransferView::Show(uint64_t done, uint64_t total, size_t pieces, size_t all, const char* kind) {
  const std::lock_guard lock(mutex_);
  const auto now = ViewClock::now();
  const bool tell = now - line_ >= kToldEvery;
  if (!tell && now - live_ < kShownEvery) return;
  const double seconds = elapsed_ms() / 1000;
  const std::string text =
      what_ + ": " + RenderSize(done) + " of " + RenderSize(total) + ", " + std::to_string(pieces) + " of " +
      std::to_string(all) + " " + kind +
      (seconds < 0.5 ? ""
                     : ", " + RenderSize(static_cast<uint64_t>(static_cast<double>(done) / seconds)) + "/s");
  live_ = now;
  if (tell) {
    line_ = now;
    progress_.Line(text);
  } else {
    progress_.Live(text);
  }
}

void TransferView::Note(const std::string& text) {
  const std::lock_guard lock(mutex_);
  progress_.Line(Paint(Colour::kYellow, text));
}

void TransferView::Clear() {
  const std::lock_guard lock(mutex_);
  progress_.Clear();
}

double TransferView::elapsed_ms() const {
  return std::chrono::duration<double, std::milli>(ViewClock::now() - begin_).count();
}

}  // namespace ingot::app
