// Drives a fuzzer without libFuzzer: every seed, then seeds with random changes.
//
//   NAME_fuzz --seconds N [--random-seed S] FOLDER…
//
// The input that ended the program, by a failed check or a report of a sanitizer, is left in crash-NAME_fuzz
// in the working directory; NAME_fuzz FILE runs it again.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) void __asan_set_death_callback(void (*callback)());  // NOLINT

namespace {

constexpr size_t kMostBytes = 8192;

std::string g_input;  // NOLINT: what a signal handler writes
std::string g_crash;  // NOLINT

void SaveInput() {
  const int fd = ::open(g_crash.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return;
  static_cast<void>(::write(fd, g_input.data(), g_input.size()) < 0);
  ::close(fd);
}

void OnAbort(int) {
  SaveInput();
  static constexpr char kText[] = "fuzzer: a check failed; the input is in ./crash-…_fuzz\n";
  static_cast<void>(::write(2, kText, sizeof kText - 1) < 0);
  ::signal(SIGABRT, SIG_DFL);
  ::raise(SIGABRT);
}

void RunOne(std::string input) {
  g_input = std::move(input);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(g_input.data()), g_input.size());
}

using Random = std::mt19937;

size_t Below(Random& random, size_t limit) {
  return limit == 0 ? 0 : std::uniform_int_distribution<size_t>(0, limit - 1)(random);
}

std::string Change(std::string text, const std::vector<std::string>& seeds, Random& random) {
  static const std::vector<std::string> kWords = {"0",
                                                  "-1",
                                                  "18446744073709551615",
                                                  "9223372036854775808",
                                                  "\r\n",
                                                  "\r\n\r\n",
                                                  "%2e%2e%2f",
                                                  "../",
                                                  "\n",
                                                  std::string(1, '\0'),
                                                  "\xff",
                                                  ":",
                                                  ",",
                                                  "/",
                                                  "\"",
                                                  "{",
                                                  "}",
                                                  "[",
                                                  "]",
                                                  "&",
                                                  "=",
                                                  "@",
                                                  " "};
  for (size_t n = 1 + Below(random, 4); n > 0; --n) {
    const size_t at = Below(random, text.size() + 1);
    const size_t length = 1 + Below(random, std::min<size_t>(text.size() - at, 32) + 1);
    switch (Below(random, 7)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << Below(random, 8)));
        break;
      case 1:
        if (at < text.size()) text[at] = static_cast<char>(Below(random, 256));
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(Below(random, text.size() + 1), length));
        break;
      case 4:
        text.insert(at, kWords[Below(random, kWords.size())]);
        break;
      case 5: {
        const std::string& other = seeds[Below(random, seeds.size())];
        text.insert(at, other.substr(Below(random, other.size() + 1), Below(random, 400)));
        break;
      }
      default:
        text.resize(at);
    }
  }
  if (text.size() > kMostBytes) text.resize(kMostBytes);
  return text;
}

std::string Contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

int main(int argc, char** argv) {
  long seconds = 0;
  unsigned random_seed = std::random_device()();
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seconds" && i + 1 < argc) {
      seconds = std::strtol(argv[++i], nullptr, 10);
    } else if (word == "--random-seed" && i + 1 < argc) {
      random_seed = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
    } else if (std::filesystem::is_directory(word)) {
      for (const auto& entry : std::filesystem::directory_iterator(word)) files.push_back(entry.path());
    } else {
      files.emplace_back(word);
    }
  }
  const std::string name = std::filesystem::path(argv[0]).filename().string();
  g_crash = "crash-" + name;
  ::signal(SIGABRT, OnAbort);
  if (__asan_set_death_callback != nullptr) __asan_set_death_callback(SaveInput);
  std::sort(files.begin(), files.end());
  std::vector<std::string> seeds;
  for (const auto& file : files) seeds.push_back(Contents(file));
  for (const std::string& seed : seeds) RunOne(seed);
  uint64_t runs = seeds.size();
  if (seconds > 0) {
    if (seeds.empty()) seeds.emplace_back();
    Random random(random_seed);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    for (; std::chrono::steady_clock::now() < end; ++runs)
      RunOne(Change(seeds[Below(random, seeds.size())], seeds, random));
  }
  std::printf("%s: %zu seeds, %llu runs, --random-seed %u\n", name.c_str(), seeds.size(),
              static_cast<unsigned long long>(runs), random_seed);
  return 0;
}
