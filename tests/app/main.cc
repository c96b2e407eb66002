// test_app: a small HTTP/1.1 server whose behaviour the environment chooses, linked statically so that an
// image of it is one file. Used by the end-to-end tests and by ./bench.
//
//   PORT=8080            where it listens
//   REVISION=x           sent as X-Revision with every answer
//   LISTEN_AFTER_MS=0    works that long before it listens
//   EXIT_AFTER_MS=0      ends by itself with EXIT_CODE, when not 0
//   HEALTH=200           the status of /healthz
//   STATUS=200           the status of everything else
//   ERRORS_PER_MILLE=0   so many of a thousand of these answers are 500 instead, scattered
//   BODY=ok              what GET / answers
//   DELAY_MS=0           every answer but those of /healthz takes so much longer
//   UPSTREAM=host:port   asked (GET /) for every request to /; its revision is in the answer as X-Upstream
//   NEVER_LISTEN=1       runs, and never listens
//
// GET /write?PATH tries to write there, /read?PATH reads, /connect?HOST:PORT connects, /id tells uid, gid,
// capabilities and seccomp mode, /eat?MIB takes memory, /slow?MS answers after that time, /headers gives the
// request's head back. Answers in plain text. /events?MS is a stream of server-sent events, one each MS; /ws
// becomes a WebSocket that answers each text with the revision and that text.
//
// `app job WORD…` is a job instead (job.h).
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "job.h"
#include "websocket.h"

namespace {

std::string Env(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

int Number(const char* name, const char* otherwise) {
  return std::atoi(Env(name, otherwise).c_str());
}

// Whether this answer is one of ERRORS_PER_MILLE.
bool IsError() {
  static const auto share = static_cast<uint64_t>(Number("ERRORS_PER_MILLE", "0"));
  static std::atomic<uint64_t> count{0};
  if (share == 0) return false;
  uint64_t mixed = (count++ + 1) * 0x9e3779b97f4a7c15ull;
  mixed ^= mixed >> 32;
  return mixed * 0xd6e8feb86659fd93ull % 1000 < share;
}

// Looks only into /etc/hosts, as an instance has no DNS; a static program has no resolver to load either.
std::string Lookup(const std::string& name) {
  struct in_addr parsed {};
  if (::inet_pton(AF_INET, name.c_str(), &parsed) == 1) return name;
  std::ifstream hosts("/etc/hosts");
  std::string line;
  while (std::getline(hosts, line)) {
    std::istringstream words(line);
    std::string address;
    std::string word;
    words >> address;
    while (words >> word)
      if (word == name) return address;
  }
  return "";
}

int Connect(const std::string& target, std::string& error) {
  const size_t colon = target.rfind(':');
  const std::string address = Lookup(target.substr(0, colon));
  if (address.empty()) {
    error = "unknown host";
    return -1;
  }
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval limit = {2, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  struct sockaddr_in to {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(target.c_str() + colon + 1)));
  ::inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  if (::connect(fd, reinterpret_cast<struct sockaddr*>(&to), sizeof to) == 0) return fd;
  error = std::strerror(errno);
  ::close(fd);
  return -1;
}

// The X-Revision of the neighbour's answer, or "" and why not.
std::string AskUpstream(const std::string& target, std::string& error) {
  const int fd = Connect(target, error);
  if (fd < 0) return "";
  const std::string request = "GET / HTTP/1.1\r\nHost: " + target + "\r\nConnection: close\r\n\r\n";
  static_cast<void>(!::send(fd, request.data(), request.size(), MSG_NOSIGNAL));
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;)
    answer.append(buffer, static_cast<size_t>(n));
  ::close(fd);
  // A proxy on the way may write the name in small letters, as HAProxy does.
  const size_t at = std::min(answer.find("X-Revision: "), answer.find("x-revision: "));
  if (answer.compare(0, 12, "HTTP/1.1 200") != 0 || at == std::string::npos) {
    error = "bad answer: " + answer.substr(0, 30);
    return "";
  }
  return answer.substr(at + 12, answer.find("\r\n", at) - at - 12);
}

std::string Identity() {
  std::ifstream status("/proc/self/status");
  std::string out;
  std::string line;
  while (std::getline(status, line))
    for (const char* name : {"Uid:", "Gid:", "CapEff:", "CapBnd:", "Seccomp:", "NoNewPrivs:"})
      if (line.rfind(name, 0) == 0) out += line + "\n";
  std::ifstream map("/proc/self/uid_map");
  std::getline(map, line);
  return out + "UidMap: " + line + "\n";
}

std::string Try(const std::string& path, const std::string& argument) {
  if (path == "/id") return Identity();
  if (path == "/write") {
    const int fd = ::open(argument.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0755);
    if (fd < 0) return std::strerror(errno);
    const std::vector<char> block(1 << 20, 'x');
    for (int i = 0; i < 256; ++i) {
      if (::write(fd, block.data(), block.size()) < 0) {
        const std::string error = std::strerror(errno);
        ::close(fd);
        ::unlink(argument.c_str());
        return error;
      }
    }
    ::close(fd);
    return "written";
  }
  if (path == "/read") {
    std::ifstream file(argument);
    std::ostringstream out;
    out << file.rdbuf();
    return file ? out.str() : "cannot read";
  }
  if (path == "/connect") {
    std::string error;
    const int fd = Connect(argument, error);
    if (fd < 0) return error;
    // A proxy may take the connection and close it at once: only bytes or silence count as connected.
    struct timeval limit = {0, 300000};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char byte = 0;
    const ssize_t n = ::recv(fd, &byte, 1, 0);
    const int receive_errno = errno;
    ::close(fd);
    if (n > 0 || (n < 0 && receive_errno == EAGAIN)) return "connected";
    return "closed at once";
  }
  if (path == "/eat") {
    const size_t bytes = static_cast<size_t>(std::atoi(argument.c_str())) << 20;
    char* memory = static_cast<char*>(std::malloc(bytes));
    if (memory == nullptr) return "no memory";
    for (size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
    return "eaten";
  }
  if (path == "/slow") std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(argument.c_str())));
  return path == "/" ? Env("BODY", "ok") : "ok";
}

