// NormaliseDebianRoot: what two runs of mmdebstrap on the same packages differ in.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/mmdebstrap.h"

namespace ingot::adapters {
namespace {

// Logs, caches, seeds, names of the machine: gone, or empty where a file has to be there.
constexpr const char* kRemoved[] = {
    "var/cache/ldconfig/aux-cache",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/cache/debconf/passwords.dat",
    "var/lib/dpkg/available",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/apt/extended_states",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/catalog/database",
    "var/lib/dbus/machine-id",
    "etc/resolv.conf",
    "etc/hostname",
    "etc/.pwd.lock",
    "etc/apt/sources.list.d/0000.list",
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_ecdsa_key",
    "etc/ssh/ssh_host_ed25519_key",
};
constexpr const char* kEmptied[] = {"tmp",
                                    "var/tmp",
                                    "run",
                                    "var/log",
                                    "var/cache/apt",
                                    "var/lib/apt/lists",
                                    "usr/share/man",
                                    "usr/share/info",
                                    "usr/share/lintian",
                                    "usr/share/locale",
                                    "usr/share/groff",
                                    "usr/share/linda"};

Result<void> RemoveBelow(const fs::path& directory) {
  auto names = ListDirectory(directory);
  if (!names) {
    if (names.error().code() == Code::kNotFound) return {};
    return std::move(names).error();
  }
  for (const std::string& name : *names) TRY(RemoveTree(directory / name));
  return {};
}

// /var/log is where daemons expect their folders: only files go.
Result<void> RemoveFiles(const fs::path& directory) {
  std::error_code failed;
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator at(directory, failed), end; !failed && at != end;
       at.increment(failed)) {
    if (!at->is_directory(failed) || at->is_symlink(failed)) files.push_back(at->path());
  }
  for (const fs::path& file : files) fs::remove(file, failed);
  return {};
}

// usr/share/doc/NAME/copyright stays: the licences ask for it.
Result<void> TrimDocumentation(const fs::path& doc) {
  auto packages = ListDirectory(doc);
  if (!packages) return {};
  for (const std::string& package : *packages) {
    struct stat st {};
    if (::lstat((doc / package).c_str(), &st) < 0 || !S_ISDIR(st.st_mode)) continue;
    for (const std::string& name : TRY(ListDirectory(doc / package)))
      if (name != "copyright") TRY(RemoveTree(doc / package / name));
  }
  return {};
}

Result<void> EmptyFile(const fs::path& path) {
  if (::truncate(path.c_str(), 0) < 0 && errno != ENOENT) return ErrnoError(errno, "empty " + path.string());
  return {};
}

}  // namespace

Result<void> NormaliseDebianRoot(const fs::path& root, const build::LockedBase& base) {
  for (const char* path : kRemoved) {
    if (::unlink((root / path).c_str()) < 0 && errno != ENOENT && errno != ENOTDIR)
      return ErrnoError(errno, std::string("remove /") + path + " of the new base");
  }
  for (const char* path : kEmptied) {
    if (std::string_view(path) == "var/log")
      TRY(RemoveFiles(root / path));
    else
      TRY(RemoveBelow(root / path));
  }
  TRY(TrimDocumentation(root / "usr/share/doc"));
  // systemd makes a new one at boot when it is empty; there is no machine yet.
  TRY(EmptyFile(root / "etc/machine-id"));
  std::string sources;
  for (const build::DebianSource& source : base.sources) {
    sources += fmt::format("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {} {}\n",
                           source.uri, source.suite, fmt::join(source.components, " "));
  }
  std::error_code failed;
  if (!fs::is_directory(root / "etc/apt", failed)) return {};
  TRY(WriteFileAtomic(root / "etc/apt/sources.list", sources, 0644, Durability::kNone));
  if (::chmod((root / "etc/apt/sources.list").c_str(), 0644) < 0)
    return ErrnoError(errno, "write apt's sources of the new base");
  return {};
}

}  // namespace ingot::adapters
