#include "registry/archive_writer.h"

#include <cstdio>
#include <cstring>

#include "store/tar_header.h"

namespace ingot::registry {
namespace {

using store::kTarBlock;

// A ustar header (POSIX.1); a size beyond 8 GiB as GNU tar writes it.
std::string HeaderOf(std::string_view name, uint64_t size) {
  std::string block(kTarBlock, '\0');
  name.copy(block.data(), 100);
  std::memcpy(block.data() + 100, "0000644\0000000000\0000000000", 24);
  if (size < (uint64_t{1} << 33)) {
    std::snprintf(block.data() + 124, 12, "%011llo", static_cast<unsigned long long>(size));
  } else {
    block[124] = static_cast<char>(0x80);
    for (int i = 0; i < 8; ++i)
      block[static_cast<size_t>(135 - i)] = static_cast<char>((size >> (8 * i)) & 0xff);
  }
  std::memcpy(block.data() + 136, "00000000000", 12);
  std::memset(block.data() + 148, ' ', 8);
  block[156] = '0';
  std::memcpy(block.data() + 257, "ustar\00000", 8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(block.data() + 148, 8, "%06o", sum);
  block[155] = ' ';
  return block;
}

}  // namespace

Result<void> ArchiveWriter::Add(std::string_view name, uint64_t size_bytes,
                                const std::function<Result<void>(const ByteSink&)>& write) {
  if (name.empty() || name.size() > 100)
    return Error(Code::kInternal, "an archive's file has a name of more than 100 bytes");
  TRY(sink_(HeaderOf(name, size_bytes)));
  uint64_t written = 0;
  TRY(write([&](std::string_view bytes) -> Result<void> {
    if (bytes.size() > size_bytes - written)
      return Error(Code::kInvalid, std::string(name) + " is longer than it was said to be");
    written += bytes.size();
    return sink_(bytes);
  }));
  if (written != size_bytes)
    return Error(Code::kInvalid, std::string(name) + " is shorter than it was said to be");
  names_.emplace(name);
  const size_t rest = size_bytes % kTarBlock;
  return rest == 0 ? Result<void>() : sink_(std::string(kTarBlock - rest, '\0'));
}

Result<void> ArchiveWriter::Add(std::string_view name, std::string_view bytes) {
  return Add(name, bytes.size(), [&](const ByteSink& sink) { return sink(bytes); });
}

Result<void> ArchiveWriter::Finish() {
  return sink_(std::string(2 * kTarBlock, '\0'));
}

}  // namespace ingot::registry
