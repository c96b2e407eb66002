// Carrying an image from the host of one environment to that of another one, through whoever may ask both:
// neither knows the other. Nothing is kept here, and no root is needed.
#pragma once

#include <string>

#include "app/daemon_client.h"
#include "base/json.h"
#include "oci/digest.h"

namespace ingot::app {

// An image as its host describes it (docs/formats/api.md, "POST ENV/images/describe").
struct DescribedImage {
  std::string name;  // in the definition
  oci::Digest digest;
  std::string manifest;  // its bytes, of `digest`
  std::string config;
  bool golden = false;
  Json tests;
  bool rolled_out = false;    // a rollout of it has completed in the environment
  bool held = false;          // the environment's channel holds it
  JsonArray pulled;           // digests of what is only pulled and was proven in the environment
  std::vector<bool> is_blob;  // by layer: it is given as the blob as it came, not as files
};

// `digest` unset: what `tag` names. kNotFound: the host has no such image; kCorrupt: it is not what its
// digest says.
Result<DescribedImage> DescribeImage(DaemonClient& source, const std::string& project,
                                     const std::string& environment, const std::string& name,
                                     const std::string& tag, const std::optional<oci::Digest>& digest);

struct CarriedImage {
  size_t layers = 0;  // that were sent; 0 with the others: the host had all of it
  size_t files = 0;
  uint64_t sent_bytes = 0;
};

// To the host of `to`, which believes no name: what arrives is the image of that digest, byte by byte, or
// nothing. Errors of both hosts and of the way.
Result<CarriedImage> CarryImage(DaemonClient& source, DaemonClient& target, const std::string& project,
                                const std::string& from, const std::string& to, const DescribedImage& image,
                                bool show_progress);

}  // namespace ingot::app
