// RegistryWatch: what the registry has done, as an access log and as metrics (docs/formats/registry.md, "What
// can be seen").
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/prometheus.h"
#include "base/result.h"
#include "base/sync.h"
#include "registry/route.h"

namespace ingot::adapters {

// One request, when its answer has been sent or its connection has ended.
struct RegistryVisit {
  std::string peer;             // as registry::Request::peer
  std::string who;              // a user or "cert:NAME"; empty: anonymous
  std::string method;           // as sent
  std::string path;             // percent-decoded, without the query; may be any bytes
  int status = 0;               // 0: the client went before there was an answer
  uint64_t received_bytes = 0;  // of the body
  uint64_t sent_bytes = 0;      // head and body, inside TLS
  bool complete = true;         // the whole answer was handed to the kernel
  std::chrono::microseconds elapsed{0};
};

// Any thread. Note neither blocks nor waits for the disk: lines gather in memory and are written by a thread
// of its own. When reads come faster than the disk takes their lines, lines of reads are left out, and
// counted; those of everything else never are.
class RegistryWatch {
 public:
  struct Options {
    fs::path log;  // one JSON object a line; its directory is made. Empty: no access log
    uint64_t log_bytes = uint64_t{16} << 20;  // then it is renamed to .1, .1 to .2, …
    int logs_kept = 4;                        // besides the one that is written
  };
  // kPermission, kIo: the log cannot be opened.
  static Result<std::unique_ptr<RegistryWatch>> Open(const Options& options);
  // Writes what is left.
  ~RegistryWatch();

  void Note(const RegistryVisit& visit);
  void Connected() { ++connections_; }
  void Disconnected() { --connections_; }
  void Describe(PrometheusText& text) const;

 private:
  static constexpr std::array<double, 8> kBuckets{0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10};
  // Bounded: methods, endpoints and statuses are few.
  using Labels = std::tuple<std::string_view, registry::Endpoint, int>;
  struct Counts {
    std::map<Labels, uint64_t> requests;
    std::array<uint64_t, kBuckets.size()> within{};
    uint64_t visits = 0;
    double seconds = 0;
    uint64_t received_bytes = 0;
    uint64_t sent_bytes = 0;
    uint64_t broken_off = 0;
  };
  struct Pending {
    std::string lines;
    bool stopping = false;
  };

  explicit RegistryWatch(Options options) : options_(std::move(options)) {}
  Result<void> OpenLog();
  void WriteLines(const std::string& lines);
  void WriteLoop();

  const Options options_;
  std::atomic<int64_t> connections_{0};
  std::atomic<uint64_t> left_out_{0};
  mutable Sync<Counts> counts_;
  Sync<Pending> pending_;
  std::condition_variable changed_;
  // Of the writer alone.
  Fd log_;
  std::thread writer_;
};

}  // namespace ingot::adapters
