// A check of a canary in words, for people: plans, events, the status of a rollout.
#pragma once

#include <string>
#include <string_view>

#include "definition/resolved.h"

namespace ingot::definition {

// What it asks: the query and its Prometheus, the URL, the command. Long ones are cut.
std::string SubjectOf(const ResolvedCheck& check);
// What it has to be: "< 0.01", "status 200", "exit code 0".
std::string BoundOf(const ResolvedCheck& check);
// At most 200 bytes of UTF-8, with "…" where there was more; one line.
std::string Shortened(std::string_view text);

}  // namespace ingot::definition
