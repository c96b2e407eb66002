// Copies files out of a directory that a stranger filled.
#pragma once

#include <string>

#include "platform/runtime.h"

namespace ingot::adapters {

// Copies what is below the directory `from` to `target` + `path` (absolute, plain), which must not exist,
// adding to `out`. Only plain files and directories: what else there is (symbolic links, devices, names that
// are no UTF-8, hard-linked or not) is left out and named, so that nobody who reads the copy is led
// elsewhere. At most `limit_bytes` of contents, 100'000 entries, 64 levels. Owned by us, without any execute
// or set-id bit. Durable when it returns.
Result<void> CopyTreeOut(int from, const fs::path& target, const std::string& path, uint64_t limit_bytes,
                         platform::CopiedOut& out);

}  // namespace ingot::adapters
