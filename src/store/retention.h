// Retention: which images of a repository stay, and by which rule. Pure: what is known of the images, rules
// and the time in; a verdict for each with its reason out. Who holds an image by something else (a channel,
// what runs, an index, a subject) says so in `held`, and no rule is asked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "oci/digest.h"

namespace ingot::store {

// What any one of them keeps stays. Without any everything stays.
struct RetentionRule {
  std::string repositories;                 // a pattern (base/glob.h)
  std::optional<uint64_t> keep;             // so many, the newest
  std::optional<Milliseconds> keep_for;     // what is younger
  std::vector<std::string> keep_tags;       // what has a tag that matches one of these
  std::optional<Milliseconds> keep_pulled;  // what was pulled so lately
  std::string origin;                       // "host.yaml: team/**", for people

  bool KeepsAll() const { return !keep && !keep_for && keep_tags.empty() && !keep_pulled; }
};

struct RetentionCandidate {
  oci::Digest digest;
  std::vector<std::string> tags;
  WallTime created{};                // or named last
  std::optional<WallTime> pulled{};  // last
  std::string held{};                // what keeps it whatever the rules say; empty: nothing
};

struct RetentionVerdict {
  bool keep = true;
  std::string reason;
};

// The first rule whose pattern matches, when it does not keep all; nullptr: nothing is ever removed.
const RetentionRule* RuleFor(const std::vector<RetentionRule>& rules, std::string_view repository);

// One verdict per candidate, in their order.
std::vector<RetentionVerdict> JudgeRetention(const RetentionRule& rule,
                                             const std::vector<RetentionCandidate>& candidates, WallTime now);

}  // namespace ingot::store
