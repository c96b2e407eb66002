#include "secrets/secret_store.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/sha256.h"
#include "secrets/sealed_file.h"

namespace ingot::secrets {

namespace {

constexpr size_t kLargest = size_t{1} << 20;
constexpr size_t kVersionDigits = 16;
constexpr std::string_view kSealed = ".sealed";
// A ring may be replaced between it and the file being read; not again and again.
constexpr int kRings = 3;

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

Result<void> CheckVersion(std::string_view version) {
  if (version.size() == kVersionDigits &&
      version.find_first_not_of("0123456789abcdef") == std::string_view::npos)
    return {};
  return Error(Code::kInvalid, "\"" + std::string(version.substr(0, 120)) +
                                   "\" is no version of a secret; `ingot secret ls` shows them");
}

std::string CommandFor(const char* verb, const platform::EnvironmentId& environment,
                       const std::string& name) {
  return std::string("`ingot secret ") + verb + " " + name + " -e " + environment.environment() + "`";
}

Error NoVersion(const platform::EnvironmentId& environment, const platform::SecretRef& ref) {
  return Error(Code::kNotFound, "the secret " + ref.name + " of " + environment.Render() +
                                    " has no version " + ref.version + " on this host; set it by " +
                                    CommandFor("set", environment, ref.name) + " and apply again");
}

// Nothing when there is no such folder.
// What is not there is none; "could not look" is an error.
Result<bool> IsFolder(const fs::path& path) {
  std::error_code ec;
  const bool is = fs::is_directory(path, ec);
  if (ec && ec != std::errc::no_such_file_or_directory)
    return ErrnoError(ec.value(), "look at " + path.string());
  return is;
}

Result<std::vector<std::string>> NamesIn(const fs::path& folder) {
  auto names = ListDirectory(folder);
  if (!names && names.error().code() == Code::kNotFound) return std::vector<std::string>();
  return names;
}

}  // namespace

fs::path SecretStore::Folder(const platform::EnvironmentId& environment, const std::string& name) const {
  return options_.directory / environment.project() / environment.environment() / name;
}

SecretStore::File SecretStore::FileOf(const fs::path& folder, const platform::EnvironmentId& environment,
                                      const std::string& name, const std::string& version) {
  return {folder / (version + std::string(kSealed)), environment.Render() + "/" + name + "/" + version};
}

std::shared_ptr<const KeyRing> SecretStore::Ring() const {
  return *ring_.lock();
}

// The nested hash keeps it a keyed hash that cannot be extended (HMAC's construction with one inner pad).
std::string SecretStore::VersionOf(std::string_view bytes) const {
  const SecretText inner(names_key_.text() + std::string(bytes));
  return Sha256Hex(names_key_.text() + Sha256Hex(inner.text())).substr(0, kVersionDigits);
}

Result<SecretText> SecretStore::OpenOne(const File& file) const {
  for (int attempt = 1;; ++attempt) {
    const auto ring = Ring();
    const std::string bytes = TRY(ReadFile(file.path, kMostSealedBytes));
    auto opened = OpenSealedFile(*ring, file.name, bytes);
    if (opened) return opened;
    const bool no_key = opened.error().code() == Code::kNotFound;
    if (no_key && attempt < kRings && Ring() != ring) continue;
    // Not found means that there is no such version.
    return Error(no_key ? Code::kCorrupt : opened.error().code(),
                 file.path.string() + ": " + opened.error().message());
  }
}

Result<std::string> SecretStore::Get(const platform::EnvironmentId& environment,
                                     const platform::SecretRef& ref) const {
  TRY(CheckName(ref.name));
  TRY(CheckVersion(ref.version));
  auto opened = OpenOne(FileOf(Folder(environment, ref.name), environment, ref.name, ref.version));
  if (!opened && opened.error().code() == Code::kNotFound) return NoVersion(environment, ref);
  if (!opened)
    return std::move(opened).error().While("opening the secret " + ref.name + " of " + environment.Render());
  if (VersionOf(opened->text()) != ref.version)
    return Error(Code::kCorrupt,
                 "the secret " + ref.name + " is damaged: its bytes are not those of version " + ref.version);
  return opened->text();
}

Result<Secret> SecretStore::Look(const platform::EnvironmentId& environment, const std::string& name,
                                 bool open) const {
  const fs::path folder = Folder(environment, name);
  Secret secret{name, {}};
  for (const std::string& entry : TRY(NamesIn(folder))) {
    if (!entry.ends_with(kSealed)) continue;
    const std::string version = entry.substr(0, entry.size() - kSealed.size());
    if (!CheckVersion(version)) continue;
    const auto bytes = ReadFile(folder / entry, kMostSealedBytes);
    if (!bytes && bytes.error().code() == Code::kNotFound) continue;  // removed meanwhile
    SecretVersion& one = secret.versions.emplace_back();
    one.version = version;
    if (!bytes) {
      one.problem = bytes.error().Render();
      continue;
    }
    const auto about = ReadSealedAbout(*bytes);
    if (!about) {
      one.problem = (folder / entry).string() + ": " + about.error().message();
      continue;
    }
    one.order = about->order;
    one.set = about->set;
    one.by = about->by;
    if (!open) continue;
    if (auto opened = Get(environment, {name, version}); !opened)
      one.problem = opened.error().Render();
    else
      Cleanse(*opened);
  }
  std::sort(secret.versions.begin(), secret.versions.end(),
            [](const SecretVersion& a, const SecretVersion& b) { return a.order > b.order; });
  return secret;
}

Result<std::string> SecretStore::Newest(const platform::EnvironmentId& environment,
                                        const std::string& name) const {
  TRY(CheckName(name));
  const Secret secret = TRY(Look(environment, name, false));
  if (secret.versions.empty())
    return Error(Code::kNotFound, "the secret " + name + " of " + environment.Render() +
                                      " has no value here yet; set it by " +
                                      CommandFor("set", environment, name));
  // Of a version whose first line is gone nobody can say that it is not the newest.
  for (const SecretVersion& version : secret.versions)
    if (!version.problem.empty())
      return Error(Code::kCorrupt, "which version of the secret " + name +
                                       " is the newest cannot be said: " + version.problem + "; remove " +
                                       version.version + " by `ingot secret rm " + name + " --version " +
                                       version.version + " -e " + environment.environment() + "`");
  const std::string& version = secret.versions.front().version;
  std::string bytes = TRY(Get(environment, {name, version}));
  Cleanse(bytes);
  return version;
}

Result<void> SecretStore::Require(const platform::EnvironmentId& environment,
                                  const std::vector<platform::SecretRef>& refs) const {
  for (const platform::SecretRef& ref : refs) {
    TRY(CheckName(ref.name));
    TRY(CheckVersion(ref.version));
    const File file = FileOf(Folder(environment, ref.name), environment, ref.name, ref.version);
    if (::access(file.path.c_str(), F_OK) == 0) continue;
    if (errno == ENOENT) return NoVersion(environment, ref);
    return ErrnoError(errno, "look for " + file.path.string());
  }
  return {};
}

Result<std::vector<std::string>> SecretStore::Names(const platform::EnvironmentId& environment) const {
  std::vector<std::string> out;
  const fs::path folder = options_.directory / environment.project() / environment.environment();
  for (std::string& name : TRY(NamesIn(folder)))
    if (CheckName(name) && TRY(IsFolder(folder / name))) out.push_back(std::move(name));
  return out;
}

Result<std::vector<Secret>> SecretStore::List(const platform::EnvironmentId& environment) const {
  std::vector<Secret> out;
  for (const std::string& name : TRY(Names(environment))) {
    Secret secret = TRY(Look(environment, name, true));
    if (!secret.versions.empty()) out.push_back(std::move(secret));
  }
  return out;
}

Result<std::vector<platform::EnvironmentId>> SecretStore::Environments() const {
  std::vector<platform::EnvironmentId> out;
  for (const std::string& project : TRY(NamesIn(options_.directory))) {
    if (!TRY(IsFolder(options_.directory / project))) continue;
    for (const std::string& environment : TRY(NamesIn(options_.directory / project)))
      if (auto id = platform::EnvironmentId::Parse(project + "/" + environment);
          id && TRY(IsFolder(options_.directory / project / environment)))
        out.push_back(*id);
  }
  return out;
}

Result<SecretStore::Kept> SecretStore::Put(const platform::EnvironmentId& environment,
                                           const std::string& name, std::string_view bytes,
                                           const std::string& by) {
  TRY(CheckName(name));
  if (bytes.size() > kLargest) return Error(Code::kInvalid, "the secret " + name + " is larger than 1 MiB");
  const auto writing = writing_.lock();
  const Secret before = TRY(Look(environment, name, false));
  Kept kept{VersionOf(bytes), true};
  const bool newest = !before.versions.empty() && before.versions.front().version == kept.version;
  if (newest && before.versions.front().problem.empty()) {
    auto there = Get(environment, {name, kept.version});
    if (there) {
      Cleanse(*there);
      kept.changed = false;
      return kept;
    }
    if (there.error().code() != Code::kCorrupt) return std::move(there).error();
    // Damaged: the same bytes again mend it.
  }
  const fs::path folder = Folder(environment, name);
  TRY(MakeDirectories(folder, 0700));
  SealedAbout about;
  about.order = before.versions.empty() ? 1 : before.versions.front().order + 1;
  about.set = clock_.Now();
  about.by = by;
  const File file = FileOf(folder, environment, name, kept.version);
  TRY(WriteFileAtomic(file.path, TRY(RenderSealed(Ring()->current(), file.name, about, bytes)), 0600));
  // What may have been made above it.
  for (fs::path parent = folder; parent != options_.directory; parent = parent.parent_path())
    TRY(SyncDirectory(parent.parent_path()));
  return kept;
}

Result<void> SecretStore::Remove(const platform::EnvironmentId& environment, const platform::SecretRef& ref) {
  TRY(CheckName(ref.name));
  TRY(CheckVersion(ref.version));
  const auto writing = writing_.lock();
  const fs::path folder = Folder(environment, ref.name);
  const File file = FileOf(folder, environment, ref.name, ref.version);
  if (::unlink(file.path.c_str()) != 0) {
    if (errno == ENOENT) return NoVersion(environment, ref);
    return ErrnoError(errno, "remove " + file.path.string());
  }
  TRY(SyncDirectory(folder));
  // Stays when another version is in it.
  static_cast<void>(::rmdir(folder.c_str()));
  return {};
}

}  // namespace ingot::secrets
