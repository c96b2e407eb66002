// Moving a channel: what `ingot promote` does in the store of this host, and what the daemon does when
// somebody promotes from another host.
#pragma once

#include <optional>
#include <string>

#include "audit/sink.h"
#include "base/json.h"
#include "base/result.h"
#include "definition/definition.h"
#include "oci/digest.h"
#include "policy/promotion.h"
#include "store/store.h"

namespace ingot::app {

// The image that a promotion is about, as one writes it: "web", "web:TAG" or "web@DIGEST", each also with
// "PROJECT/" before it.
struct PromotedName {
  std::string name;  // in the definition
  std::string tag = "latest";
  std::optional<oci::Digest> digest;  // set: instead of the tag
  // kInvalid: no such image in the definition, no digest.
  static Result<PromotedName> Parse(const definition::Definition& definition, const std::string& text);
};

struct PromotionRequest {
  std::string project;
  std::string name;  // of the image
  oci::Digest digest;
  std::string from;  // the environment that `to` is promoted from; empty: none
  std::string to;
  std::string actor;
  std::string reason;
  std::string from_host;  // for the record: where `from` is, when that is another host
};

struct Promoted {
  store::Promotion promotion;
  bool moved = true;  // false: the channel held it already
};

// What the store knows of the image that speaks for a promotion. kNotFound: it has no such image.
Result<policy::PromotionFacts> FactsOf(const store::CatalogRows& rows, const PromotionRequest& request);

// Moves the channel and records it as an event, or finds that it has been moved. kRefused with what is
// missing; errors of the store, of the record (the promotion stands then).
Result<Promoted> MoveChannel(store::Store& store, audit::Sink& events, const PromotionRequest& request);

// Inverses, as the API has it.
Json ToJson(const Promoted& promoted);
Result<Promoted> PromotedFrom(const JsonObject& object);

}  // namespace ingot::app
