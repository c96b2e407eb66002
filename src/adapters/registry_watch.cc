#include "adapters/registry_watch.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace ingot::adapters {
namespace {

constexpr size_t kMostPendingLog = size_t{4} << 20;
constexpr auto kLogEvery = std::chrono::milliseconds(200);
// A path may have a head's 16 KiB; a line is for people and tools.
constexpr size_t kLongestLogged = 1024;

// Only what a method can be; else the labels would be the clients' to choose.
std::string_view MethodLabel(std::string_view method) {
  for (const std::string_view known : {"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"})
    if (method == known) return known;
  return "other";
}

std::string_view EndpointLabel(registry::Endpoint endpoint) {
  switch (endpoint) {
    case registry::Endpoint::kBase:
      return "base";
    case registry::Endpoint::kBlob:
      return "blob";
    case registry::Endpoint::kUploads:
    case registry::Endpoint::kUpload:
      return "upload";
    case registry::Endpoint::kManifest:
      return "manifest";
    case registry::Endpoint::kTags:
      return "tags";
    case registry::Endpoint::kReferrers:
      return "referrers";
    case registry::Endpoint::kUnknown:
      break;
  }
  return "other";
}

// A member of a JSON object; a client's bytes may be anything, JSON is UTF-8.
void AppendText(std::string& out, std::string_view key, std::string_view value) {
  out.append(",\"").append(key).append("\":\"");
  for (const char c : value.substr(0, kLongestLogged)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c < ' ' || c > '~' ? '?' : c;
  }
  out += '"';
}

void AppendNumber(std::string& out, std::string_view key, uint64_t value) {
  out.append(",\"").append(key).append("\":").append(std::to_string(value));
}

std::string LogLineOf(const RegistryVisit& visit) {
  std::string out = "{\"time\":\"" + RenderTime(SystemClock().Now()) + "\"";
  AppendText(out, "peer", visit.peer);
  AppendText(out, "user", visit.who);
  AppendText(out, "method", visit.method);
  AppendText(out, "path", visit.path);
  AppendNumber(out, "status", static_cast<uint64_t>(visit.status));
  AppendNumber(out, "received_bytes", visit.received_bytes);
  AppendNumber(out, "sent_bytes", visit.sent_bytes);
  out.append(",\"complete\":").append(visit.complete ? "true" : "false");
  char elapsed[40];
  std::snprintf(elapsed, sizeof elapsed, ",\"elapsed_ms\":%.3f}\n",
                static_cast<double>(visit.elapsed.count()) / 1000);
  return out + elapsed;
}

bool IsRead(const RegistryVisit& visit) {
  return visit.method == "GET" || visit.method == "HEAD";
}

}  // namespace

Result<std::unique_ptr<RegistryWatch>> RegistryWatch::Open(const Options& options) {
  std::unique_ptr<RegistryWatch> watch(new RegistryWatch(options));
  if (!options.log.empty()) {
    TRY(MakeDirectories(options.log.parent_path(), 0750));
    TRY(watch->OpenLog());
    watch->writer_ = std::thread([raw = watch.get()] { raw->WriteLoop(); });
  }
  return watch;
}

RegistryWatch::~RegistryWatch() {
  pending_.lock()->stopping = true;
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
}

Result<void> RegistryWatch::OpenLog() {
  log_ = TRY(OpenFile(options_.log, O_WRONLY | O_CREAT | O_APPEND, 0640));
  return {};
}

void RegistryWatch::WriteLines(const std::string& lines) {
  // Another process may serve the same store, and may have renamed it; so may somebody's logrotate.
  struct stat ours {};
  struct stat named {};
  const std::string name = options_.log.string();
  const bool there = ::stat(name.c_str(), &named) == 0;
  if (!there || ::fstat(log_.get(), &ours) != 0 || ours.st_ino != named.st_ino) {
    // What cannot be opened: the one that is open is written on.
    static_cast<void>(OpenLog().has_value());
    if (::fstat(log_.get(), &ours) != 0) ours = {};
  }
  const auto size = static_cast<uint64_t>(ours.st_size);
  if (size > 0 && size + lines.size() > options_.log_bytes) {
    for (int i = options_.logs_kept; i > 0; --i) {
      const std::string from = i == 1 ? name : name + "." + std::to_string(i - 1);
      // One that is not there yet is none to move.
      static_cast<void>(::rename(from.c_str(), (name + "." + std::to_string(i)).c_str()));
    }
    static_cast<void>(OpenLog().has_value());
  }
  if (!WriteAll(log_.get(), lines))
    left_out_ += static_cast<uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
}

