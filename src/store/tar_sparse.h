// Sparse files in tars: GNU's own header (type 'S') and its PAX forms 0.1 and 1.0. What is stored are
// segments; all between them is zeros.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/byte_stream.h"
#include "base/result.h"

namespace ingot::store {

struct SparseMap {
  struct Segment {
    uint64_t offset = 0;
    uint64_t size = 0;
    bool operator==(const Segment&) const = default;
  };
  std::vector<Segment> segments;
  uint64_t real_size = 0;  // of the file
  bool operator==(const SparseMap&) const = default;

  // kInvalid unless the segments ascend, do not overlap, end within the file, and are `stored` bytes
  // together.
  Result<void> Check(uint64_t stored) const;
};

// Adds the segments that a header of type 'S' (at most 4, with the file's size) or one of the blocks behind
// it (at most 21) holds. True when another such block follows. kInvalid.
Result<bool> AddSparseHeader(std::string_view block, SparseMap& map);
Result<bool> AddSparseBlock(std::string_view block, SparseMap& map);
// GNU.sparse.map: "offset,size,offset,size". kInvalid.
Result<void> ParseSparseList(std::string_view text, SparseMap& map);
// PAX 1.0: the map stands before the contents, as decimal lines in whole blocks. `next` gives blocks of 512
// bytes; returns how many bytes the map took. kInvalid.
Result<uint64_t> ReadSparseLines(const std::function<Result<std::string>()>& next, SparseMap& map);

// The file's bytes, from a source of the segments'. Both must outlive it.
ByteSource ExpandSparse(const SparseMap& map, const ByteSource& stored);

}  // namespace ingot::store
