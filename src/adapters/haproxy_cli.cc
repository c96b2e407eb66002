#include "adapters/haproxy_cli.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "adapters/listeners.h"
#include "base/file.h"

namespace ingot::adapters {

namespace {

constexpr size_t kMaxAnswer = size_t{64} << 20;

std::vector<std::string_view> Split(std::string_view line, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t at = line.find(separator);
    out.push_back(line.substr(0, at));
    if (at == std::string_view::npos) return out;
    line.remove_prefix(at + 1);
  }
}

template <typename Row>
void EachLine(std::string_view text, Row row) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    row(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

uint64_t Number(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// The positions of columns in a header that begins with "# "; kInvalid when one is missing.
template <size_t N>
Result<std::array<size_t, N>> Columns(std::string_view header, char separator,
                                      const std::array<std::string_view, N>& names) {
  const auto all = Split(header.substr(std::min<size_t>(2, header.size())), separator);
  std::array<size_t, N> out{};
  for (size_t i = 0; i < N; ++i) {
    size_t at = 0;
    while (at < all.size() && all[at] != names[i]) ++at;
    if (at == all.size())
      return Error(Code::kInvalid, "HAProxy's answer has no column " + std::string(names[i]));
    out[i] = at;
  }
  return out;
}

// Calls `row` for each line of the table(s) in `answer`; lines before a header and empty ones are skipped.
template <size_t N, typename Row>
Result<void> EachRow(std::string_view answer, char separator, const std::array<std::string_view, N>& names,
                     Row row) {
  std::array<size_t, N> columns{};
  bool in_table = false;
  bool any = false;
  Result<void> result;
  EachLine(answer, [&](std::string_view line) {
    if (!result) return;
    if (line.starts_with("# ")) {
      auto found = Columns<N>(line, separator, names);
      if (!found) {
        result = std::move(found).error();
        return;
      }
      columns = *found;
      in_table = any = true;
    } else if (line.empty()) {
      in_table = false;
    } else if (in_table) {
      const auto cells = Split(line, separator);
      std::array<std::string_view, N> values;
      for (size_t i = 0; i < N; ++i)
        if (columns[i] < cells.size()) values[i] = cells[columns[i]];
      row(values);
    }
  });
  if (result && !any) {
    const std::string_view head = answer.substr(0, answer.find('\n'));
    return Error(Code::kInvalid, "HAProxy answers: " + std::string(head.substr(0, 300)));
  }
  return result;
}

}  // namespace

Result<std::string> AskHaproxy(int directory, const std::string& name, std::string_view command,
                               Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  Fd fd = TRY(ConnectUnix(directory, name));
  std::string request(command);
  request += '\n';
  std::string_view left = request;
  std::string answer;
  const auto gone = [] { return Error(Code::kUnavailable, "HAProxy ended while it was asked"); };
  while (true) {
    struct pollfd p = {fd.get(), static_cast<short>(left.empty() ? POLLIN : POLLOUT), 0};
    const auto wait =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    const int n = wait <= 0 ? 0 : ::poll(&p, 1, static_cast<int>(wait));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      return Error(Code::kTimeout,
                   "HAProxy does not answer within " + std::to_string(timeout.count()) + " ms");
    if (!left.empty()) {
      const ssize_t sent = ::send(fd.get(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) left.remove_prefix(static_cast<size_t>(sent));
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return gone();
      continue;
    }
    std::array<char, 65536> buffer;
    const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) return gone();
    // Every answer ends with an empty line; a killed process just ends the stream.
    if (got == 0)
      return answer.empty() ? Result<std::string>(gone()) : Result<std::string>(std::move(answer));
    answer.append(buffer.data(), static_cast<size_t>(got));
    if (answer.size() > kMaxAnswer) return Error(Code::kInvalid, "HAProxy's answer does not end");
  }
}

Result<void> CheckChanged(std::string_view answer) {
  Result<void> result;
  EachLine(answer, [&](std::string_view line) {
    if (!result || line.empty() || line.find("changed from") != std::string_view::npos ||
        line.find("no need to change") != std::string_view::npos)
      return;
    result = Error(Code::kFailed, "HAProxy refuses a change: " + std::string(line.substr(0, 300)));
  });
  return result;
}

Result<std::map<std::string, ServerState>> ParseServersState(std::string_view answer) {
  std::map<std::string, ServerState> out;
  TRY(EachRow<5>(answer, ' ', {"be_name", "srv_name", "srv_addr", "srv_port", "srv_admin_state"},
                 [&](const auto& row) {
                   // Bits of srv_admin_state (management guide, "show servers state").
                   constexpr uint64_t kForcedMaintenance = 0x01;
                   constexpr uint64_t kForcedDrain = 0x08;
                   const uint64_t admin = Number(row[4]);
                   out[std::string(row[0]) + "/" + std::string(row[1])] = {
                       std::string(row[2]), static_cast<uint16_t>(Number(row[3])),
                       (admin & kForcedMaintenance) != 0, (admin & kForcedDrain) != 0};
                 }));
  return out;
}

Result<std::map<std::string, ServerStat>> ParseServerStats(std::string_view answer) {
  std::map<std::string, ServerStat> out;
  TRY(EachRow<6>(answer, ',', {"pxname", "svname", "qcur", "scur", "stot", "hrsp_5xx"}, [&](const auto& row) {
    out[std::string(row[0]) + "/" + std::string(row[1])] = {Number(row[2]), Number(row[3]), Number(row[4]),
                                                            Number(row[5])};
  }));
  return out;
}

Result<std::map<std::string, ServerHealth>> ParseServerHealth(std::string_view answer) {
  std::map<std::string, ServerHealth> out;
  TRY(EachRow<5>(answer, ',', {"pxname", "svname", "status", "check_desc", "last_chk"}, [&](const auto& row) {
    // "UP 1/2" is on its way down. Before any check, and without an address, the state is all there is.
    const std::string_view why = !row[4].empty() ? row[4] : !row[3].empty() ? row[3] : row[2];
    out[std::string(row[0]) + "/" + std::string(row[1])] = {
        row[2].starts_with("UP"), why == "MAINT (resolution)" ? "its name has no address" : std::string(why)};
  }));
  return out;
}

Result<std::map<std::string, BackendStat>> ParseBackendStats(std::string_view answer) {
  std::map<std::string, BackendStat> out;
  TRY(EachRow<8>(
      answer, ',',
      {"pxname", "svname", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"},
      [&](const auto& row) {
        if (row[1] != "BACKEND") return;
        BackendStat& stat = out[std::string(row[0])];
        for (size_t i = 2; i < row.size(); ++i) stat.answered += Number(row[i]);
        stat.responses_5xx = Number(row[6]);
      }));
  return out;
}

Result<std::map<std::string, uint64_t>> ParseTable(std::string_view answer) {
  // "# table: latency, type: string, size:8192, used:2", then "0x…: key=K use=0 exp=… gpc0=N".
  if (!answer.starts_with("# table:"))
    return Error(Code::kInvalid, "HAProxy answers: " + std::string(answer.substr(0, 300)));
  std::map<std::string, uint64_t> out;
  EachLine(answer, [&](std::string_view line) {
    const size_t key = line.find(" key=");
    const size_t count = line.find(" gpc0=");
    if (key == std::string_view::npos || count == std::string_view::npos) return;
    const std::string_view rest = line.substr(key + 5);
    out[std::string(rest.substr(0, rest.find(' ')))] = Number(line.substr(count + 6));
  });
  return out;
}

}  // namespace ingot::adapters
