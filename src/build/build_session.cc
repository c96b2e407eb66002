#include "build/build_session.h"

namespace ingot::build {

Result<store::Lease*> BuildLease::Get() {
  const std::lock_guard lock(mutex_);
  if (given_ != nullptr) return given_;
  if (!own_) own_.emplace(TRY(store_.TakeLease("build")));
  return &*own_;
}

store::Lease* BuildLease::GetIfTaken() {
  const std::lock_guard lock(mutex_);
  if (given_ != nullptr) return given_;
  return own_ ? &*own_ : nullptr;
}

void BuildSession::Report(const std::string& image, BuildEvent event) {
  if (!options.progress) return;
  event.image = image;
  const std::lock_guard lock(reporting);
  options.progress(event);
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

Result<LockFile> SessionLock::All() {
  const std::lock_guard lock(mutex_);
  TRY(Load());
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
