// Images from elsewhere, as FROM, COPY --from and `image:` name them. Internal.
#pragma once

#include <string>

#include "base/result.h"
#include "build/build_session.h"
#include "oci/digest.h"
#include "oci/reference.h"

namespace ingot::build {

// The manifest of the image for this machine behind `reference` (Normalized), which `image` of the definition
// needs: by its pin in ingot.lock, of the store if it has it, else of what was pushed to the store's
// registry, else pulled; a reference without a pin is resolved and pinned. One at a time. kRefused: not
// pinned, and the build was to be `locked`. Else as registry::PullImage.
Result<oci::Digest> PulledImage(BuildSession& session, const std::string& image,
                                const oci::Reference& reference);

}  // namespace ingot::build
