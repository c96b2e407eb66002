// Lease: "I am making something; what I have seen must not be collected."
//
// Garbage collection runs while others import. What an import made, or found present and relies on, has no
// name yet, so nothing says that it is needed. Hence:
//
//  1. An importer commits a lease row before it looks whether anything exists.
//  2. Whatever it makes or finds present (an object, a sealed layer, a blob) it first claims: the name is
//     appended to the claims file of its process, then it looks, both under a shared lock (flock of
//     claims/lock).
//  3. The collector unlinks in small batches, each inside one catalog transaction and under the exclusive
//     lock, after it has read the leases and claims again.
//
// So between "it is there" and the row that refers to it nothing can be unlinked. A lease ends when it is
// released, or with its process (pid, start time and boot are in the row): a crash leaves no lease behind.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/digest.h"
#include "store/catalog.h"

namespace ingot::store {

class Claims;

// Released when it dies. Take it before the first look, keep it until what was made has a name (a tag, a pin,
// a cache entry). Must not outlive its Store. Cheap: one commit each to take and to release.
class Lease {
 public:
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  const std::string& id() const { return row_.id; }
  // Keeps an image (with its layers and objects) for the lease's life. kNotFound when there is no such image:
  // it may have been collected just before.
  Result<void> KeepImage(const oci::Digest& digest);
  // Ends it now, with the error that the destructor cannot give. On an error it stays until the process ends.
  Result<void> Release();

 private:
  friend class Store;
  Lease(Catalog* catalog, std::shared_ptr<Claims> claims, LeaseRow row);
  Catalog* catalog_;
  std::shared_ptr<Claims> claims_;  // shared with the Store and its other leases: one file per process
  LeaseRow row_;
};

enum class Liveness { kAlive, kDead, kUnknown };
// Whether the process that took a lease still runs. kUnknown: it lives in another pid namespace (then
// `expires` decides).
Liveness LivenessOf(const LeaseRow& lease);
// The row of this process, without id, purpose and claims.
Result<LeaseRow> LeaseOfThisProcess();

}  // namespace ingot::store
