#include "definition/cron.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "definition/problem.h"

namespace ingot::definition {

namespace {

struct Field {
  const char* name;
  int least;
  int most;
  const char* words;  // three letters each, standing for least, least + 1, …
};
constexpr std::array<Field, 5> kFields = {{{"minute", 0, 59, ""},
                                           {"hour", 0, 23, ""},
                                           {"day of the month", 1, 31, ""},
                                           {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                                           {"day of the week", 0, 7, "sunmontuewedthufrisat"}}};

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<int> CronNumber(std::string_view text, const Field& field) {
  int value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec == std::errc() && end == text.data() + text.size()) {
    if (value < field.least || value > field.most) return std::nullopt;
    return value;
  }
  std::string lower(text.substr(0, 4));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return static_cast<char>(c | 0x20); });
  const size_t at = lower.size() == 3 ? std::string_view(field.words).find(lower) : std::string_view::npos;
  if (at == std::string_view::npos || at % 3 != 0) return std::nullopt;
  return field.least + static_cast<int>(at / 3);
}

bool GoodItem(std::string_view item, const Field& field) {
  const std::vector<std::string_view> stepped = Split(item, '/');
  if (stepped.size() > 2) return false;
  if (stepped.size() == 2) {
    int step = 0;
    const std::string_view text = stepped[1];
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), step);
    if (ec != std::errc() || end != text.data() + text.size() || step < 1 || step > field.most) return false;
  }
  if (stepped[0] == "*") return true;
  const std::vector<std::string_view> range = Split(stepped[0], '-');
  if (range.size() > 2 || (range.size() == 1 && stepped.size() == 2)) return false;
  const std::optional<int> first = CronNumber(range.front(), field);
  const std::optional<int> last = CronNumber(range.back(), field);
  return first && last && *first <= *last;
}

}  // namespace

Result<void> CheckCron(std::string_view text) {
  std::vector<std::string_view> fields;
  for (const std::string_view field : Split(text, ' '))
    if (!field.empty()) fields.push_back(field);
  if (fields.size() != kFields.size())
    return Error(Code::kInvalid,
                 "expected five fields (minute, hour, day of the month, month, day of the week), such as "
                 "\"0 3 * * *\", not " +
                     Quoted(text));
  for (size_t i = 0; i < fields.size(); ++i) {
    for (const std::string_view item : Split(fields[i], ',')) {
      if (!GoodItem(item, kFields[i]))
        return Error(Code::kInvalid, Quoted(item) + " is not a " + kFields[i].name + " (" +
                                         std::to_string(kFields[i].least) + " to " +
                                         std::to_string(kFields[i].most) + ", *, a-b, */n)");
    }
  }
  return {};
}

}  // namespace ingot::definition
