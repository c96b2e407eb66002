#include "app/script_files.h"

#include "base/sha256.h"
#include "migrate/script.h"

namespace ingot::app {

Result<ScriptFiles> ScriptFiles::Open(const fs::path& directory) {
  TRY(MakeDirectories(directory, 0700));
  TRY(SweepAtomicWrites(directory));
  return ScriptFiles(directory);
}

Result<std::string> ScriptFiles::Put(std::string_view bytes) const {
  if (bytes.size() > migrate::kMaxScriptBytes) return Error(Code::kInvalid, "a script is at most 1 MiB");
  std::string checksum = Sha256Hex(bytes);
  std::error_code ec;
  if (!fs::exists(directory_ / checksum, ec)) TRY(WriteFileAtomic(directory_ / checksum, bytes, 0600));
  return checksum;
}

Result<std::string> ScriptFiles::Get(const std::string& checksum) const {
  if (checksum.size() != 64 || checksum.find_first_not_of("0123456789abcdef") != std::string::npos)
    return Error(Code::kInvalid, "\"" + checksum.substr(0, 80) + "\" is no checksum of a script");
  auto bytes = ReadFile(directory_ / checksum, migrate::kMaxScriptBytes);
  if (!bytes && bytes.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, "this host does not have the script with the checksum " + checksum +
                                      "; apply the definition again to bring it");
  if (!bytes) return std::move(bytes).error();
  if (Sha256Hex(*bytes) != checksum)
    return Error(Code::kCorrupt, "the script " + checksum +
                                     " is damaged; apply the definition again after removing " +
                                     (directory_ / checksum).string());
  return std::move(*bytes);
}

}  // namespace ingot::app
