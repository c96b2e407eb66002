#include "app/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace ingot::app {

namespace {

bool ColourWanted() {
  static const bool wanted = [] {
    const char* term = std::getenv("TERM");
    return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr && term != nullptr &&
           std::string_view(term) != "dumb";
  }();
  return wanted;
}

// Terminal columns taken by text: escape sequences count nothing, a UTF-8 sequence counts one.
size_t Width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\033') {
      while (i < text.size() && text[i] != 'm') ++i;
    } else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
      ++width;
    }
  }
  return width;
}

}  // namespace

std::string Paint(Colour colour, std::string_view text) {
  if (!ColourWanted() || colour == Colour::kNone) return std::string(text);
  const char* code = "";
  switch (colour) {
    case Colour::kGreen:
      code = "32";
      break;
    case Colour::kRed:
      code = "31";
      break;
    case Colour::kYellow:
      code = "33";
      break;
    case Colour::kBlue:
      code = "36";
      break;
    case Colour::kDim:
      code = "2";
      break;
    case Colour::kBold:
      code = "1";
      break;
    case Colour::kNone:
      break;
  }
  return std::string("\033[") + code + "m" + std::string(text) + "\033[0m";
}

std::string RenderTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      line += r == 0 ? Paint(Colour::kDim, rows[r][i]) : rows[r][i];
      if (i + 1 < rows[r].size()) line += std::string(widths[i] - Width(rows[r][i]) + 2, ' ');
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + "\n";
  }
  return out;
}

std::string RenderAge(WallTime then, WallTime now) {
  const int64_t seconds = std::max<int64_t>(0, (now - then).count() / 1000);
  if (seconds < 120) return std::to_string(seconds) + "s";
  if (seconds < 120 * 60) return std::to_string(seconds / 60) + "m";
  if (seconds < 48 * 3600) return std::to_string(seconds / 3600) + "h";
  return std::to_string(seconds / 86400) + "d";
}

std::string RenderElapsed(double milliseconds) {
  char buffer[32];
  if (milliseconds < 10) {
    std::snprintf(buffer, sizeof buffer, "%.1f ms", milliseconds);
  } else if (milliseconds < 1000) {
    std::snprintf(buffer, sizeof buffer, "%.0f ms", milliseconds);
  } else {
    std::snprintf(buffer, sizeof buffer, "%.2f s", milliseconds / 1000);
  }
  return buffer;
}

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(!quiet && ::isatty(STDOUT_FILENO) == 1) {}

void Progress::Live(std::string_view text) {
  if (!terminal_) return;
  struct winsize size {};
  size_t columns = 100;
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10) columns = size.ws_col;
  std::string line(text.substr(0, text.find('\n')));
  if (Width(line) >= columns) line = line.substr(0, columns - 2) + "…";
  std::fprintf(stdout, "\r\033[K%s", line.c_str());
  std::fflush(stdout);
  drawn_ = true;
}

void Progress::Line(std::string_view text) {
  if (quiet_) return;
  Clear();
  std::fprintf(stdout, "%.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(stdout);
}

void Progress::Clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stdout);
  std::fflush(stdout);
  drawn_ = false;
}

}  // namespace ingot::app
