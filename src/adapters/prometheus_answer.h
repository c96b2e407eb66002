// What a Prometheus answers to an instant query: its HTTP API, version 1 (prometheus.io, "HTTP API").
#pragma once

#include <string_view>

#include "base/result.h"

namespace ingot::adapters {

// The one number of a scalar, or of a vector with exactly one sample; may be infinite. What else it says is
// an Error that tells people why there is none: kRefused: the query was refused; kNotFound: no sample, or
// NaN; kConflict: several samples; kUnsupported: something that is no number; kUnavailable: a status of a
// server in trouble; kInvalid: no answer of a Prometheus. The bytes may be anything.
Result<double> ParsePrometheusAnswer(int status, std::string_view body);

}  // namespace ingot::adapters
