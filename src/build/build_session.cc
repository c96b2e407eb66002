#include "build/build_session.h"

#include <unistd.h>

#include <atomic>
#include <ctime>

#include "base/sha256.h"

namespace ingot::build {

namespace {

// While a sweep looks for locks that nobody holds, nobody makes one.
constexpr std::string_view kSweepLock = "builds.lock";

void SweepLocked(const fs::path& temp_dir) {
  auto names = ListDirectory(temp_dir);
  if (!names) return;
  for (std::string name : *names) {
    if (!name.starts_with("build-")) continue;
    // Also a lock alone: its build was killed before it made the folder, or after it had removed it.
    if (name.ends_with(".lock")) name.resize(name.size() - std::string_view(".lock").size());
    const fs::path lock_path = temp_dir / (name + ".lock");
    auto lock = FileLock::Take(lock_path, false);
    if (!lock) continue;
    // Whatever cannot be removed now is tried again by the next build.
    if (!RemoveTree(temp_dir / name)) continue;
    std::error_code ignored;
    fs::remove(lock_path, ignored);
  }
}

}  // namespace

Result<void> SweepBuilds(const fs::path& temp_dir, const fs::path& cache_dir) {
  TRY(MakeDirectories(cache_dir, 0755));
  TRY(MakeDirectories(temp_dir, 0711));
  const FileLock alone = TRY(FileLock::Take(cache_dir / kSweepLock, true));
  SweepLocked(temp_dir);
  TRY(SweepAtomicWrites(cache_dir));
  return SweepAtomicWrites(cache_dir / "context");
}

BuildWorkspace::~BuildWorkspace() {
  if (temp_dir_.empty()) return;
  if (!RemoveTree(temp_dir_)) return;  // the next build's sweep takes it
  std::error_code ignored;
  fs::remove(temp_dir_.string() + ".lock", ignored);
}

Result<void> BuildWorkspace::Take() {
  TRY(MakeDirectories(options_.cache_dir, 0755));
  TRY(MakeDirectories(options_.temp_dir, 0711));
  const std::string name = "project-" + Sha256Hex(project_.string()).substr(0, 16) + ".lock";
  auto mine = FileLock::Take(options_.cache_dir / name, false);
  if (!mine && mine.error().code() == Code::kConflict) {
    reporter_.Report("", {.text = "another build of this project is under way; waiting until it is done"});
    mine = FileLock::Take(options_.cache_dir / name, true);
  }
  project_lock_ = TRY(std::move(mine));
  const FileLock alone = TRY(FileLock::Take(options_.cache_dir / kSweepLock, true));
  SweepLocked(options_.temp_dir);
  static std::atomic<uint64_t> next{0};
  const fs::path folder =
      options_.temp_dir / ("build-" + std::to_string(::getpid()) + "-" + std::to_string(::time(nullptr)) +
                           "-" + std::to_string(next++));
  temp_lock_ = TRY(FileLock::Take(folder.string() + ".lock", true));
  temp_dir_ = folder;
  TRY(MakeDirectories(temp_dir_, 0711));
  if (given_ == nullptr) own_.emplace(TRY(store_.TakeLease("build " + project_.string())));
  taken_ = true;
  return {};
}

Result<store::Lease*> BuildWorkspace::GetLease() {
  const std::lock_guard lock(mutex_);
  if (!taken_) TRY(Take());
  return given_ != nullptr ? given_ : &*own_;
}

store::Lease* BuildWorkspace::LeaseIfTaken() {
  const std::lock_guard lock(mutex_);
  if (given_ != nullptr) return given_;
  return own_ ? &*own_ : nullptr;
}

void BuildReporter::Report(const std::string& image, BuildEvent event) {
  if (!progress_) return;
  event.image = image;
  const std::lock_guard lock(mutex_);
  progress_(event);
}

void BuildSession::Report(const std::string& image, BuildEvent event) {
  reporter.Report(image, std::move(event));
}

DebianBase::Note BuildSession::NoteOf(const std::string& image) {
  return [this, image](std::string_view line) {
    BuildEvent event;
    event.kind = BuildEvent::Kind::kNote;
    event.text = std::string(line);
    Report(image, std::move(event));
  };
}

Result<void> SessionLock::Load() {
  if (!file_) file_ = TRY(LockFile::Load(project_));
  return {};
}

Result<std::optional<oci::Digest>> SessionLock::GetPin(const oci::Reference& reference) {
  const std::lock_guard lock(mutex_);
  TRY(Load());
  const auto found = file_->references.find(reference);
  if (found == file_->references.end()) return std::optional<oci::Digest>();
  return std::optional<oci::Digest>(found->second);
}

Result<void> SessionLock::SetPin(const oci::Reference& reference, const oci::Digest& digest) {
  const std::lock_guard lock(mutex_);
  TRY(Load());
  file_->references.insert_or_assign(reference, digest);
  return file_->Save(project_);
}

Result<LockFile> SessionLock::KeepOnly(const std::set<std::string>& images,
                                       const std::set<oci::Reference>& references) {
  const std::lock_guard lock(mutex_);
  TRY(Load());
  const size_t dropped =
      std::erase_if(file_->images, [&](const auto& entry) { return !images.contains(entry.first); }) +
      std::erase_if(file_->references, [&](const auto& entry) { return !references.contains(entry.first); });
  if (dropped > 0) TRY(file_->Save(project_));
  return *file_;
}

Result<LockedBase> SessionLock::Get(const std::string& image, const ImageInputs& inputs, bool upgrade,
                                    const DebianBase::Note& note) {
  const std::lock_guard lock(mutex_);
  TRY(Load());
  const std::vector<std::string> packages = SortedPackages(*inputs.image);
  const auto found = file_->images.find(image);
  if (found != file_->images.end() && !upgrade) {
    const LockedBase& base = found->second;
    if (base.suite == inputs.debian_suite && base.requested == packages) {
      if (base.architecture == MachineArchitecture()) return base;
      return Error(Code::kUnsupported, "ingot.lock pins packages of " + base.architecture + " for image " +
                                           image + ", but this machine is " + MachineArchitecture() +
                                           ". Run `ingot lock --upgrade` here, or build on such a machine.");
    }
  }
  if (locked_) {
    return Error(Code::kRefused,
                 "the packages of image " + image +
                     " are not pinned in ingot.lock as the definition has them, and --locked allows "
                     "nothing else; run `ingot lock` and commit the file");
  }
  if (debian_ == nullptr) {
    return Error(Code::kUnsupported,
                 "images from debian:" + inputs.debian_suite + " cannot be resolved in this program");
  }
  LockedBase base = TRY(debian_->Resolve(inputs.debian_suite, packages, note));
  file_->images[image] = base;
  TRY(file_->Save(project_));
  note("ingot.lock: " + std::to_string(base.packages.size()) + " packages pinned for image " + image);
  return base;
}

}  // namespace ingot::build
