// A manifest or an index as it came from somewhere: its bytes, which its digest is taken of.
#pragma once

#include <string>

#include "oci/digest.h"

namespace ingot::registry {

struct RemoteManifest {
  oci::Digest digest;      // of the bytes
  std::string media_type;  // by header, else by what the document says
  std::string bytes;
};

// The type of a document that its sender did not name: what it says itself, else by its members.
std::string MediaTypeOf(std::string_view bytes);

}  // namespace ingot::registry
