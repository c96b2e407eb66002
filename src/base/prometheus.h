// PrometheusText: metrics in Prometheus' text format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace ingot {

class PrometheusText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // Begins a metric; its samples follow. `type`: "counter", "gauge" or "histogram".
  PrometheusText& Metric(std::string_view name, std::string_view type, std::string_view help);
  // Of the metric that was begun; `suffix` is "_bucket" and the like. Values of labels may be any bytes.
  PrometheusText& Sample(uint64_t value, Labels labels = {}, std::string_view suffix = {});
  PrometheusText& Seconds(double value, Labels labels = {}, std::string_view suffix = {});
  std::string Take() && { return std::move(text_); }

 private:
  void Begin(Labels labels, std::string_view suffix);
  std::string name_;
  std::string text_;
};

}  // namespace ingot
