// ingot backup: all that a root declares, in one file.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>

#include "app/backup_parts.h"
#include "app/secret_keys.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "app/version.h"
#include "base/units.h"

namespace ingot::app {

namespace {

struct BackupOptions {
  std::string file;
  std::string secrets_key;
  BackupWanted wanted;
};

// A file that has no name before it is whole and on the disk. Where the file system cannot do so, one of a
// name of its own, which is removed.
class WholeFile {
 public:
  static Result<std::unique_ptr<WholeFile>> Make(const fs::path& path) {
    std::unique_ptr<WholeFile> file(new WholeFile(fs::absolute(path)));
    const fs::path folder = file->path_.parent_path();
    int fd = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
      file->named_ = true;
      fd = ::open(file->Temporary().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (fd < 0) return ErrnoError(errno, "make a file in " + folder.string());
    file->fd_ = Fd(fd);
    return file;
  }
  ~WholeFile() {
    if (named_) ::unlink(Temporary().c_str());
  }
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  Result<void> Write(std::string_view bytes) { return WriteAll(fd_.get(), bytes); }
  Result<void> Publish() {
    if (::fsync(fd_.get()) != 0) return ErrnoError(errno, "sync " + path_.string());
    if (!named_) {
      const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
      if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, Temporary().c_str(), AT_SYMLINK_FOLLOW) != 0)
        return ErrnoError(errno, "name " + path_.string());
      named_ = true;
    }
    if (::rename(Temporary().c_str(), path_.c_str()) != 0) return ErrnoError(errno, "name " + path_.string());
    named_ = false;
    return SyncDirectory(path_.parent_path());
  }

 private:
  explicit WholeFile(fs::path path) : path_(std::move(path)) {}
  fs::path Temporary() const { return path_.string() + ".tmp." + std::to_string(::getpid()); }
  fs::path path_;
  Fd fd_;
  bool named_ = false;
};

Result<void> CheckRoot(const Layout& layout) {
  if (::geteuid() != 0)
    return Error(Code::kPermission, "a backup has what only root may read, so it needs root");
  std::error_code ec;
  if (fs::exists(layout.state_db(), ec)) return {};
  if (ec) return ErrnoError(ec.value(), "look at " + layout.state_db().string());
  return Error(Code::kNotFound, "there is nothing in " + layout.root.string() +
                                    " to be backed up; --root or INGOT_ROOT names another place");
}

Result<backup::Manifest> Write(const Layout& layout, const BackupOptions& options, Progress& progress) {
  TRY(CheckRoot(layout));
  const bool to_stdout = options.file == "-";
  if (to_stdout && ::isatty(STDOUT_FILENO) == 1)
    return Error(Code::kRefused, "a backup is nothing for a terminal; name a file, or pass it on by a pipe");
  // First: a folder that does not exist is found before anything is read.
  std::unique_ptr<WholeFile> file;
  if (!to_stdout) file = TRY(WholeFile::Make(options.file));
  progress.Live("copying the databases");
  BackupParts parts = TRY(CollectParts(layout, options.wanted));
  backup::Manifest manifest;
  manifest.ingot = kVersion;
  std::string host(256, '\0');
  if (::gethostname(host.data(), host.size() - 1) == 0) manifest.host = host.c_str();
  manifest.root = layout.root.string();
  manifest.created = SystemClock().Now();
  manifest.warnings = parts.warnings;
  auto shown = std::chrono::steady_clock::now();
  const backup::Progress on_progress = [&](uint64_t done, uint64_t all) {
    const auto now = std::chrono::steady_clock::now();
    if (now - shown < std::chrono::milliseconds(100)) return;
    shown = now;
    progress.Live(RenderSize(done) + " of " + RenderSize(all) + " read");
  };
  const ByteSink sink = [&](std::string_view bytes) {
    return file ? file->Write(bytes) : WriteAll(STDOUT_FILENO, bytes);
  };
  auto written = backup::WriteBackup(std::move(manifest), parts.parts, sink, on_progress);
  progress.Clear();
  if (!written) return std::move(written).error().While("writing the backup");
  if (file) TRY(file->Publish());
  return written;
}

int Backup(Invocation& invocation, const BackupOptions& options) {
  Layout layout = invocation.layout();
  layout.secrets_key = options.secrets_key;
  Progress progress(invocation.json || options.file == "-");
  const auto written = Write(layout, options, progress);
  if (!written) return Report(invocation, written.error());
  for (const std::string& warning : written->warnings)
    std::fprintf(stderr, "%s %s\n", Paint(Colour::kYellow, "warning:").c_str(), warning.c_str());
  if (options.file == "-") return kDone;
  if (invocation.json) {
    PrintJson(ManifestToJson(*written));
    return kDone;
  }
  std::fputs(RenderParts(*written).c_str(), stdout);
  std::printf("%s is whole and on the disk\n", options.file.c_str());
  return kDone;
}

}  // namespace

void AddBackup(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<BackupOptions>();
  CLI::App* verb =
      AddVerb(app, invocation, "backup", "what this root declares, in one file; while everything serves",
              [&invocation, options] { return Backup(invocation, *options); });
  verb->add_option("file", options->file, "to be written, whole or not at all; - is standard output")
      ->required();
  verb->add_flag("--images", options->wanted.images, "also the images: layers and the contents of files");
  verb->add_flag("--volumes", options->wanted.volumes, "also the data of stateful services, with snapshots");
  verb->add_flag("--with-key", options->wanted.key, "also the key that opens the secrets in it");
  AddSecretsKeyOption(*verb, options->secrets_key);
  verb->footer(
      "Always in it: revisions, rollouts, events, the catalog of images, migration scripts, secrets "
      "(sealed).\n"
      "Never: logs, artifacts of jobs, caches, host.yaml. `ingot restore FILE` brings it to an empty root.");
}

}  // namespace ingot::app
