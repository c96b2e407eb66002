#include "definition/analysis_check.h"

namespace ingot::definition {

namespace {

constexpr size_t kMostShown = 200;

}  // namespace

std::string Shortened(std::string_view text) {
  std::string out;
  bool blank = false;
  for (const char c : text) {
    // A query may be written on several lines, and is shown on one.
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (space) {
      blank = !out.empty();
      continue;
    }
    if (blank) out += ' ';
    blank = false;
    out += c;
  }
  if (out.size() <= kMostShown) return out;
  size_t end = kMostShown;
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xC0) == 0x80) --end;  // no half character
  return out.substr(0, end) + "…";
}

std::string SubjectOf(const ResolvedCheck& check) {
  if (check.kind == ResolvedCheck::Kind::kPrometheus) return Shortened(check.query) + " at " + check.url;
  if (check.kind == ResolvedCheck::Kind::kHttp) return check.url;
  std::string line;
  for (const std::string& word : check.command) line += (line.empty() ? "" : " ") + word;
  return Shortened(line);
}

std::string BoundOf(const ResolvedCheck& check) {
  if (check.kind == ResolvedCheck::Kind::kPrometheus) return check.condition.Render();
  if (check.kind == ResolvedCheck::Kind::kRun) return "exit code 0";
  return check.status == 0 ? "status 200 to 299" : "status " + std::to_string(check.status);
}

}  // namespace ingot::definition
