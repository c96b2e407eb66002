// What may be a name: the rules behind the shapes of scalars.h.
#include <algorithm>
#include <array>

#include "definition/scalars.h"

namespace ingot::definition {

namespace {

bool IsLower(char c) {
  return c >= 'a' && c <= 'z';
}
bool IsLetter(char c) {
  return IsLower(c) || (c >= 'A' && c <= 'Z');
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

template <typename Good>
bool All(std::string_view text, Good good) {
  return std::all_of(text.begin(), text.end(), good);
}

constexpr std::array<std::string_view, 41> kCapabilities = {
    "AUDIT_CONTROL",   "AUDIT_READ",   "AUDIT_WRITE",
    "BLOCK_SUSPEND",   "BPF",          "CHECKPOINT_RESTORE",
    "CHOWN",           "DAC_OVERRIDE", "DAC_READ_SEARCH",
    "FOWNER",          "FSETID",       "IPC_LOCK",
    "IPC_OWNER",       "KILL",         "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN",    "MAC_OVERRIDE",
    "MKNOD",           "NET_ADMIN",    "NET_BIND_SERVICE",
    "NET_BROADCAST",   "NET_RAW",      "PERFMON",
    "SETFCAP",         "SETGID",       "SETPCAP",
    "SETUID",          "SYSLOG",       "SYS_ADMIN",
    "SYS_BOOT",        "SYS_CHROOT",   "SYS_MODULE",
    "SYS_NICE",        "SYS_PACCT",    "SYS_PTRACE",
    "SYS_RAWIO",       "SYS_RESOURCE", "SYS_TIME",
    "SYS_TTY_CONFIG",  "WAKE_ALARM"};

// Those that a program can be asked to stop by: SIGKILL and SIGSTOP cannot be caught.
constexpr std::array<std::string_view, 14> kSignals = {"SIGTERM", "SIGINT",   "SIGQUIT", "SIGHUP",  "SIGUSR1",
                                                       "SIGUSR2", "SIGWINCH", "SIGABRT", "SIGALRM", "SIGPIPE",
                                                       "SIGCONT", "SIGPWR",   "SIGKILL", "SIGTSTP"};

}  // namespace

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= 40 && IsLower(text.front()) && text.back() != '-' &&
         All(text, [](char c) { return IsLower(c) || IsDigit(c) || c == '-'; });
}

bool IsVariableName(std::string_view text) {
  return !text.empty() && text.size() <= 128 && !IsDigit(text.front()) &&
         All(text, [](char c) { return IsLetter(c) || IsDigit(c) || c == '_'; });
}

bool IsEnvironmentKey(std::string_view text) {
  return !text.empty() && text.size() <= 128 &&
         All(text, [](char c) { return c > ' ' && c < 0x7f && c != '='; });
}

bool IsSecretName(std::string_view text) {
  return !text.empty() && text.size() <= 64 && (IsLetter(text.front()) || IsDigit(text.front())) &&
         All(text, [](char c) { return IsLetter(c) || IsDigit(c) || c == '_' || c == '-'; });
}

bool IsAbsolutePath(std::string_view text) {
  if (text.empty() || text.size() > 1024 || text.front() != '/') return false;
  if (text == "/") return true;
  while (!text.empty()) {
    text.remove_prefix(1);
    const std::string_view part = text.substr(0, text.find('/'));
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    text.remove_prefix(part.size());
  }
  return true;
}

bool IsHostName(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  while (true) {
    const std::string_view label = text.substr(0, text.find('.'));
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
        !All(label, [](char c) { return IsLower(c) || IsDigit(c) || c == '-' || c == '_'; }))
      return false;
    if (label.size() == text.size()) return true;
    text.remove_prefix(label.size() + 1);
  }
}

bool IsToken(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
             std::string_view::npos;
}

bool IsTokenName(std::string_view text) {
  return !text.empty() && text.size() <= 63 && (IsLower(text.front()) || IsDigit(text.front())) &&
         All(text, [](char c) { return IsLower(c) || IsDigit(c) || c == '_' || c == '.' || c == '-'; });
}

bool IsMember(std::string_view text) {
  constexpr std::string_view kGroup = "group:";
  constexpr std::string_view kApiToken = "token:";
  constexpr std::string_view kApiCertificate = "cert:";
  if (text.starts_with(kApiToken)) return IsTokenName(text.substr(kApiToken.size()));
  if (text.starts_with(kApiCertificate)) {
    text.remove_prefix(kApiCertificate.size());
    return !text.empty() && text.size() <= 128 && All(text, [](char c) { return c >= ' ' && c < 0x7f; });
  }
  if (text.starts_with(kGroup)) text.remove_prefix(kGroup.size());
  if (text.ends_with('$')) text.remove_suffix(1);
  return !text.empty() && text.size() <= 32 && (IsLower(text.front()) || text.front() == '_') &&
         All(text, [](char c) { return IsLower(c) || IsDigit(c) || c == '_' || c == '.' || c == '-'; });
}

bool IsHttpPath(std::string_view text) {
  return !text.empty() && text.size() <= 1024 && text.front() == '/' &&
         All(text, [](char c) { return c > ' ' && c < 0x7f; });
}

bool IsUser(std::string_view text) {
  const size_t colon = text.find(':');
  const auto good = [](std::string_view part) {
    return !part.empty() && part.size() <= 32 && part.front() != '-' &&
           All(part, [](char c) { return IsLetter(c) || IsDigit(c) || c == '_' || c == '-' || c == '.'; });
  };
  return good(text.substr(0, colon)) && (colon == std::string_view::npos || good(text.substr(colon + 1)));
}

bool IsSignal(std::string_view text) {
  if (std::find(kSignals.begin(), kSignals.end(), text) != kSignals.end()) return true;
  // systemd as an image's first process stops on SIGRTMIN+3.
  constexpr std::string_view kRealTime = "SIGRTMIN+";
  if (!text.starts_with(kRealTime)) return false;
  const std::string_view number = text.substr(kRealTime.size());
  return (number.size() == 1 && number >= "1" && number <= "9") ||
         (number.size() == 2 && number >= "10" && number <= "30" && IsDigit(number[0]) && IsDigit(number[1]));
}

bool IsCapability(std::string_view text) {
  return std::find(kCapabilities.begin(), kCapabilities.end(), text) != kCapabilities.end();
}

KeyRule Names() {
  return {"lower-case letters, digits and dashes, a letter first, at most 40",
          "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", IsName};
}
KeyRule VariableNames() {
  return {"letters, digits and underscores, no digit first", "^[A-Za-z_][A-Za-z0-9_]*$", IsVariableName};
}
KeyRule EnvironmentKeys() {
  return {"the name of an environment variable", "^[!-<>-~]+$", IsEnvironmentKey};
}
KeyRule SecretNames() {
  return {"letters, digits, \"_\" and \"-\", a letter or digit first", "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
          IsSecretName};
}

}  // namespace ingot::definition
