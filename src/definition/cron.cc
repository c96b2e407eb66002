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

struct CronItem {
  int first = 0;
  int last = 0;
  int step = 1;
};

std::optional<CronItem> ParseItem(std::string_view text, const Field& field) {
  CronItem item{field.least, field.most, 1};
  const std::vector<std::string_view> stepped = Split(text, '/');
  if (stepped.size() > 2) return std::nullopt;
  if (stepped.size() == 2) {
    const std::string_view step = stepped[1];
    const auto [end, ec] = std::from_chars(step.data(), step.data() + step.size(), item.step);
    if (ec != std::errc() || end != step.data() + step.size() || item.step < 1 || item.step > field.most)
      return std::nullopt;
  }
  if (stepped[0] == "*") return item;
  const std::vector<std::string_view> range = Split(stepped[0], '-');
  if (range.size() > 2 || (range.size() == 1 && stepped.size() == 2)) return std::nullopt;
  const std::optional<int> first = CronNumber(range.front(), field);
  const std::optional<int> last = CronNumber(range.back(), field);
  if (!first || !last || *first > *last) return std::nullopt;
  item.first = *first;
  item.last = *last;
  return item;
}

std::vector<std::string_view> FieldsOf(std::string_view text) {
  std::vector<std::string_view> fields;
  for (const std::string_view field : Split(text, ' '))
    if (!field.empty()) fields.push_back(field);
  return fields;
}

// Eight years: a 29th of February is never further away.
constexpr std::chrono::days kFurthest{8 * 366};

}  // namespace

Result<void> CheckCron(std::string_view text) {
  const std::vector<std::string_view> fields = FieldsOf(text);
  if (fields.size() != kFields.size())
    return Error(Code::kInvalid,
                 "expected five fields (minute, hour, day of the month, month, day of the week), such as "
                 "\"0 3 * * *\", not " +
                     Quoted(text));
  for (size_t i = 0; i < fields.size(); ++i) {
    for (const std::string_view item : Split(fields[i], ',')) {
      if (!ParseItem(item, kFields[i]))
        return Error(Code::kInvalid, Quoted(item) + " is not a " + kFields[i].name + " (" +
                                         std::to_string(kFields[i].least) + " to " +
                                         std::to_string(kFields[i].most) + ", *, a-b, */n)");
    }
  }
  return {};
}

Result<CronTimes> CronTimes::Parse(std::string_view text) {
  TRY(CheckCron(text));
  const std::vector<std::string_view> fields = FieldsOf(text);
  CronTimes cron;
  const auto set = [&](size_t field, const auto& each) {
    for (const std::string_view part : Split(fields[field], ',')) {
      const std::optional<CronItem> item = ParseItem(part, kFields[field]);
      for (int value = item->first; value <= item->last; value += item->step)
        each(static_cast<size_t>(value));
    }
  };
  set(0, [&](size_t value) { cron.minutes_.set(value); });
  set(1, [&](size_t value) { cron.hours_.set(value); });
  set(2, [&](size_t value) { cron.days_.set(value); });
  set(3, [&](size_t value) { cron.months_.set(value); });
  set(4, [&](size_t value) { cron.weekdays_.set(value % 7); });
  cron.any_day_ = fields[2].starts_with('*');
  cron.any_weekday_ = fields[4].starts_with('*');
  return cron;
}

bool CronTimes::DayFits(std::chrono::sys_days day) const {
  const std::chrono::year_month_day date(day);
  if (!months_.test(static_cast<unsigned>(date.month()))) return false;
  const bool of_month = days_.test(static_cast<unsigned>(date.day()));
  const bool of_week = weekdays_.test(std::chrono::weekday(day).c_encoding());
  return any_day_ || any_weekday_ ? of_month && of_week : of_month || of_week;
}

bool CronTimes::Fits(WallTime minute) const {
  const auto day = std::chrono::floor<std::chrono::days>(minute);
  const std::chrono::hh_mm_ss time(minute - day);
  return DayFits(day) && hours_.test(static_cast<size_t>(time.hours().count())) &&
         minutes_.test(static_cast<size_t>(time.minutes().count()));
}

std::optional<WallTime> CronTimes::Next(WallTime after) const {
  WallTime at = std::chrono::floor<std::chrono::minutes>(after) + std::chrono::minutes(1);
  const WallTime end = after + kFurthest;
  while (at <= end) {
    const auto day = std::chrono::floor<std::chrono::days>(at);
    if (!DayFits(day))
      at = day + std::chrono::days(1);
    else if (!hours_.test(static_cast<size_t>(std::chrono::hh_mm_ss(at - day).hours().count())))
      at = std::chrono::floor<std::chrono::hours>(at) + std::chrono::hours(1);
    else if (Fits(at))
      return at;
    else
      at += std::chrono::minutes(1);
  }
  return std::nullopt;
}

std::optional<WallTime> CronTimes::Last(WallTime after, WallTime until) const {
  WallTime at = std::chrono::floor<std::chrono::minutes>(until);
  const WallTime begin = std::max<WallTime>(after, until - kFurthest);
  while (at > begin) {
    const auto day = std::chrono::floor<std::chrono::days>(at);
    if (!DayFits(day))
      at = day - std::chrono::minutes(1);
    else if (!hours_.test(static_cast<size_t>(std::chrono::hh_mm_ss(at - day).hours().count())))
      at = std::chrono::floor<std::chrono::hours>(at) - std::chrono::minutes(1);
    else if (Fits(at))
      return at;
    else
      at -= std::chrono::minutes(1);
  }
  return std::nullopt;
}

}  // namespace ingot::definition
