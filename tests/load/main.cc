// ingot_load: a steady HTTP/1.1 load over keep-alive connections that counts what a client would call a
// failure.
//
//   ingot_load [--rate N/s] [--connections N] [--seconds S] [--post] [--header NAME] HOST:PORT/PATH
//
// Every second request is a POST with a body when --post is given. Nothing is retried: a refused connection,
// one that closes before the whole answer, a time-out (5 s) and any status but 200 are failures. Ends after S
// seconds or on SIGTERM/SIGINT and prints one JSON document: totals, failures by kind with the first few in
// words, answers with another status than 200 by that header, latency quantiles, and for each value of the
// response header (X-Revision) how many answers, and when the first and last such request was sent
// (nanoseconds since 1970).
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
std::atomic<bool> stop{false};

struct Options {
  double rate = 1000;
  int connections = 16;
  double seconds = 0;
  bool post = false;
  std::string header = "x-revision";
  std::string address = "127.0.0.1";
  int port = 0;
  std::string path = "/";
};

struct Seen {
  uint64_t count = 0;
  int64_t first_ns = 0;
  int64_t last_ns = 0;
};

struct Tally {
  uint64_t requests = 0;
  uint64_t posts = 0;
  uint64_t connects = 0;
  std::map<std::string, uint64_t> failures;
  std::map<std::string, uint64_t> failed_by;  // answers with another status than 200, by the header
  std::vector<std::string> examples;
  std::map<std::string, Seen> seen;
  std::vector<uint32_t> latencies_us;
};

int64_t WallNs() {
  struct timespec t {};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

class Connection {
 public:
  Connection(const Options& options, Tally& tally) : options_(options), tally_(tally) {}
  ~Connection() { Close(); }

  void Request(bool post) {
    const int64_t sent = WallNs();
    const auto begin = Clock::now();
    std::string seen;
    const std::string failure = Exchange(post, seen);
    ++tally_.requests;
    if (post) ++tally_.posts;
    if (!failure.empty()) {
      ++tally_.failures[failure];
      if (failure.starts_with("status ")) ++tally_.failed_by[seen];
      if (tally_.examples.size() < 5)
        tally_.examples.push_back(std::to_string(sent) + " " + (post ? "POST " : "GET ") + failure + " " +
                                  seen);
      Close();
      return;
    }
    tally_.latencies_us.push_back(static_cast<uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count()));
    Seen& entry = tally_.seen[seen];
    if (entry.count++ == 0) entry.first_ns = sent;
    entry.last_ns = sent;
  }

 private:
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  bool Wait(short events) {
    struct pollfd p = {fd_, events, 0};
    return ::poll(&p, 1, 5000) == 1;
  }

  std::string Connect() {
    ++tally_.connects;
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(options_.port));
    ::inet_pton(AF_INET, options_.address.c_str(), &to.sin_addr);
    if (::connect(fd_, reinterpret_cast<struct sockaddr*>(&to), sizeof to) < 0)
      return errno == ECONNREFUSED ? "refused" : "connect";
    int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return "";
  }

  // One request and its whole answer; "" or the kind of failure.
  std::string Exchange(bool post, std::string& seen) {
    if (fd_ < 0) {
      std::string failure = Connect();
      if (!failure.empty()) return failure;
    }
    const std::string body = post ? "{\"item\":\"ingot\",\"count\":1}" : "";
    std::string request = std::string(post ? "POST " : "GET ") + options_.path +
                          " HTTP/1.1\r\nHost: " + options_.address + "\r\n";
    if (post)
      request += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
    request += "\r\n" + body;
    if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
      return "send";
    std::string answer;
    size_t head = std::string::npos;
    size_t length = 0;
    bool close_after = false;
    while (true) {
      if (head == std::string::npos) {
        head = answer.find("\r\n\r\n");
        if (head != std::string::npos && !ParseHead(answer.substr(0, head + 2), length, close_after, seen))
          return "malformed";
      }
      if (head != std::string::npos && answer.size() >= head + 4 + length) break;
      if (!Wait(POLLIN)) return "timeout";
      char buffer[16384];
      const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) return answer.empty() ? "closed" : "truncated";
      answer.append(buffer, static_cast<size_t>(n));
    }
    const std::string status = answer.substr(9, 3);
    if (close_after) Close();
    return status == "200" ? "" : "status " + status;
  }

  bool ParseHead(const std::string& head, size_t& length, bool& close_after, std::string& seen) {
    if (head.size() < 12 || head.compare(0, 7, "HTTP/1.") != 0) return false;
    bool has_length = false;
    for (size_t begin = head.find("\r\n") + 2; begin < head.size();) {
      const size_t end = head.find("\r\n", begin);
      const size_t colon = head.find(':', begin);
      if (end == std::string::npos || colon == std::string::npos || colon > end) return false;
      std::string name = head.substr(begin, colon - begin);
      std::transform(name.begin(), name.end(), name.begin(), ::tolower);
      std::string value = head.substr(colon + 1, end - colon - 1);
      value.erase(0, value.find_first_not_of(' '));
      if (name == "content-length") {
        length = std::strtoull(value.c_str(), nullptr, 10);
        has_length = true;
      }
      if (name == "connection" && value == "close") close_after = true;
      if (name == options_.header) seen = value;
      begin = end + 2;
    }
    return has_length;
  }

  const Options& options_;
  Tally& tally_;
  int fd_ = -1;
};

std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

