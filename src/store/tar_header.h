// One header block of a tar, as bytes: fields, checksum, numbers in octal or base 256, PAX records.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/tar_sparse.h"

namespace ingot::store {

constexpr size_t kTarBlock = 512;

struct TarHeader {
  std::string name;
  std::string link;
  char type = '0';
  uint64_t mode = 0;
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t size = 0;
  int64_t mtime_s = 0;
  uint32_t mtime_ns = 0;
  int64_t major = 0;
  int64_t minor = 0;
  // Of a sparse file. Of PAX 1.0 the parts stand before its contents and are still to be read.
  std::optional<SparseMap> sparse;
  bool sparse_in_contents = false;
};

// A field of a header: octal digits with spaces around them, or base 256. kInvalid names `what`.
Result<int64_t> ParseTarNumber(std::string_view field, std::string_view what);

// POSIX ustar, GNU and version 7 headers. kInvalid: not 512 bytes, a wrong checksum, a field that is no
// number.
Result<TarHeader> ParseTarHeader(std::string_view block);

// The records of a PAX header ("LEN key=value\n"); a later one wins. kInvalid when they do not add up.
Result<std::map<std::string, std::string>> ParsePaxRecords(std::string_view data);

// Sets the fields that the records name. kInvalid for a value that is no number, kUnsupported for sparse
// files of PAX 0.0, whose map is told by the order of its records.
Result<void> ApplyPaxRecords(const std::map<std::string, std::string>& records, TarHeader& header);

}  // namespace ingot::store
