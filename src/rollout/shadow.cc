#include "rollout/shadow.h"

#include <cstdio>

namespace ingot::rollout {

namespace {

// That a good fleet is ever taken for a bad one, by either of the two numbers.
constexpr double kEvidenceNeeded = 2 / 0.001;

std::string PerCent(double share) {
  char text[40];
  std::snprintf(text, sizeof text, "%.4g %%", 100 * share);
  return text;
}

double ShareOfAll(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::string Numbers(const platform::ShadowCounters& counted) {
  const auto number = [](uint64_t value) { return std::to_string(value); };
  std::string out = number(counted.Different()) + " of " + number(counted.Compared()) + " answers differ (" +
                    PerCent(ShareOfAll(counted.Different(), counted.Compared())) + ": " +
                    number(counted.other_status) + " in status, " + number(counted.other_body) +
                    " in body), " + number(counted.Unanswered()) + " of " + number(counted.Over()) +
                    " copies had no answer (" + PerCent(ShareOfAll(counted.Unanswered(), counted.Over())) +
                    ": " + number(counted.failed) + " failed, " + number(counted.timed_out) + " timed out)";
  if (counted.body_unknown > 0)
    out += ", of " + number(counted.body_unknown) + " more the bodies could not be compared";
  if (counted.skipped > 0) out += ", " + number(counted.skipped) + " were not copied";
  for (size_t i = 0; i < counted.examples.size(); ++i)
    out += (i == 0 ? "; such as " : ", ") + counted.examples[i];
  return out;
}

// What is too few, and what can be done about it.
std::string TooFew(const definition::ResolvedShadow& shadow, const platform::ShadowCounters& counted) {
  std::string out = "too few answers to compare: " + std::to_string(counted.Compared()) + " of at least " +
                    std::to_string(shadow.least);
  if (counted.body_unknown > 0)
    out += "; of " + std::to_string(counted.body_unknown) +
           " more the bodies could not be compared (bodies: false compares statuses alone)";
  if (counted.skipped > 0) out += "; " + std::to_string(counted.skipped) + " were not copied";
  return out;
}

}  // namespace

Finding JudgeShadow(const definition::ResolvedShadow& shadow, const platform::ShadowCounters& counted,
                    bool over) {
  Finding out;
  if (counted.Over() < shadow.least) {
    out.text = TooFew(shadow, counted);
    return out;
  }
  const auto beyond = [&](uint64_t part, uint64_t whole, uint32_t limit) {
    const double allowed = limit / 10'000.0;
    return over ? ShareOfAll(part, whole) > allowed : Evidence(part, whole, allowed) > kEvidenceNeeded;
  };
  const bool differs = beyond(counted.Different(), counted.Compared(), shadow.differences);
  const bool fails = beyond(counted.Unanswered(), counted.Over(), shadow.errors);
  if (differs || fails) {
    out.outcome = Outcome::kFailure;
    out.text = Numbers(counted) + "; allowed are " + PerCent(shadow.differences / 10'000.0) +
               " differences and " + PerCent(shadow.errors / 10'000.0) + " without an answer";
    return out;
  }
  if (counted.Compared() < shadow.least) {
    out.text = TooFew(shadow, counted);
    return out;
  }
  out.outcome = Outcome::kSuccess;
  out.text = Numbers(counted);
  return out;
}

JsonObject ToJson(const platform::ShadowCounters& counted) {
  JsonArray examples;
  for (const std::string& example : counted.examples) examples.emplace_back(example);
  const uint64_t answered = counted.Compared() + counted.body_unknown;
  const auto mean = [&](uint64_t sum) { return answered == 0 ? Json(nullptr) : Json(sum / answered); };
  return {{"mirrored", counted.Over() + counted.in_flight},
          {"in_flight", counted.in_flight},
          {"same", counted.same},
          {"other_status", counted.other_status},
          {"other_body", counted.other_body},
          {"body_unknown", counted.body_unknown},
          {"failed", counted.failed},
          {"timed_out", counted.timed_out},
          {"skipped", counted.skipped},
          {"mean_ms", mean(counted.real_ms)},
          {"shadow_mean_ms", mean(counted.shadow_ms)},
          {"examples", std::move(examples)}};
}

}  // namespace ingot::rollout
