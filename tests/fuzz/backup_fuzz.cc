// ReadBackup on any bytes: no crash, and whatever they are, nothing beside the folder that was given.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "backup/check.h"
#include "backup/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  static const auto directory = TempDirectory::Make(fs::temp_directory_path(), "ingot-backup-fuzz-");
  const fs::path into = directory->path() / "into";
  if (!RemoveTree(into) || !MakeDirectories(into, 0700)) std::abort();
  backup::ReadOptions options;
  options.into = into;
  const auto read =
      backup::ReadBackup(SourceOf(std::string_view(reinterpret_cast<const char*>(data), size)), options);
  if (!read && read.error().code() == Code::kInternal) std::abort();
  const auto beside = ListDirectory(directory->path());
  if (!beside || beside->size() != 1) std::abort();
  const auto made = ListDirectory(into);
  if (!made) std::abort();
  // What is at the top is what a root has there.
  for (const std::string& name : *made)
    if (name != "state.db" && name != "store.db" && name != "secrets.key" && name != "scripts" &&
        name != "secrets" && name != "objects" && name != "layers" && name != "blobs" && name != "volumes")
      std::abort();
  return 0;
}
