#include "base/prometheus.h"

#include <cstdio>

namespace ingot {

PrometheusText& PrometheusText::Metric(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
  text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  return *this;
}

void PrometheusText::Begin(Labels labels, std::string_view suffix) {
  text_.append(name_).append(suffix);
  char before = '{';
  for (const auto& [key, value] : labels) {
    text_ += before;
    before = ',';
    text_.append(key).append("=\"");
    for (const char c : value) {
      if (c == '\n') {
        text_ += "\\n";
        continue;
      }
      if (c == '"' || c == '\\') text_ += '\\';
      // Values are UTF-8; what cannot be is shown as something else.
      text_ += static_cast<unsigned char>(c) >= 0x80 ? '?' : c;
    }
    text_ += '"';
  }
  if (before == ',') text_ += '}';
  text_ += ' ';
}

PrometheusText& PrometheusText::Sample(uint64_t value, Labels labels, std::string_view suffix) {
  Begin(labels, suffix);
  text_.append(std::to_string(value)).append("\n");
  return *this;
}

PrometheusText& PrometheusText::Seconds(double value, Labels labels, std::string_view suffix) {
  Begin(labels, suffix);
  char number[40];
  std::snprintf(number, sizeof number, "%.6f\n", value);
  text_ += number;
  return *this;
}

}  // namespace ingot
