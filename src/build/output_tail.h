// What a program prints, cut into lines; the last of them are kept for an error message.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>

namespace ingot::build {

class OutputTail {
 public:
  explicit OutputTail(std::function<void(std::string_view line)> on_line) : on_line_(std::move(on_line)) {}

  // Bytes as they come. A line longer than 4 KiB is cut into several.
  void Write(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n' || pending_.size() >= kMaxLine) Flush();
      // A carriage return redraws a progress bar: only its last state counts.
      if (c == '\r') {
        redraw_ = true;
      } else if (c != '\n') {
        if (redraw_) pending_.clear();
        redraw_ = false;
        pending_ += c;
      }
    }
  }
  // The last line when it has no newline.
  void Flush() {
    redraw_ = false;
    if (pending_.empty()) return;
    on_line_(pending_);
    last_.push_back(std::move(pending_));
    pending_.clear();
    if (last_.size() > kKeep) last_.pop_front();
  }
  // ". Its last lines:\n  …", or that there were none.
  std::string Describe() const {
    if (last_.empty()) return ", and printed nothing";
    std::string text = ". Its last lines:";
    for (const std::string& line : last_) text += "\n  " + line;
    return text;
  }

 private:
  static constexpr size_t kKeep = 20;
  static constexpr size_t kMaxLine = 4096;
  std::function<void(std::string_view)> on_line_;
  std::string pending_;
  bool redraw_ = false;
  std::deque<std::string> last_;
};

}  // namespace ingot::build
