#include "build/dockerfile_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "build/dockerfile_text.h"

namespace ingot::build {
namespace {

Error InvalidFlag(std::string message) {
  return Error(Code::kInvalid, std::move(message));
}

template <typename T>
std::optional<T> CheckedNumber(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

constexpr std::array<std::pair<std::string_view, double>, 8> kUnits = {
    {{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"μs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};

// The nanoseconds of "1h30m", without a sign; nullopt when malformed or above 292 years.
std::optional<double> DurationNanoseconds(std::string_view rest) {
  if (rest == "0") return 0;
  if (rest.empty()) return std::nullopt;
  double total = 0;
  while (!rest.empty()) {
    const size_t digits = std::min(rest.size(), rest.find_first_not_of("0123456789."));
    const std::string_view number = rest.substr(0, digits);
    double value = 0;
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), value, std::chars_format::fixed);
    if (number.empty() || error != std::errc() || end != number.data() + number.size()) return std::nullopt;
    rest.remove_prefix(digits);
    const std::string_view unit = rest.substr(0, std::min(rest.size(), rest.find_first_of("0123456789.")));
    const auto known =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& u) { return u.first == unit; });
    if (known == kUnits.end()) return std::nullopt;
    total += value * known->second;
    rest.remove_prefix(unit.size());
  }
  if (total > 9.2e18) return std::nullopt;
  return total;
}

}  // namespace

Result<std::chrono::nanoseconds> ParseGoDuration(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::optional<double> total =
      DurationNanoseconds(negative || text.starts_with('+') ? text.substr(1) : text);
  if (!total)
    return InvalidFlag(fmt::format("{} is not a duration; write 30s, 1m30s or 500ms", QuoteShort(text)));
  const std::chrono::nanoseconds result(static_cast<int64_t>(*total));
  if (result.count() == 0) return result;
  if (negative || result < std::chrono::milliseconds(1)) {
    return InvalidFlag(fmt::format("{} is less than 1ms", QuoteShort(text)));
  }
  return result;
}

Result<std::vector<std::string>> ParseExposedPort(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string protocol = slash == std::string_view::npos ? "tcp" : Lower(text.substr(slash + 1));
  const std::string_view range = text.substr(0, slash);
  if (range.find(':') != std::string_view::npos) {
    return InvalidFlag(
        fmt::format("{} names a host port; EXPOSE takes the port inside the image only, a route in the "
                    "definition makes it reachable",
                    QuoteShort(text)));
  }
  const size_t dash = range.find('-');
  const std::optional<unsigned> first = CheckedNumber<unsigned>(range.substr(0, dash));
  const std::optional<unsigned> last =
      dash == std::string_view::npos ? first : CheckedNumber<unsigned>(range.substr(dash + 1));
  const bool known = protocol == "tcp" || protocol == "udp" || protocol == "sctp";
  if (!first || !last || *first == 0 || *last > 65535 || *first > *last || !known) {
    return InvalidFlag(fmt::format("{} is not a port; write 80, 53/udp or 8000-8010/tcp", QuoteShort(text)));
  }
  std::vector<std::string> ports;
  for (unsigned port = *first; port <= *last; ++port) ports.push_back(fmt::format("{}/{}", port, protocol));
  return ports;
}

Result<void> CheckChmod(std::string_view mode) {
  const bool octal = mode.find_first_not_of("01234567") == std::string_view::npos;
  if (octal && (mode.size() <= 4 || (mode.size() == 5 && mode[0] == '0'))) return {};
  return InvalidFlag(fmt::format("--chmod={} is not supported: write the mode in octal, as --chmod=0755",
                                 std::string(mode.substr(0, 100))));
}

Result<void> CheckSignal(std::string_view signal) {
  if (const auto number = CheckedNumber<unsigned>(signal)) {
    if (*number >= 1 && *number <= 64) return {};
    return InvalidFlag(fmt::format("{} is not a signal number; signals are 1 to 64", QuoteShort(signal)));
  }
  static constexpr std::array<std::string_view, 35> kNames = {
      "ABRT", "ALRM", "BUS",  "CHLD", "CLD",  "CONT", "FPE",    "HUP",    "ILL",  "INT",  "IO",   "IOT",
      "KILL", "PIPE", "POLL", "PROF", "PWR",  "QUIT", "SEGV",   "STKFLT", "STOP", "SYS",  "TERM", "TRAP",
      "TSTP", "TTIN", "TTOU", "URG",  "USR1", "USR2", "VTALRM", "WINCH",  "XCPU", "XFSZ", "RTMIN"};
  const std::string upper = Upper(signal);
  std::string_view name = upper;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  if (std::find(kNames.begin(), kNames.end(), name) != kNames.end() || name == "RTMAX") return {};
  const bool above_minimum = name.starts_with("RTMIN+");
  if (above_minimum || name.starts_with("RTMAX-")) {
    const auto offset = CheckedNumber<unsigned>(name.substr(6));
    if (offset && *offset >= 1 && *offset <= (above_minimum ? 15u : 14u)) return {};
  }
  return InvalidFlag(
      fmt::format("{} is not a signal; write a name as SIGTERM or a number", QuoteShort(signal)));
}

Result<void> CheckAddSource(std::string_view source) {
  const std::string lower = Lower(source.substr(0, 16));
  const auto begins = [&](std::string_view prefix) { return lower.starts_with(prefix); };
  const std::string shown(source.substr(0, 100));
  if (begins("git://") || begins("ssh://") || begins("git@") ||
      ((begins("http://") || begins("https://")) &&
       (source.ends_with(".git") || source.find(".git#") != source.npos))) {
    return Error(
        Code::kUnsupported,
        fmt::format("ADD of the git repository {} is not supported: a build must not depend on what a remote "
                    "holds today; keep a checkout in the build context and COPY it",
                    shown));
  }
  if (begins("http://") || begins("https://") || begins("ftp://")) {
    return Error(
        Code::kUnsupported,
        fmt::format("ADD of the URL {} is not supported: a build must not depend on what a server holds "
                    "today; keep the file in the build context and COPY it",
                    shown));
  }
  return {};
}

Result<void> CheckNoNul(std::string_view text) {
  if (text.find('\0') == std::string_view::npos) return {};
  return InvalidFlag("the instruction holds a NUL byte; is this a text file?");
}

}  // namespace ingot::build
