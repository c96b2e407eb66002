#include "base/isal.h"

#include <dlfcn.h>

namespace ingot {
namespace {

constexpr const char* kIsalLibrary = "libisal.so.2";

IsalLibrary LoadIsal() {
  IsalLibrary isal;
  void* library = ::dlopen(kIsalLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return isal;
  isal.init = reinterpret_cast<decltype(isal.init)>(::dlsym(library, "isal_inflate_init"));
  isal.reset = reinterpret_cast<decltype(isal.reset)>(::dlsym(library, "isal_inflate_reset"));
  isal.inflate = reinterpret_cast<decltype(isal.inflate)>(::dlsym(library, "isal_inflate"));
  return isal;
}

}  // namespace

const IsalLibrary* Isal() {
  static const IsalLibrary library = LoadIsal();
  const bool whole = library.init != nullptr && library.reset != nullptr && library.inflate != nullptr;
  return whole ? &library : nullptr;
}

}  // namespace ingot
