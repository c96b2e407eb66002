// Layers of an image from elsewhere, sealed one on the other from the lowest.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "oci/descriptor.h"
#include "store/lease.h"
#include "store/store.h"
#include "store/tar_reader.h"

namespace ingot::store {

// How the tars of layers from elsewhere are read. Nothing in the world is compressed a hundredfold but zeros,
// and nobody ships a gigabyte of them.
TarOptions ImportedTarOptions();

// One thread.
class ImportedLayers {
 public:
  ImportedLayers(Store& store, Lease& lease) : store_(store), lease_(lease) {}

  // Seals an archive that was read from the blob `descriptor`; folders that it does not name take their
  // attributes from the layers below. `keep_blob` is called when the blob has to be in the store: the
  // manifest names it, and it is not the canonical tar, which is made when somebody reads it. kInvalid when
  // the archive's diff_id is not `diff_id`.
  Result<void> Add(ReadArchive archive, const oci::Descriptor& descriptor, const oci::Digest& diff_id,
                   const std::function<Result<void>()>& keep_blob);
  // A layer that was sealed before on the same layers below.
  void AddSealed(Layer layer);

  const std::vector<Layer>& layers() const { return layers_; }

 private:
  Store& store_;
  Lease& lease_;
  std::vector<Layer> layers_;
  Tree merged_;
  size_t in_merged_ = 0;     // how many of layers_ merged_ holds
  std::optional<Tree> top_;  // the one above those, if it is at hand
};

}  // namespace ingot::store
