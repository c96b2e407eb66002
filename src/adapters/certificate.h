// Certificates for the router's listeners, read from PEM files.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

struct Certificate {
  std::string pem;                 // the certificate, those up to its authority, the key: nothing else
  std::vector<std::string> names;  // DNS names that it is for, lower case; its common name when it has none
  WallTime begins{};
  WallTime ends{};
};

// kInvalid: a file is not what it should be, is encrypted, or the key belongs to another certificate.
// kNotFound, kPermission, kIo. An expired one is no error: whoever asks looks at `ends`.
Result<Certificate> LoadCertificate(const fs::path& certificate, const fs::path& key);

}  // namespace ingot::adapters
