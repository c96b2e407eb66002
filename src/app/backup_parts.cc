#include "app/backup_parts.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <thread>

#include "adapters/sqlite.h"
#include "app/secret_keys.h"
#include "app/terminal.h"
#include "backup/check.h"
#include "base/subprocess.h"
#include "base/units.h"
#include "platform/ids.h"
#include "secrets/sealed_file.h"

namespace ingot::app {

namespace {

constexpr auto kLongestCollection = std::chrono::minutes(2);
constexpr Milliseconds kLongestVolumeCopy = std::chrono::hours(24);
constexpr int kAttempts = 5;

bool IsThereAlready(const fs::path& path) {
  std::error_code ec;
  return fs::exists(fs::symlink_status(path, ec));
}

// One moment of a database that others write: a copy made in one read transaction.
Result<void> CopyDatabase(const fs::path& from, const fs::path& to) {
  adapters::Database database = TRY(adapters::Database::Open(from));
  std::string quoted;
  for (const char c : to.string()) quoted += c == '\'' ? std::string("''") : std::string(1, c);
  return database.Execute("VACUUM INTO '" + quoted + "'");
}

// What a folder of a root has beside what it is for (files that are being written) stays where it is.
void DropForeign(std::vector<backup::SourceEntry>& entries) {
  std::erase_if(entries, [](const backup::SourceEntry& source) { return !backup::CheckEntry(source.entry); });
}

Result<FileLock> KeepFromCollection(const Layout& layout) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestCollection;
  while (true) {
    auto lock = FileLock::Take(layout.root / "claims" / "collector.lock", false);
    if (lock || lock.error().code() != Code::kConflict) return lock;
    if (std::chrono::steady_clock::now() > deadline)
      return Error(Code::kConflict, "a collection of garbage does not end; run the backup again when it has");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

class Collector {
 public:
  Collector(const Layout& layout, const BackupWanted& wanted) : layout_(layout), wanted_(wanted) {}

  Result<BackupParts> Run() {
    TRY(MakeDirectories(layout_.tmp(), 0711));
    auto alone = FileLock::Take(layout_.tmp() / "backup.lock", false);
    if (!alone && alone.error().code() == Code::kConflict)
      return Error(Code::kConflict, "another backup of " + layout_.root.string() + " is being made");
    out_.alone.emplace(TRY(std::move(alone)));
    for (const std::string& name : TRY(ListDirectory(layout_.tmp())))
      if (name.starts_with("backup-")) TRY(RemoveTree(layout_.tmp() / name));
    out_.copies.emplace(TRY(TempDirectory::Make(layout_.tmp(), "backup-")));
    if (wanted_.images && IsThereAlready(layout_.root / "claims"))
      out_.no_collection.emplace(TRY(KeepFromCollection(layout_)));
    // The journal first: the images that it names are in the catalog by then.
    TRY(Databases());
    TRY(Folder("scripts", layout_.scripts(), "scripts"));
    TRY(Secrets());
    if (wanted_.images) TRY(Images());
    if (wanted_.volumes) TRY(Volumes());
    if (!wanted_.volumes && IsThereAlready(layout_.volumes()) && !TRY(VolumesBelow()).empty())
      out_.warnings.emplace_back("the data of stateful services is not in it; --volumes adds it");
    return std::move(out_);
  }

 private:
  struct OneVolume {
    fs::path path;
    std::string name;  // PROJECT/ENVIRONMENT/NAME
  };
  const fs::path& Copies() const { return out_.copies->path(); }
  std::vector<backup::SourceEntry>& Part(const char* name) {
    return out_.parts.emplace_back(backup::SourcePart{name, {}}).entries;
  }

  Result<void> Databases() {
    TRY(CopyDatabase(layout_.state_db(), Copies() / "state.db"));
    TRY(AddTree(Copies() / "state.db", "state/state.db", backup::Contents::kPlain, Part("state")));
    if (!IsThereAlready(layout_.store_db())) return {};
    TRY(CopyDatabase(layout_.store_db(), Copies() / "store.db"));
    return AddTree(Copies() / "store.db", "store/store.db", backup::Contents::kPlain, Part("store"));
  }

  Result<void> Folder(const char* part, const fs::path& folder, const std::string& as) {
    if (!IsThereAlready(folder)) return {};
    auto& entries = Part(part);
    TRY(AddTree(folder, as, backup::Contents::kPlain, entries));
    DropForeign(entries);
    return {};
  }

  // Copied; again while their key is just being rotated, so that one key opens all of them.
  Result<void> Secrets() {
    if (!IsThereAlready(layout_.secrets())) return {};
    if (std::error_code ec; fs::is_regular_file(layout_.secrets() / "key", ec))
      return Error(Code::kRefused,
                   layout_.secrets().string() +
                       " has secrets of a former version of Ingot, which are not sealed; start this "
                       "version's daemon once, which seals them");
    for (int attempt = 1;; ++attempt) {
      CopiedSecrets copied = TRY(CopySecrets());
      const bool last = attempt == kAttempts;
      if (copied.whole && (copied.keys.size() <= 1 || last)) {
        Part("secrets") = std::move(copied.entries);
        for (std::string& warning : copied.warnings) out_.warnings.push_back(std::move(warning));
        return wanted_.key ? Key(copied.keys) : KeyIsElsewhere(copied.keys);
      }
      if (last)
        return Error(Code::kConflict, "secrets come and go while they are copied; run the backup again");
      std::this_thread::sleep_for(std::chrono::milliseconds(200 * attempt));
    }
  }

  struct CopiedSecrets {
    std::vector<backup::SourceEntry> entries;
    std::set<std::string> keys;  // that seal them; several while a rotation is under way, or cannot end
    std::vector<std::string> warnings;  // what is damaged
    bool whole = true;                  // none was removed meanwhile
  };
  Result<CopiedSecrets> CopySecrets() {
    CopiedSecrets out;
    TRY(AddTree(layout_.secrets(), "secrets", backup::Contents::kPlain, out.entries));
    DropForeign(out.entries);
    TRY(RemoveTree(Copies() / "secrets"));
    for (backup::SourceEntry& source : out.entries) {
      const fs::path copy = Copies() / source.entry.path;
      auto read = ReadFile(source.file, secrets::kMostSealedBytes);
      if (!read && read.error().code() == Code::kNotFound) {
        out.whole = false;
        return out;
      }
      const std::string bytes = TRY(std::move(read));
      TRY(MakeDirectories(copy.parent_path(), 0700));
      TRY(WriteFileAtomic(copy, bytes, 0600, Durability::kNone));
      if (const auto about = secrets::ReadSealedAbout(bytes))
        out.keys.insert(about->key);
      else
        out.warnings.push_back(source.file.string() + " is damaged, and damaged in the backup");
      source.entry.size_bytes = bytes.size();
      source.file = copy;
    }
    return out;
  }

  Result<void> KeyIsElsewhere(const std::set<std::string>& keys) {
    if (!keys.empty())
      out_.warnings.push_back(
          "the key of the secrets (" + *keys.begin() +
          ") is not in it: without that key they do not open; keep a copy of it elsewhere, or "
          "pass --with-key");
    return {};
  }

  Result<void> Key(const std::set<std::string>& keys) {
    const secrets::SecretStore::Options options = SecretOptions(layout_);
    auto read = ReadFile(options.key_file, 65'536);
    if (!read && read.error().code() == Code::kNotFound)
      return Error(Code::kNotFound, "there is no " + options.key_file.string() +
                                        "; --secrets-key names the file that `ingot serve` is given");
    const SecretText text(TRY(std::move(read)));
    auto ring = secrets::KeyRing::Parse(text.text());
    if (!ring) return Error(Code::kInvalid, options.key_file.string() + ", " + ring.error().message());
    for (const std::string& key : keys)
      if (ring->Find(key) == nullptr)
        return Error(Code::kConflict,
                     options.key_file.string() + " has no key " + key +
                         ", by which the secrets are sealed; --secrets-key names another file");
    TRY(WriteFileAtomic(Copies() / "secrets.key", text.text(), 0600, Durability::kNone));
    return AddTree(Copies() / "secrets.key", "key/secrets.key", backup::Contents::kPlain, Part("key"));
  }

  Result<void> Images() {
    auto& entries = Part("images");
    for (const char* folder : {"blobs", "layers", "objects"})
      if (IsThereAlready(layout_.root / folder))
        TRY(AddTree(layout_.root / folder, std::string("images/") + folder, backup::Contents::kPlain,
                    entries));
    DropForeign(entries);
    // As the store keeps them.
    for (backup::SourceEntry& source : entries) source.entry.mode = 0444;
    return {};
  }

  Result<std::vector<OneVolume>> VolumesBelow() const {
    std::vector<OneVolume> out;
    for (const std::string& project : TRY(ListDirectory(layout_.volumes()))) {
      std::error_code ec;
      if (!fs::is_directory(layout_.volumes() / project, ec)) continue;
      for (const std::string& environment : TRY(ListDirectory(layout_.volumes() / project))) {
        const std::string name = project + "/" + environment;
        if (!platform::EnvironmentId::Parse(name)) continue;
        for (const std::string& volume : TRY(ListDirectory(layout_.volumes() / name)))
          if (volume.front() != '.') out.push_back({layout_.volumes() / name / volume, name + "/" + volume});
      }
    }
    return out;
  }

  // One that an instance writes meanwhile is copied all the same, in one go first, so that what is in the
  // backup is what was copied.
  Result<void> Volumes() {
    if (!IsThereAlready(layout_.volumes())) return {};
    auto& entries = Part("volumes");
    for (const OneVolume& volume : TRY(VolumesBelow())) {
      const auto attached = ReadFile(volume.path / "attached", 4096);
      if (attached)
        out_.warnings.push_back(
            "the volume " + volume.name + " is in use by " + *attached +
            ": its files were copied one after another, as after a power cut but not all at "
            "one moment");
      else if (attached.error().code() != Code::kNotFound)
        return attached.error();
      const fs::path copy = Copies() / "volumes" / volume.name;
      TRY(CopyVolume(volume, copy, attached.has_value()));
      for (const std::string& name : TRY(ListDirectory(copy)))
        if (name == "data" || name == "snapshots" || name == "volume.json")
          TRY(AddTree(copy / name, "volumes/" + volume.name + "/" + name, backup::Contents::kAny, entries));
    }
    // A snapshot that is being made begins with a dot.
    std::erase_if(entries, [](const backup::SourceEntry& source) {
      const std::string& path = source.entry.path;
      const size_t snapshots = path.find("/snapshots/.");
      return snapshots != std::string::npos &&
             std::count(path.begin(), path.begin() + static_cast<long>(snapshots), '/') == 3;
    });
    for (const backup::SourceEntry& source : entries) TRY(backup::CheckEntry(source.entry));
    return {};
  }

  static Result<void> CopyVolume(const OneVolume& volume, const fs::path& copy, bool in_use) {
    for (int attempt = 1;; ++attempt) {
      TRY(RemoveTree(copy));
      TRY(MakeDirectories(copy.parent_path(), 0700));
      Command command;
      command.argv = {"cp", "-a", "-T", "--reflink=auto", "--", volume.path.string(), copy.string()};
      command.die_with_parent = true;
      auto copied = RunChecked(std::move(command), kLongestVolumeCopy);
      if (copied) return {};
      if (copied.error().message().find("No space left") != std::string::npos)
        return Error(Code::kNoSpace, "there is no room to copy the volume " + volume.name + " in " +
                                         copy.parent_path().string());
      // A file that its program has just removed.
      if (!in_use || attempt == kAttempts)
        return std::move(copied).error().While("copying the volume " + volume.name);
    }
  }

  const Layout& layout_;
  const BackupWanted& wanted_;
  BackupParts out_;
};

}  // namespace

Result<BackupParts> CollectParts(const Layout& layout, const BackupWanted& wanted) {
  return Collector(layout, wanted).Run();
}

std::string RenderParts(const backup::Manifest& manifest) {
  std::vector<std::vector<std::string>> rows{{"PART", "FILES", "SIZE"}};
  for (const backup::Part& part : manifest.parts)
    rows.push_back({part.name, std::to_string(part.entries), RenderSize(part.bytes)});
  return RenderTable(rows);
}

Json ManifestToJson(const backup::Manifest& manifest) {
  auto json = ParseJson(backup::RenderManifest(manifest));
  return json ? std::move(*json) : Json(nullptr);
}

}  // namespace ingot::app
