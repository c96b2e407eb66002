#include "app/secret_files.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/sha256.h"

namespace ingot::app {

namespace {

constexpr size_t kLargest = size_t{1} << 20;
constexpr size_t kKeyBytes = 32;

// What may become a file name: the names of definitions, nothing else.
Result<void> CheckName(std::string_view name) {
  const bool good = !name.empty() && name.size() <= 100 && name.front() != '.' &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             c == '_' || c == '-' || c == '.';
                    });
  if (good) return {};
  return Error(Code::kInvalid, "\"" + std::string(name.substr(0, 120)) + "\" cannot be the name of a secret");
}

}  // namespace

Result<SecretFiles> SecretFiles::Open(const fs::path& directory) {
  TRY(MakeDirectories(directory, 0700));
  const fs::path file = directory / "key";
  auto key = ReadFile(file, 4096);
  if (!key && key.error().code() != Code::kNotFound) return std::move(key).error();
  if (!key) {
    std::array<char, kKeyBytes> random{};
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
      return ErrnoError(errno, "get random bytes");
    key = std::string(random.data(), random.size());
    TRY(WriteFileAtomic(file, *key, 0600));
  }
  if (key->size() != kKeyBytes) return Error(Code::kCorrupt, file.string() + " is not a key of 32 bytes");
  return SecretFiles(directory, std::move(*key));
}

// The nested hash keeps it a keyed hash that cannot be extended (HMAC's construction with one inner pad).
std::string SecretFiles::VersionOf(std::string_view bytes) const {
  return Sha256Hex(key_ + Sha256Hex(key_ + std::string(bytes))).substr(0, 16);
}

Result<std::string> SecretFiles::Put(const platform::EnvironmentId& environment, const std::string& name,
                                     std::string_view bytes) const {
  TRY(CheckName(name));
  if (bytes.size() > kLargest) return Error(Code::kInvalid, "the secret " + name + " is larger than 1 MiB");
  const fs::path folder = directory_ / environment.project() / environment.environment() / name;
  TRY(MakeDirectories(folder, 0700));
  std::string version = VersionOf(bytes);
  std::error_code ec;
  if (!fs::exists(folder / version, ec)) TRY(WriteFileAtomic(folder / version, bytes, 0600));
  return version;
}

Result<std::string> SecretFiles::Get(const platform::EnvironmentId& environment,
                                     const platform::SecretRef& ref) const {
  TRY(CheckName(ref.name));
  TRY(CheckName(ref.version));
  auto bytes = ReadFile(
      directory_ / environment.project() / environment.environment() / ref.name / ref.version, kLargest);
  if (!bytes && bytes.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, "the secret " + ref.name + " has no version " + ref.version +
                                      " on this host; apply the definition again to set it");
  if (!bytes) return std::move(bytes).error();
  if (VersionOf(*bytes) != ref.version)
    return Error(Code::kCorrupt,
                 "the secret " + ref.name + " is damaged: its bytes are not those of version " + ref.version);
  return std::move(*bytes);
}

}  // namespace ingot::app
