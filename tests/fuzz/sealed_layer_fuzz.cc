// ParseSealed on any bytes: no crash, no endless work, and what it accepts is a tree that seals and reads
// back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "store/sealed_layer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ingot::store::ParseSealed;
  using ingot::store::RenderSealed;
  const auto tree = ParseSealed(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!tree) return 0;
  const auto image = RenderSealed(*tree);
  if (!image) std::abort();
  const auto again = ParseSealed(*image);
  if (!again || !(*again == *tree)) std::abort();
  return 0;
}
