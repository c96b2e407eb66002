#include "oci/digest.h"

#include <algorithm>

#include "base/sha256.h"
#include "base/sha512.h"

namespace ingot::oci {

Result<Digest> Digest::Parse(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view algorithm = text.substr(0, colon);
  const std::string_view hex = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const bool hexadecimal = std::all_of(
      hex.begin(), hex.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  const bool length =
      (algorithm == "sha256" && hex.size() == 64) || (algorithm == "sha512" && hex.size() == 128);
  if (!hexadecimal || !length)
    return Error(Code::kInvalid,
                 "\"" + std::string(text.substr(0, 150)) +
                     "\" is not a digest; expected sha256: and 64 lower-case hexadecimal digits");
  return Digest(std::string(text));
}

Digest Digest::Of(std::string_view bytes) {
  return FromSha256Hex(Sha256Hex(bytes));
}

Result<Digest> Digest::Of(std::string_view algorithm, std::string_view bytes) {
  if (algorithm == "sha256") return Of(bytes);
  if (algorithm == "sha512") return FromSha512Hex(Sha512Hex(bytes));
  return Error(Code::kInvalid, "\"" + std::string(algorithm.substr(0, 40)) +
                                   "\" is not a digest algorithm; there are sha256 and sha512");
}

}  // namespace ingot::oci