void RegistryWatch::WriteLoop() {
  ::prctl(PR_SET_NAME, "registry-log");
  while (true) {
    std::string lines;
    bool stopping = false;
    {
      auto pending = pending_.lock();
      // Asleep while nothing happens; then some lines at once.
      while (pending->lines.empty() && !pending->stopping) pending.Wait(changed_);
      if (!pending->stopping) pending.WaitFor(changed_, kLogEvery);
      lines.swap(pending->lines);
      stopping = pending->stopping;
    }
    if (!lines.empty()) WriteLines(lines);
    if (stopping) return;
  }
}

void RegistryWatch::Note(const RegistryVisit& visit) {
  {
    const Labels labels(MethodLabel(visit.method), registry::Route::Of(visit.path).endpoint, visit.status);
    const double seconds = static_cast<double>(visit.elapsed.count()) / 1e6;
    auto counts = counts_.lock();
    ++counts->requests[labels];
    for (size_t i = 0; i < kBuckets.size(); ++i)
      if (seconds <= kBuckets[i]) ++counts->within[i];
    ++counts->visits;
    counts->seconds += seconds;
    counts->received_bytes += visit.received_bytes;
    counts->sent_bytes += visit.sent_bytes;
    if (!visit.complete) ++counts->broken_off;
  }
  if (!writer_.joinable()) return;
  std::string line = LogLineOf(visit);
  bool first = false;
  {
    auto pending = pending_.lock();
    if (IsRead(visit) && pending->lines.size() + line.size() > kMostPendingLog) {
      ++left_out_;
      return;
    }
    first = pending->lines.empty();
    pending->lines += line;
  }
  if (first) changed_.notify_all();
}

void RegistryWatch::Describe(PrometheusText& text) const {
  const Counts counts = *counts_.lock();
  text.Metric(
      "ingot_registry_requests_total", "counter",
      "Requests by method, endpoint and status; status 0: the client went before there was an answer.");
  for (const auto& [labels, count] : counts.requests) {
    const auto& [method, endpoint, status] = labels;
    text.Sample(
        count,
        {{"method", method}, {"endpoint", EndpointLabel(endpoint)}, {"status", std::to_string(status)}});
  }
  text.Metric("ingot_registry_request_seconds", "histogram",
              "From the head of a request to the end of its answer.");
  for (size_t i = 0; i < kBuckets.size(); ++i) {
    char bound[32];
    std::snprintf(bound, sizeof bound, "%g", kBuckets[i]);
    text.Sample(counts.within[i], {{"le", bound}}, "_bucket");
  }
  text.Sample(counts.visits, {{"le", "+Inf"}}, "_bucket")
      .Seconds(counts.seconds, {}, "_sum")
      .Sample(counts.visits, {}, "_count")
      .Metric("ingot_registry_received_bytes_total", "counter", "Bodies of requests.")
      .Sample(counts.received_bytes)
      .Metric("ingot_registry_sent_bytes_total", "counter", "Answers with their heads.")
      .Sample(counts.sent_bytes)
      .Metric("ingot_registry_broken_off_total", "counter", "Answers that the client did not take whole.")
      .Sample(counts.broken_off)
      .Metric("ingot_registry_log_left_out_total", "counter",
              "Lines of the access log that could not be written.")
      .Sample(left_out_)
      .Metric("ingot_registry_connections", "gauge", "Open connections.")
      .Sample(static_cast<uint64_t>(std::max<int64_t>(connections_, 0)));
}

}  // namespace ingot::adapters
