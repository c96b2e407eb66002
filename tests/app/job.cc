#include "job.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace test_app {

int RunJob(const char* const* words, std::string (*connect)(const std::string&)) {
  static volatile sig_atomic_t interrupted = 0;
  // Process 1 has no default handlers.
  ::signal(SIGTERM, [](int) { ::_exit(143); });
  for (; *words != nullptr; ++words) {
    const std::string word = *words;
    const size_t equals = word.find('=');
    const std::string verb = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (verb == "print") {
      std::printf("%s\n", value.c_str());
      std::fflush(stdout);
    } else if (verb == "now") {  // nanoseconds since 1970
      struct timespec now {};
      ::clock_gettime(CLOCK_REALTIME, &now);
      std::printf("now %lld\n", static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
    } else if (verb == "warn") {
      std::fprintf(stderr, "%s\n", value.c_str());
    } else if (verb == "env") {
      const char* found = std::getenv(value.c_str());
      std::printf("%s\n", found == nullptr ? "(unset)" : found);
    } else if (verb == "sleep") {
      std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(value.c_str())));
    } else if (verb == "exit") {
      return std::atoi(value.c_str());
    } else if (verb == "ignore") {
      ::signal(SIGTERM, SIG_IGN);
    } else if (verb == "interrupt") {  // waits for SIGINT
      ::signal(SIGINT, [](int) { interrupted = 1; });
      std::printf("waiting\n");
      std::fflush(stdout);
      while (interrupted == 0) ::usleep(1000);
      std::printf("interrupted\n");
    } else if (verb == "cat") {  // standard input, in capitals
      for (int c = 0; (c = std::getchar()) != EOF;) std::putchar(c >= 'a' && c <= 'z' ? c - 32 : c);
    } else if (verb == "mkdir") {
      if (::mkdir(value.c_str(), 0755) < 0) return 90;
    } else if (verb == "link") {  // link=/out/name:target
      const size_t colon = value.find(':');
      if (::symlink(value.substr(colon + 1).c_str(), value.substr(0, colon).c_str()) < 0) return 91;
    } else if (verb == "sparse") {  // a file that says it has a gigabyte
      const int fd = ::open(value.c_str(), O_WRONLY | O_CREAT, 0644);
      if (fd < 0 || ::ftruncate(fd, off_t{1} << 30) < 0) return 92;
      ::close(fd);
    } else if (verb == "write") {  // write=/out/name:text
      const size_t colon = value.find(':');
      FILE* file = std::fopen(value.substr(0, colon).c_str(), "w");
      if (file == nullptr) {
        std::printf("%s\n", std::strerror(errno));
        return 93;
      }
      std::fputs(value.substr(colon + 1).c_str(), file);
      std::fclose(file);
    } else if (verb == "get") {  // the answer of HOST:PORT
      std::printf("%s\n", connect(value).c_str());
    } else {
      std::fprintf(stderr, "test_app: no such word: %s\n", word.c_str());
      return 99;
    }
  }
  return 0;
}

}  // namespace test_app
