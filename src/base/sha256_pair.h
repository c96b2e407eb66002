// SHA-256 of two messages side by side: one SHA-NI round waits for the one before, so two messages that are
// digested in turns take little longer than one. For the equal blocks of a Merkle tree.
#pragma once

#include <cstddef>

#include "base/sha256.h"

namespace ingot {

// The digests of `size_bytes` at `first` and as many at `second`. Any size; fast for multiples of 64 on
// processors with SHA-NI, elsewhere as two Sha256.
void Sha256Pair(const void* first, const void* second, size_t size_bytes, Sha256::Bytes& first_digest,
                Sha256::Bytes& second_digest);

}  // namespace ingot
