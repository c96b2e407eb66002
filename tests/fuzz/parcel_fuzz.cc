// Any bytes as a parcel from another host: no crash; what is taken has the name that it came under, and its
// trees are laid out in their folder and nowhere else.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "app/parcel.h"
#include "base/file.h"
#include "store/memory_catalog.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  static const TempDirectory folder =
      *TempDirectory::Make(std::filesystem::temp_directory_path(), "parcel_fuzz-");
  static FakeClock clock;
  static store::MemoryCatalog catalog;
  static const auto opened = *store::Store::Open(store::StorePaths::Below(folder.path()), catalog, clock);
  store::Store& store = *opened;
  auto lease = store.TakeLease("fuzz");
  if (!lease) std::abort();
  std::string_view left(reinterpret_cast<const char*>(data), size);
  const size_t piece = 1 + size % 37;
  app::ParcelLimits limits;
  limits.bytes = 1 << 20;
  app::IncomingParcel parcel(
      [&](char* to, size_t room) -> Result<size_t> {
        const size_t n = left.copy(to, std::min(room, piece));
        left.remove_prefix(n);
        return n;
      },
      store, *lease, limits);
  if (!parcel.ReadDocument() || !parcel.ReadEntries()) return 0;
  for (const auto& [name, tree] : parcel.trees())
    tree.Walk([](const std::string& path, const store::Node&, bool) {
      if (!store::ValidatePath(path)) std::abort();
    });
  const auto objects = store.objects().List();
  if (!objects) std::abort();
  for (const store::ObjectId& id : *objects) {
    if (!store.objects().Verify(id)) std::abort();
    if (!store.objects().Remove(id)) std::abort();
  }
  return 0;
}
