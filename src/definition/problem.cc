#include "definition/problem.h"

#include <algorithm>
#include <tuple>

#include "base/units.h"

namespace ingot::definition {

std::string Problem::Render() const {
  if (line == 0) return file + ": " + message;
  return file + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + message;
}

void Problems::Add(Position at, std::string message) {
  // Enough that the first kMaxProblems in the order of the file are among them for any file a person wrote.
  constexpr size_t kCollected = 200;
  if (found_.size() < kCollected) found_.push_back({file_, at.line, at.column, std::move(message)});
}

std::vector<Problem> Problems::Take() && {
  const auto key = [](const Problem& p) { return std::tie(p.line, p.column); };
  std::stable_sort(found_.begin(), found_.end(),
                   [&](const Problem& a, const Problem& b) { return key(a) < key(b); });
  std::vector<Problem> out;
  for (Problem& problem : found_) {
    if (out.size() == kMaxProblems) break;
    if (std::find(out.begin(), out.end(), problem) == out.end()) out.push_back(std::move(problem));
  }
  return out;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates) {
  // The distance is a matrix of both lengths; nobody mistypes a name into a novel.
  if (name.size() > 64) return "";
  const std::string nearest = Nearest(name, candidates);
  return nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?";
}

std::string Quoted(std::string_view text) {
  constexpr size_t kLongest = 80;
  static constexpr char kHex[] = "0123456789abcdef";
  size_t shown = std::min(text.size(), kLongest);
  // Not inside a UTF-8 sequence.
  while (shown < text.size() && shown > 0 && (static_cast<unsigned char>(text[shown]) & 0xC0) == 0x80)
    --shown;
  std::string out = "\"";
  for (const char c : text.substr(0, shown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + (shown < text.size() ? "…\"" : "\"");
}

}  // namespace ingot::definition
