// ISA-L (Intel's storage library, of AMD's and ARM's processors as well): inflates twice as fast as zlib.
// Debian has no archive of it to link, and most verbs need none of it, so it is loaded when it is first
// wanted, and done without where it is not installed (package libisal2).
#pragma once

#include <isa-l/igzip_lib.h>

namespace ingot {

struct IsalLibrary {
  decltype(&::isal_inflate_init) init = nullptr;
  decltype(&::isal_inflate_reset) reset = nullptr;
  decltype(&::isal_inflate) inflate = nullptr;
};

// nullptr: it is not installed. Any thread; valid until the process ends.
const IsalLibrary* Isal();

}  // namespace ingot
