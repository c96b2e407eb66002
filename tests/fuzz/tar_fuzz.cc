// ReadTar on any bytes (plain or compressed): no crash, only canonical names, and a tree that can be written
// again.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/file.h"
#include "store/object_pool.h"
#include "store/tar_reader.h"
#include "store/tar_writer.h"

namespace {

ingot::store::ObjectPool& Pool() {
  static const auto directory =
      ingot::TempDirectory::Make(ingot::fs::temp_directory_path(), "ingot-tar-fuzz-");
  static auto pool = ingot::store::ObjectPool::Open(directory->path() / "objects");
  return *pool;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::store;
  TarOptions options;
  options.limits.max_entries = 1000;
  options.limits.max_bytes = 16 << 20;
  const auto source = ingot::SourceOf(std::string_view(reinterpret_cast<const char*>(data), size));
  const auto read = ReadTar(source, Pool(), options);
  if (!read) {
    if (read.error().code() == ingot::Code::kInternal || read.error().code() == ingot::Code::kIo)
      std::abort();
    return 0;
  }
  for (const auto& [path, id] : read->tree.names()) {
    if (!ingot::store::ValidatePath(path)) std::abort();
  }
  std::string tar;
  const auto written = WriteTar(read->tree, Pool(), [&](std::string_view piece) {
    tar += piece;
    return ingot::Result<void>();
  });
  if (!written || tar.size() != TarSize(read->tree)) std::abort();
  const auto again = ReadTar(ingot::SourceOf(tar), Pool());
  if (!again || !(again->tree == read->tree)) std::abort();
  return 0;
}
