// OCI image layouts (image-spec 1.1, image-layout.md): images as a folder that other tools read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "store/lease.h"
#include "store/store.h"

namespace ingot::store {

// Writes the image into `directory` (made if missing): oci-layout, blobs, and an entry in index.json with
// `name` as its org.opencontainers.image.ref.name ("" for none). A layout that is there gets the image added;
// an entry of the same name is replaced. Layers that were built here are streamed as tars and checked against
// their digest on the way. index.json is written last. kNotFound: no such image; kExists: the folder holds
// something else; kCorrupt: an object or layer is damaged, nothing was added to the index.
Result<void> ExportLayout(Store& store, const oci::Digest& image, const fs::path& directory,
                          std::string_view name);

// Takes one image from a layout into the store: the manifest whose ref name or digest is `name`, or the only
// one there; of an index the one for this machine. Every digest and size is checked. kNotFound, kInvalid (the
// message says which file), kUnsupported (encrypted or foreign layers).
Result<oci::Digest> ImportLayout(Store& store, const fs::path& directory, std::string_view name,
                                 Lease& lease);

}  // namespace ingot::store