void Print(const Tally& tally, double seconds) {
  uint64_t failed = 0;
  for (const auto& [kind, count] : tally.failures) failed += count;
  std::vector<uint32_t> sorted = tally.latencies_us;
  std::sort(sorted.begin(), sorted.end());
  const auto quantile = [&](double q) {
    return sorted.empty() ? 0.0
                          : sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))] / 1000.0;
  };
  std::printf(
      "{\"requests\":%llu,\"posts\":%llu,\"failed\":%llu,\"connects\":%llu,\"seconds\":%.3f,\"rate\":%.1f",
      static_cast<unsigned long long>(tally.requests), static_cast<unsigned long long>(tally.posts),
      static_cast<unsigned long long>(failed), static_cast<unsigned long long>(tally.connects), seconds,
      static_cast<double>(tally.requests) / seconds);
  std::printf(",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f", quantile(0.5), quantile(0.99), quantile(1));
  std::printf(",\"failures\":{");
  const char* comma = "";
  for (const auto& [kind, count] : tally.failures) {
    std::printf("%s%s:%llu", comma, Quote(kind).c_str(), static_cast<unsigned long long>(count));
    comma = ",";
  }
  std::printf("},\"failed_by\":{");
  comma = "";
  for (const auto& [value, count] : tally.failed_by) {
    std::printf("%s%s:%llu", comma, Quote(value).c_str(), static_cast<unsigned long long>(count));
    comma = ",";
  }
  std::printf("},\"examples\":[");
  comma = "";
  for (const std::string& example : tally.examples) {
    std::printf("%s%s", comma, Quote(example).c_str());
    comma = ",";
  }
  std::printf("],\"seen\":{");
  comma = "";
  for (const auto& [value, seen] : tally.seen) {
    std::printf("%s%s:{\"count\":%llu,\"first_ns\":%lld,\"last_ns\":%lld}", comma, Quote(value).c_str(),
                static_cast<unsigned long long>(seen.count), static_cast<long long>(seen.first_ns),
                static_cast<long long>(seen.last_ns));
    comma = ",";
  }
  std::printf("}}\n");
}

bool ParseTarget(const std::string& target, Options& options) {
  const size_t slash = target.find('/');
  const size_t colon = target.find(':');
  if (colon == std::string::npos || (slash != std::string::npos && slash < colon)) return false;
  options.address = target.substr(0, colon);
  options.port = std::atoi(target.c_str() + colon + 1);
  if (slash != std::string::npos) options.path = target.substr(slash);
  struct in_addr parsed {};
  return options.port > 0 && options.port < 65536 &&
         ::inet_pton(AF_INET, options.address.c_str(), &parsed) == 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  bool target = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const bool more = i + 1 < argc;
    if (arg == "--rate" && more)
      options.rate = std::atof(argv[++i]);
    else if (arg == "--connections" && more)
      options.connections = std::atoi(argv[++i]);
    else if (arg == "--seconds" && more)
      options.seconds = std::atof(argv[++i]);
    else if (arg == "--header" && more)
      options.header = argv[++i];
    else if (arg == "--post")
      options.post = true;
    else
      target = ParseTarget(arg, options);
  }
  if (!target || options.rate <= 0 || options.connections < 1) {
    std::fprintf(stderr,
                 "usage: ingot_load [--rate N] [--connections N] [--seconds S] [--post] [--header NAME] "
                 "ADDRESS:PORT/PATH\n");
    return 2;
  }
  std::transform(options.header.begin(), options.header.end(), options.header.begin(), ::tolower);
  ::signal(SIGTERM, [](int) { stop = true; });
  ::signal(SIGINT, [](int) { stop = true; });
  const auto begin = Clock::now();
  std::vector<Tally> tallies(static_cast<size_t>(options.connections));
  std::vector<std::thread> threads;
  const std::chrono::duration<double> period(options.connections / options.rate);
  for (int c = 0; c < options.connections; ++c) {
    threads.emplace_back([&, c] {
      Connection connection(options, tallies[static_cast<size_t>(c)]);
      auto due = begin + std::chrono::duration_cast<Clock::duration>(period * c / options.connections);
      for (uint64_t n = 0; !stop; ++n) {
        std::this_thread::sleep_until(due);
        if (stop ||
            (options.seconds > 0 && Clock::now() - begin > std::chrono::duration<double>(options.seconds)))
          break;
        connection.Request(options.post && n % 2 == 1);
        // A stall is not made up for by a burst.
        due = std::max(due + std::chrono::duration_cast<Clock::duration>(period),
                       Clock::now() - std::chrono::seconds(1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Tally total;
  for (const Tally& tally : tallies) {
    total.requests += tally.requests;
    total.posts += tally.posts;
    total.connects += tally.connects;
    for (const auto& [kind, count] : tally.failures) total.failures[kind] += count;
    for (const auto& [value, count] : tally.failed_by) total.failed_by[value] += count;
    total.examples.insert(total.examples.end(), tally.examples.begin(), tally.examples.end());
    total.latencies_us.insert(total.latencies_us.end(), tally.latencies_us.begin(), tally.latencies_us.end());
    for (const auto& [value, seen] : tally.seen) {
      Seen& entry = total.seen[value];
      entry.first_ns = entry.count == 0 ? seen.first_ns : std::min(entry.first_ns, seen.first_ns);
      entry.last_ns = std::max(entry.last_ns, seen.last_ns);
      entry.count += seen.count;
    }
  }
  if (total.examples.size() > 10) total.examples.resize(10);
  Print(total, std::chrono::duration<double>(Clock::now() - begin).count());
  uint64_t failed = 0;
  for (const auto& [kind, count] : total.failures) failed += count;
  return failed == 0 ? 0 : 1;
}
