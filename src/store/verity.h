// fs-verity: the kernel checks each read of a sealed file, for good. Objects and sealed layers are named by
// the digest that it then knows them by (object_id.h).
#pragma once

#include "base/file.h"
#include "base/result.h"

namespace ingot::store {

// Seals a complete file that we have open nowhere for writing: SHA-256, blocks of 4 KiB, no salt. One that is
// sealed already stays so; one that somebody else is sealing now is waited for. False where its file system,
// or the kernel, has no fs-verity. kIo when somebody keeps it open for writing, kNoSpace, ….
Result<bool> EnableVerity(const fs::path& path);

// Whether the file is known to be sealed: one cheap look. False also when that cannot be told.
bool IsSealed(const fs::path& path);

// Whether a seal is durable after syncfs alone. btrfs's fsync writes that a file is sealed, but not with
// what: after a power cut the kernel refuses to open it (seen on Linux 6.12). `fd`: anything on the file
// system.
Result<bool> SealNeedsSyncfs(int fd);

}  // namespace ingot::store
