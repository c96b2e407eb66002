#include "adapters/prometheus_answer.h"

#include <charconv>
#include <cmath>
#include <string>

#include "base/json.h"

namespace ingot::adapters {

namespace {

constexpr size_t kShownBytes = 300;

Error NoAnswer(int status) {
  return Error(Code::kInvalid, "what it sent (status " + std::to_string(status) +
                                   ") is no answer of a Prometheus; see that the URL is that of one");
}

// [unix time, "0.25"]
Result<double> NumberOf(const Json& value, int status) {
  if (!value.is_array() || value.get_array().size() != 2 || !value.get_array()[1].is_string())
    return NoAnswer(status);
  std::string_view text = value.get_array()[1].get_string();
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size()) return NoAnswer(status);
  if (std::isnan(number))
    return Error(Code::kNotFound, "the answer is NaN, often 0 divided by 0: nothing was counted");
  return number;
}

Result<double> SampleOf(const JsonArray& samples, int status) {
  if (samples.empty()) return Error(Code::kNotFound, "the answer is empty: no series fits the query");
  if (samples.size() > 1)
    return Error(Code::kConflict, "the answer has " + std::to_string(samples.size()) +
                                      " samples, expected one; aggregate them, such as by sum(…)");
  if (!samples[0].is_object()) return NoAnswer(status);
  const JsonObject& sample = samples[0].get_object();
  if (sample.contains("histogram"))
    return Error(Code::kUnsupported, "the answer is a histogram, expected a number");
  const Json* value = sample.if_contains("value");
  if (value == nullptr) return NoAnswer(status);
  return NumberOf(*value, status);
}

}  // namespace

Result<double> ParsePrometheusAnswer(int status, std::string_view body) {
  const Result<Json> json = ParseJson(body);
  const JsonObject* answer = json && json->is_object() ? &json->get_object() : nullptr;
  const std::string said = answer == nullptr ? "" : StringOr(*answer, "status", "");
  if (said == "error")
    return Error(Code::kRefused, "it refused the query: " + StringOr(*answer, "errorType", "error") + ": " +
                                     StringOr(*answer, "error", "").substr(0, kShownBytes));
  if (status != 200) return Error(Code::kUnavailable, "it answered with status " + std::to_string(status));
  if (said != "success") return NoAnswer(status);
  const auto data = GetObject(*answer, "data");
  if (!data) return NoAnswer(status);
  const std::string type = StringOr(**data, "resultType", "");
  const Json* result = (*data)->if_contains("result");
  if (result == nullptr || !result->is_array()) return NoAnswer(status);
  if (type == "scalar") return NumberOf(*result, status);
  if (type == "vector") return SampleOf(result->get_array(), status);
  if (type == "matrix" || type == "string")
    return Error(Code::kUnsupported,
                 "the answer is a " + type + ", expected a scalar or a vector of one sample");
  return NoAnswer(status);
}

}  // namespace ingot::adapters
