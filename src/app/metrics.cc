#include "app/metrics.h"

#include <CLI/CLI.hpp>

#include "app/version.h"
#include "base/prometheus.h"
#include "store/quarantine.h"

namespace ingot::app {

namespace {

struct StoreCounts {
  size_t images = 0;
  size_t tags = 0;
  size_t leases = 0;
  size_t lost = 0;
  std::optional<uint64_t> limit_bytes;
  store::DiskBudget::Usage usage;
};

Result<StoreCounts> CountStore(store::Store& store) {
  StoreCounts counts;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    counts.tags = TRY(rows.ListTags()).size() + TRY(rows.ListRepositoryTags()).size();
    counts.leases = TRY(rows.ListLeases()).size();
    return {};
  }));
  counts.images = TRY(store.ListImages()).size();
  counts.lost = TRY(store::ListLost(store)).size();
  counts.limit_bytes = store.budget().limit_bytes();
  if (counts.limit_bytes) counts.usage = TRY(store.budget().Look());
  return counts;
}

void DescribeStore(PrometheusText& text, store::Store& store) {
  const auto counts = CountStore(store);
  text.Metric("ingot_store_readable", "gauge", "1: the catalog answers. 0: nothing is known of the store.")
      .Sample(counts ? 1 : 0);
  if (!counts) return;
  text.Metric("ingot_store_images", "gauge", "Images that are stored whole.")
      .Sample(counts->images)
      .Metric("ingot_store_tags", "gauge", "Tags, of images built here and of repositories.")
      .Sample(counts->tags)
      .Metric("ingot_store_leases", "gauge", "Processes and requests that keep things from collection.")
      .Sample(counts->leases)
      .Metric("ingot_store_lost_things", "gauge", "Damaged things without another copy.")
      .Sample(counts->lost);
  if (!counts->limit_bytes) return;
  text.Metric("ingot_store_disk_limit_bytes", "gauge", "The host's disk_limit.")
      .Sample(*counts->limit_bytes)
      .Metric("ingot_store_disk_used_bytes", "gauge", "What the store takes on disk.")
      .Sample(counts->usage.used_bytes)
      .Metric("ingot_store_disk_reserved_bytes", "gauge", "What is about to be written.")
      .Sample(counts->usage.reserved_bytes);
}

}  // namespace

Result<std::unique_ptr<adapters::MetricsServer>> ServeMetrics(const std::string& address, store::Store& store,
                                                              const adapters::RegistryWatch* watch,
                                                              std::function<void(PrometheusText&)> more) {
  auto parsed = adapters::TcpAddress::Parse(address);
  if (!parsed) return std::move(parsed).error().While("reading where metrics are served");
  return adapters::MetricsServer::Listen(*parsed, [&store, watch, more = std::move(more)] {
    PrometheusText text;
    text.Metric("ingot_build_info", "gauge", "Which Ingot this is.").Sample(1, {{"version", kVersion}});
    DescribeStore(text, store);
    if (watch != nullptr) watch->Describe(text);
    if (more) more(text);
    return std::move(text).Take();
  });
}

void AddMetricsOption(CLI::App& verb, std::string& address) {
  verb.add_option("--metrics", address,
                  "address and port where GET /metrics is answered, for Prometheus (default: metrics of "
                  "host.yaml)");
}

}  // namespace ingot::app
