// Limits of directories, by project quotas (ext4 and xfs).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.h"

namespace ingot::adapters {

// Why the file system of `directory` does not limit directories, and what to do; empty: it does.
std::string QuotaMissing(const fs::path& directory);

// Everything that is made in the empty `directory` from now on counts together and is at most `size_bytes`
// (0: counted only). kUnsupported where QuotaMissing says why.
Result<void> LimitDirectory(const fs::path& directory, uint64_t size_bytes);
// Another limit for a directory that LimitDirectory has limited; of another one nothing is done.
Result<void> ChangeLimit(const fs::path& directory, uint64_t size_bytes);
// Bytes that such a directory takes; unset for another one.
Result<std::optional<uint64_t>> UsedBy(const fs::path& directory);

}  // namespace ingot::adapters
