// What people see: colour on a terminal only, aligned tables, a progress line that is redrawn in place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace ingot::app {

enum class Colour { kNone, kGreen, kRed, kYellow, kBlue, kDim, kBold };

// Wraps `text` in the colour when standard output is a terminal, NO_COLOR is unset and TERM is not "dumb".
std::string Paint(Colour colour, std::string_view text);

// Rows of equal length, the first one a heading; columns are aligned by what is visible.
std::string RenderTable(const std::vector<std::vector<std::string>>& rows);

// "3s", "4m", "2h", "5d": how long ago, for people.
std::string RenderAge(WallTime then, WallTime now);
// "4.1 ms", "230 ms", "2.31 s".
std::string RenderElapsed(double milliseconds);

// A line per finished step; on a terminal also one live line below them for what is going on.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // Replaces the live line (nothing when piped).
  void Live(std::string_view text);
  // A permanent line.
  void Line(std::string_view text);
  void Clear();

 private:
  bool quiet_;
  bool terminal_;
  bool drawn_ = false;
};

}  // namespace ingot::app
