#include "registry/blob_trust.h"

#include <cerrno>

#include "store/file_check.h"

namespace ingot::registry {
namespace {

// Some 200 bytes each; beyond that all are read again.
constexpr size_t kMostTrusted = 200'000;

}  // namespace

bool BlobTrust::Knows(const oci::Digest& digest) {
  return state_.lock()->seen.contains(digest);
}

void BlobTrust::Trust(const oci::Digest& digest, const struct stat& file) {
  auto state = state_.lock();
  if (state->seen.size() >= kMostTrusted) state->seen.clear();
  state->seen[digest] = Seen::Of(file);
}

Result<void> BlobTrust::Check(const oci::Digest& digest, int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return ErrnoError(errno, "look at a blob");
  {
    auto state = state_.lock();
    while (true) {
      const auto seen = state->seen.find(digest);
      if (seen != state->seen.end() && seen->second == Seen::Of(st)) return {};
      if (state->being_read.insert(digest).second) break;
      state.Wait(ended_);
    }
  }
  store::FileCheck check;
  auto checked = check.Blob(fd, digest);
  if (checked) Trust(digest, st);
  state_.lock()->being_read.erase(digest);
  ended_.notify_all();
  if (checked) return {};
  if (checked.error().code() != Code::kCorrupt) return std::move(checked).error();
  return Error(Code::kCorrupt, "The blob " + digest.Render() + " is damaged (" + checked.error().message() +
                                   ") and is not served. Push it again, or run: ingot verify --repair");
}

}  // namespace ingot::registry
