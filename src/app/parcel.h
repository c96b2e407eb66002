// Parcel: a document and the files that it speaks of, as one body of a request (docs/formats/api.md,
// "Parcels").
//
// It is a line of JSON, then entries: a line `object ID SIZE`, `tree NAME SIZE` or `blob DIGEST SIZE` and
// SIZE bytes each, then a line `end`. Objects go into the receiver's pool, trees are sealed layers without
// their contents (store/sealed_layer.h), blobs are kept as they are. The receiver believes no name: each is
// computed from what came.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/byte_stream.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/result.h"
#include "oci/descriptor.h"
#include "store/store.h"
#include "store/tree.h"

namespace ingot::app {

// One that is sent. One thread.
class OutgoingParcel {
 public:
  explicit OutgoingParcel(const Json& document) : head_(RenderJson(document) + "\n") {}
  // `open` is called when it is that entry's turn, and has to give exactly so many bytes: kConflict
  // otherwise.
  void AddObject(const store::ObjectId& id, uint64_t size_bytes, std::function<Result<Fd>()> open);
  // The same of one that is not a file here.
  void AddObject(const store::ObjectId& id, uint64_t size_bytes,
                 std::function<Result<void>(const ByteSink&)> write);
  void AddTree(const std::string& name, std::string sealed);
  void AddBlob(const oci::Descriptor& blob, std::function<Result<void>(const ByteSink&)> write);

  uint64_t size_bytes() const;
  size_t entries() const { return entries_.size(); }
  // The parcel itself, once; it must outlive the source. `on_bytes`: how many went, for a view.
  ByteSource Source(std::function<void(uint64_t)> on_bytes = {});

 private:
  struct Entry {
    std::string line;
    uint64_t size_bytes = 0;
    std::string text;                                    // of a tree
    std::function<Result<Fd>()> open;                    // of an object
    std::function<Result<void>(const ByteSink&)> write;  // of a blob, or an object
  };
  std::string head_;
  std::vector<Entry> entries_;
};

struct ParcelLimits {
  size_t document_bytes = size_t{32} << 20;
  size_t entries = 2'000'000;
  size_t tree_bytes = size_t{256} << 20;  // of all trees
  uint64_t bytes = uint64_t{256} << 30;   // of all
};

// One that is received. One thread.
class IncomingParcel {
 public:
  IncomingParcel(ByteSource source, store::Store& store, store::Lease& lease)
      : IncomingParcel(std::move(source), store, lease, ParcelLimits()) {}
  IncomingParcel(ByteSource source, store::Store& store, store::Lease& lease, const ParcelLimits& limits)
      : source_(std::move(source)), store_(store), lease_(lease), limits_(limits) {}

  // First. kInvalid: no JSON, or too long.
  Result<Json> ReadDocument();
  // Then the rest, to its end. Objects and blobs are in the store and kept for the lease's life when it
  // returns; what came whole before an error stays there, too, until something collects it: it need not come
  // again. kInvalid: an entry that is none, or whose bytes are not what its name says; kRefused: beyond a
  // limit; the source's errors, the store's.
  Result<void> ReadEntries();
  const std::map<std::string, store::Tree>& trees() const { return trees_; }

 private:
  Result<void> ReadToEnd();
  Result<std::string> ReadLine(size_t limit);
  // Up to `size` of what has been received, more if there is none.
  Result<std::string_view> Take(uint64_t size);
  Result<void> ReadObject(const std::string& name, uint64_t size);
  Result<void> ReadTree(const std::string& name, uint64_t size);
  Result<void> ReadBlob(const std::string& name, uint64_t size);

  const ByteSource source_;
  store::Store& store_;
  store::Lease& lease_;
  const ParcelLimits limits_;
  std::vector<char> buffer_ = std::vector<char>(size_t{256} << 10);
  size_t begin_ = 0;  // of what was received and not used yet
  size_t end_ = 0;
  uint64_t received_ = 0;
  size_t tree_bytes_ = 0;
  std::map<std::string, store::Tree> trees_;
};

}  // namespace ingot::app
