#include "store/made_blob.h"

#include "store/pulled_stream.h"
#include "store/tar_writer.h"

namespace ingot::store {

Result<void> PutMadeBlob(Store& store, const LayerId& layer, const oci::Digest& diff_id, uint64_t tar_bytes,
                         Lease& lease) {
  const Tree tree = TRY(store.ReadLayer(layer));
  PulledStream tar([&](const ByteSink& sink) { return WriteTar(tree, store.objects(), sink); });
  const ByteSource source = [&](char* buffer, size_t size) { return tar.Read(buffer, size); };
  return store.PutBlobStream(diff_id, source, tar_bytes, lease);
}

}  // namespace ingot::store
