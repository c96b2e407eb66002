// Arbitrary bytes as the answer of a Prometheus, and as a query and a condition of a definition. Besides not
// crashing: there is a number or a reason, never a NaN; a condition is what it is written as again.
#include <cmath>
#include <cstdlib>

#include "adapters/prometheus_answer.h"
#include "definition/condition.h"
#include "definition/promql.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const int status : {200, 400}) {
    const auto number = ingot::adapters::ParsePrometheusAnswer(status, text);
    Require(number ? !std::isnan(*number) : !number.error().message().empty());
  }
  const auto query = ingot::definition::CheckPromql(text);
  Require(query || !query.error().message().empty());
  if (const auto condition = ingot::definition::Condition::Parse(text.substr(0, 60))) {
    const auto again = ingot::definition::Condition::Parse(condition->Render());
    Require(again && *again == *condition && !condition->Holds(std::nan("")));
  }
  return 0;
}
