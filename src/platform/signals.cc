#include "platform/signals.h"

#include <charconv>
#include <csignal>
#include <string>

namespace ingot::platform {

namespace {

constexpr std::pair<std::string_view, int> kSignals[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},     {"QUIT", SIGQUIT}, {"ILL", SIGILL},   {"TRAP", SIGTRAP},
    {"ABRT", SIGABRT}, {"BUS", SIGBUS},     {"FPE", SIGFPE},   {"KILL", SIGKILL}, {"USR1", SIGUSR1},
    {"SEGV", SIGSEGV}, {"USR2", SIGUSR2},   {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"CHLD", SIGCHLD}, {"CONT", SIGCONT},   {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},
    {"TTOU", SIGTTOU}, {"URG", SIGURG},     {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM},
    {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"PWR", SIGPWR},   {"SYS", SIGSYS}};

// The kernel's numbers; the C library keeps the first two for itself.
constexpr int kRealTimeMin = 34;
constexpr int kRealTimeMax = 64;

bool ParseNumber(std::string_view text, int& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<int> ParseSignal(std::string_view text) {
  const Error bad(Code::kInvalid,
                  "\"" + std::string(text.substr(0, 40)) +
                      "\" is not a signal; expected a name as SIGTERM or a number from 1 to 64");
  int number = 0;
  if (ParseNumber(text, number)) {
    if (number < 1 || number > kRealTimeMax) return bad;
    return number;
  }
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (const auto& [known, value] : kSignals)
    if (known == name) return value;
  int offset = 0;
  if (name == "RTMIN") return kRealTimeMin;
  if (name == "RTMAX") return kRealTimeMax;
  if (name.starts_with("RTMIN+") && ParseNumber(name.substr(6), offset) && offset >= 0 &&
      offset <= kRealTimeMax - kRealTimeMin)
    return kRealTimeMin + offset;
  if (name.starts_with("RTMAX-") && ParseNumber(name.substr(6), offset) && offset >= 0 &&
      offset <= kRealTimeMax - kRealTimeMin)
    return kRealTimeMax - offset;
  return bad;
}

}  // namespace ingot::platform