void StreamEvents(int fd, const std::string& revision, int every_ms) {
  std::string out =
      "HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\nConnection: close\r\nX-Revision: " + revision +
      "\r\n\r\n";
  for (int i = 0; ::send(fd, out.data(), out.size(), MSG_NOSIGNAL) >= 0; ++i) {
    out = "data: " + revision + " " + std::to_string(i) + "\n\n";
    std::this_thread::sleep_for(std::chrono::milliseconds(std::max(every_ms, 1)));
  }
  ::close(fd);
}

void Serve(int fd) {
  int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const std::string revision = Env("REVISION", "none");
  const std::string upstream = Env("UPSTREAM", "");
  std::string pending;
  char buffer[16384];
  while (true) {
    size_t head = std::string::npos;
    size_t length = 0;
    while (true) {
      head = pending.find("\r\n\r\n");
      if (head != std::string::npos) {
        const size_t at = pending.find("Content-Length: ");
        const size_t lower = pending.find("content-length: ");
        const size_t where = std::min(at, lower);
        length = where < head ? std::strtoul(pending.c_str() + where + 16, nullptr, 10) : 0;
        if (pending.size() >= head + 4 + length) break;
      }
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) {
        ::close(fd);
        return;
      }
      pending.append(buffer, static_cast<size_t>(n));
    }
    const std::string line = pending.substr(0, pending.find("\r\n"));
    std::string heads = pending.substr(0, head);
    pending.erase(0, head + 4 + length);
    const size_t begin = line.find(' ') + 1;
    const std::string target = line.substr(begin, line.find(' ', begin) - begin);
    const std::string path = target.substr(0, target.find('?'));
    const std::string argument =
        target.find('?') == std::string::npos ? "" : target.substr(target.find('?') + 1);
    if (path == "/events") {
      StreamEvents(fd, revision, std::atoi(argument.c_str()));
      return;
    }
    if (path == "/ws") {
      test_app::EchoWebSocket(fd, heads, revision, pending);
      return;
    }
    int status = path == "/healthz" ? Number("HEALTH", "200") : Number("STATUS", "200");
    if (path != "/healthz") {
      if (IsError()) status = 500;
      if (const int delay = Number("DELAY_MS", "0"); delay > 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(delay));
    }
    std::string extra;
    std::string body = (path == "/headers" ? heads : Try(path, argument)) + "\n";
    if (path == "/" && !upstream.empty()) {
      std::string error;
      const std::string other = AskUpstream(upstream, error);
      if (other.empty()) {
        status = 502;
        body = error + "\n";
      } else {
        extra = "X-Upstream: " + other + "\r\n";
      }
    }
    const bool close_after = heads.find("onnection: close") != std::string::npos;
    const std::string answer = "HTTP/1.1 " + std::to_string(status) +
                               " x\r\nContent-Length: " + std::to_string(body.size()) +
                               "\r\nX-Revision: " + revision + "\r\n" + extra +
                               (close_after ? "Connection: close\r\n" : "") + "\r\n" + body;
    if (::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0 || close_after) {
      ::close(fd);
      return;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "job") == 0) {
    return test_app::RunJob(argv + 2, [](const std::string& target) {
      std::string error;
      const std::string revision = AskUpstream(target, error);
      return revision.empty() ? error : revision;
    });
  }
  // Process 1 has no default handlers: without this only SIGKILL would end it.
  ::signal(SIGTERM, [](int) { ::_exit(0); });
  ::signal(SIGPIPE, SIG_IGN);
  std::printf("revision %s starts\n", Env("REVISION", "none").c_str());
  std::fflush(stdout);
  if (const int after = Number("EXIT_AFTER_MS", "0"); after > 0) {
    std::thread([after] {
      std::this_thread::sleep_for(std::chrono::milliseconds(after));
      std::fprintf(stderr, "giving up\n");
      ::_exit(Number("EXIT_CODE", "1"));
    }).detach();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(Number("LISTEN_AFTER_MS", "0")));
  if (Number("NEVER_LISTEN", "0") != 0) {
    while (true) ::pause();
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at {};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<uint16_t>(Number("PORT", "8080")));
  if (::bind(listener, reinterpret_cast<struct sockaddr*>(&at), sizeof at) < 0 ||
      ::listen(listener, 1024) < 0) {
    std::perror("listen");
    return 1;
  }
  std::printf("listening on %d\n", Number("PORT", "8080"));
  std::fflush(stdout);
  while (true) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) std::thread(Serve, fd).detach();
  }
}
