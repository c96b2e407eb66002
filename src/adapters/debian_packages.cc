#include "adapters/debian_packages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <thread>

#include "adapters/debian_scratch.h"
#include "base/sha256.h"
#include "base/subprocess.h"
#include "base/sync.h"
#include "base/units.h"

namespace ingot::adapters {
namespace {

using build::DebianPackage;

constexpr Milliseconds kUnpackTimeout{300'000};

Result<std::string> FileSha256(const fs::path& path) {
  const Fd fd = TRY(OpenFile(path, O_RDONLY));
  Sha256 hash;
  std::string buffer(size_t{1} << 20, '\0');
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + path.string());
    if (got == 0) return Hex(hash.Finish());
    hash.Update({buffer.data(), static_cast<size_t>(got)});
  }
}

Result<void> Append(int out, const fs::path& path) {
  const Fd in = TRY(OpenFile(path, O_RDONLY));
  std::string buffer(size_t{1} << 20, '\0');
  while (true) {
    const ssize_t got = ::read(in.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + path.string());
    if (got == 0) return {};
    TRY(WriteAll(out, {buffer.data(), static_cast<size_t>(got)}));
  }
}

// One member of an ar archive (deb(5)): a header of 60 bytes, contents, padded to an even length.
Result<void> AppendMember(int out, std::string_view name, const fs::path& contents) {
  std::error_code failed;
  const uint64_t size = fs::file_size(contents, failed);
  if (failed) return ErrnoError(failed.value(), "look at " + contents.string());
  TRY(WriteAll(out, fmt::format("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", name, 0, 0, 0, "100644", size)));
  TRY(Append(out, contents));
  if (size % 2 != 0) TRY(WriteAll(out, "\n"));
  return {};
}

Result<void> RunInto(std::vector<std::string> argv, const fs::path& target) {
  const Fd out = TRY(OpenFile(target, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  Command command;
  command.argv = std::move(argv);
  command.fds = {{out.get(), 1}};
  command.die_with_parent = true;
  TRY(RunChecked(std::move(command), kUnpackTimeout));
  return {};
}

}  // namespace

std::vector<DebianPackage> DebianPackages::Missing(const std::vector<DebianPackage>& packages) const {
  std::vector<DebianPackage> missing;
  for (const DebianPackage& package : packages) {
    // The stanza is written last.
    if (::access((directory_ / (package.sha256 + ".control")).c_str(), R_OK) != 0) missing.push_back(package);
  }
  return missing;
}

Result<void> DebianPackages::Keep(const DebianPackage& package, const fs::path& file,
                                  const fs::path& work) const {
  if (TRY(FileSha256(file)) != package.sha256) {
    return Error(Code::kCorrupt,
                 package.name + " " + package.version +
                     " is not the package that ingot.lock pins: its SHA-256 differs. Try another "
                     "mirror, or run `ingot lock --upgrade`.");
  }
  const fs::path control = work / (package.sha256 + ".c");
  const fs::path data = work / (package.sha256 + ".d");
  const fs::path version = work / (package.sha256 + ".v");
  const fs::path plain = work / (package.sha256 + ".deb");
  TRY(RunInto({"dpkg-deb", "--ctrl-tarfile", file.string()}, control));
  TRY(RunInto({"dpkg-deb", "--fsys-tarfile", file.string()}, data));
  TRY(WriteFileAtomic(version, "2.0\n", 0600, Durability::kNone));
  {
    const Fd out = TRY(OpenFile(plain, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    TRY(WriteAll(out.get(), "!<arch>\n"));
    TRY(AppendMember(out.get(), "debian-binary", version));
    TRY(AppendMember(out.get(), "control.tar", control));
    TRY(AppendMember(out.get(), "data.tar", data));
    if (::fsync(out.get()) < 0) return ErrnoError(errno, "flush " + plain.string());
  }
  std::string stanza = TRY(RunChecked({.argv = {"dpkg-deb", "-f", plain.string()}}, kUnpackTimeout));
  while (stanza.ends_with('\n')) stanza.pop_back();
  stanza += fmt::format("\nFilename: ./{}.deb\nSize: {}\nSHA256: {}\n", package.sha256, fs::file_size(plain),
                        TRY(FileSha256(plain)));
  std::error_code failed;
  fs::rename(plain, directory_ / (package.sha256 + ".deb"), failed);
  if (failed) return ErrnoError(failed.value(), "keep the package " + package.name);
  TRY(WriteFileAtomic(directory_ / (package.sha256 + ".control"), stanza));
  for (const fs::path& used : {control, data, version, file}) fs::remove(used, failed);
  return {};
}

Result<void> DebianPackages::Add(const DebianApt& apt, const std::vector<DebianPackage>& packages,
                                 const build::DebianBase::Note& note) const {
  if (packages.empty()) return {};
  TRY(MakeDirectories(directory_, 0755));
  const DebianScratch work = TRY(DebianScratch::Make(directory_, "fetch-"));
  uint64_t bytes = 0;
  std::vector<DebianApt::Download> downloads;
  for (const DebianPackage& package : packages) {
    bytes += package.size_bytes;
    downloads.push_back({apt.sources().at(package.source).uri + "/" + package.path,
                         work.path() / (package.sha256 + ".fetched"), package.sha256});
  }
  note(fmt::format("fetching {} packages, {}", packages.size(), RenderSize(bytes)));
  TRY(apt.Fetch(downloads));
  note(fmt::format("unpacking {} packages", packages.size()));
  std::atomic<size_t> next{0};
  Sync<std::optional<Error>> failed;
  const auto keep_all = [&] {
    for (size_t i = next++; i < packages.size(); i = next++) {
      auto kept = Keep(packages[i], downloads[i].target, work.path());
      if (kept) continue;
      auto lock = failed.lock();
      if (!*lock) lock->emplace(std::move(kept).error());
      return;
    }
  };
  std::thread second(keep_all);
  keep_all();
  second.join();
  auto lock = failed.lock();
  if (*lock) return std::move(**lock);
  return {};
}

Result<void> DebianPackages::MakeRepository(const std::vector<DebianPackage>& packages,
                                            const fs::path& repository) const {
  TRY(MakeDirectories(repository, 0755));
  std::string index;
  for (const DebianPackage& package : packages) {
    index += TRY(ReadFile(directory_ / (package.sha256 + ".control"))) + "\n";
    const std::string name = package.sha256 + ".deb";
    if (::link((directory_ / name).c_str(), (repository / name).c_str()) < 0)
      return ErrnoError(errno, "link the package " + package.name + " into " + repository.string());
  }
  TRY(WriteFileAtomic(repository / "Packages", index, 0644, Durability::kNone));
  const std::string release =
      fmt::format("Origin: Ingot\nSuite: ingot\nSHA256:\n {} {} Packages\n", Sha256Hex(index), index.size());
  return WriteFileAtomic(repository / "Release", release, 0644, Durability::kNone);
}

}  // namespace ingot::adapters
