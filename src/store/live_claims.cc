#include "store/live_claims.h"

#include "store/lease.h"

namespace ingot::store {

Result<Claimed> ReadLiveClaims(const Store& store, const CatalogRows& rows, const Clock& clock) {
  Claimed claimed;
  ClaimReader reader(store.paths().claims);
  std::set<std::string> sessions;
  const Fd lock = TRY(reader.LockOut());
  for (const LeaseRow& lease : TRY(rows.ListLeases())) {
    const Liveness liveness = LivenessOf(lease);
    if (liveness == Liveness::kAlive || (liveness == Liveness::kUnknown && clock.Now() < lease.expires))
      sessions.insert(lease.claims);
  }
  if (sessions.empty()) return claimed;
  TRY(reader.Update(sessions));
  for (const ClaimReader::Found& found : reader.added()) {
    if (found.kind == ClaimKind::kBlob) claimed.blobs.insert(found.name);
    if (found.kind == ClaimKind::kLayer) claimed.layers.insert(ObjectId(found.name));
  }
  return claimed;
}

}  // namespace ingot::store
