// May an image be promoted to an environment's channel? And may an environment deploy it? Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/digest.h"
#include "policy/policy.h"

namespace ingot::policy {

struct PromotionFacts {
  std::string name;  // as one would write it: "web@sha256:…"
  bool golden = false;
  std::string to;
  std::string from;              // the environment that `to` is promoted from; empty: none
  bool rolled_out_from = false;  // a rollout of the image has completed in `from`
  bool held_by_from = false;     // the channel `from` holds it
};

// Against it: an image that is not golden; one that was not verified in the environment before.
Verdict JudgePromotion(const PromotionFacts& facts);

// What an environment that deploys only what was promoted is about to deploy.
struct ChannelFacts {
  std::string image;  // the image's name in the definition
  oci::Digest digest;
  std::string environment;
  std::string from;
  std::optional<oci::Digest> held;  // by the environment's channel
  bool verified = false;            // in `from`
  bool from_elsewhere = false;      // it was not built here, and has no channel: to be verified is enough
};

// Against it: each image that the channel does not hold, with the command that is missing.
Verdict JudgeChannels(const std::vector<ChannelFacts>& images);

}  // namespace ingot::policy
