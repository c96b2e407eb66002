// Any bytes as ingot.yaml: no crash, no unbounded work; what parses resolves, and its JSON reads back the
// same.
#include <cstdint>
#include <cstdlib>

#include "definition/parse.h"
#include "definition/resolve.h"
#include "definition/resolved.h"
#include "definition/unsupported.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace definition = ingot::definition;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const definition::Variables variables{{{"NAME", "value"}}, "c0ffee"};
  const definition::Parsed parsed = definition::ParseAll(bytes, "ingot.yaml", variables);
  if (parsed.definition.has_value() == !parsed.problems.empty()) std::abort();
  if (parsed.problems.size() > definition::kMaxProblems) std::abort();
  if (!parsed.definition) return 0;
  for (const auto& environment : parsed.definition->environments) {
    (void)definition::NotYetSupported(*parsed.definition, environment.first);
    definition::ResolveInput input;
    input.environment = environment.first;
    for (const auto& image : parsed.definition->images)
      input.image_digests[image.first] = ingot::oci::Digest::Of(image.first);
    for (const auto& secret : parsed.definition->secrets) input.secret_versions[secret.first] = "1";
    const auto resolved = definition::Resolve(*parsed.definition, input);
    if (!resolved) std::abort();
    const auto json = ingot::ParseJson(ingot::RenderCanonical(definition::ToJson(*resolved)));
    if (!json) std::abort();
    const auto back = definition::ResolvedFromJson(*json);
    if (!back || !(*back == *resolved)) std::abort();
    if (definition::RevisionDigest(*back) != definition::RevisionDigest(*resolved)) std::abort();
  }
  return 0;
}
