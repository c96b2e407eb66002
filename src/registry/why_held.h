// Why is this kept? Every root that holds an image, a manifest, a blob, a layer or an object.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/retention.h"
#include "store/store.h"

namespace ingot::registry {

struct Holder {
  // "tag", "channel", "revision" (runs, is warm or may be rolled back to), "lease", "build cache",
  // "retention", "registry tag", "index", "subject", "registry", "image", "layer".
  std::string kind;
  std::string name;
  std::string detail;  // for people; may be empty
  // Of an image, manifest or layer that holds it: what holds that.
  std::vector<Holder> by;
  bool operator==(const Holder&) const = default;
};

struct Held {
  std::vector<std::string> what;  // "image", "manifest", "blob", "layer", "object": what it is here
  std::vector<Holder> by;         // empty: the next collection removes it
};

struct WhyOptions {
  Milliseconds keep_cache = std::chrono::hours(24 * 7);
  std::vector<store::RetentionRule> rules;
};

// `name`: a digest ("sha256:…", of a manifest, configuration or layer), or 64 hex digits of an object or
// sealed layer. kNotFound when the store has no such thing.
Result<Held> WhyHeld(store::Store& store, const std::string& name, const WhyOptions& options,
                     const Clock& clock);

}  // namespace ingot::registry
