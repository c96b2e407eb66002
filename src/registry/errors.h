// Error answers (distribution-spec 1.1, "Error codes"): {"errors":[{"code","message"}]}.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "registry/message.h"

namespace ingot::registry {

// The codes of the specification, with the status that belongs to each.
enum class ErrorCode {
  kBlobUnknown,          // 404
  kBlobUploadInvalid,    // 400
  kBlobUploadUnknown,    // 404
  kDigestInvalid,        // 400
  kManifestBlobUnknown,  // 404
  kManifestInvalid,      // 400
  kManifestUnknown,      // 404
  kNameInvalid,          // 400
  kNameUnknown,          // 404
  kSizeInvalid,          // 400
  kUnauthorized,         // 401
  kDenied,               // 403
  kUnsupported,          // 405
  kTooManyRequests,      // 429
};

// "BLOB_UNKNOWN", …
std::string_view ErrorCodeName(ErrorCode code);

Response ErrorAnswer(ErrorCode code, std::string_view message);
// With another status, where the specification says so (413, 416).
Response ErrorAnswer(int status, ErrorCode code, std::string_view message);
// What went wrong on this side: 507 when the disk is full, 503 when another writer held the catalog, else
// 500.
Response ErrorAnswer(const Error& error);

}  // namespace ingot::registry
