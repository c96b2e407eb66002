// ingot restore: a backup to a root in which nothing is.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "adapters/sqlite_catalog.h"
#include "adapters/sqlite_events.h"
#include "app/backup_parts.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "backup/check.h"
#include "backup/reader.h"
#include "base/units.h"
#include "secrets/secret_store.h"
#include "store/store.h"

namespace ingot::app {

namespace {

struct RestoreOptions {
  std::string file;
  bool dry_run = false;
};

struct Restored {
  backup::Manifest manifest;
  std::vector<std::string> missing;  // images whose files are not here: the names or the digest of each
};

// Names in the root that a restore would have to mind.
Result<std::vector<std::string>> WhatIsThere(const Layout& layout) {
  auto names = ListDirectory(layout.root);
  if (!names && names.error().code() == Code::kNotFound) return std::vector<std::string>();
  if (!names) return names;
  // `run` does not outlive a restart of the host, and has the daemon's lock.
  std::erase_if(*names, [](const std::string& name) { return name == "run" || name == "lost+found"; });
  return names;
}

// Nothing is in the root but, after one that was cut off, what a restore has put there itself.
Result<void> MakeEmpty(const Layout& layout) {
  const std::vector<std::string> there = TRY(WhatIsThere(layout));
  if (there.empty()) return {};
  const std::string mark = layout.restoring().filename();
  if (std::find(there.begin(), there.end(), mark) == there.end()) {
    std::string names;
    for (size_t i = 0; i < there.size() && i < 5; ++i) names += (i > 0 ? ", " : "") + there[i];
    return Error(Code::kRefused, "a backup is restored to an empty root, and " + layout.root.string() +
                                     " has " + names + (there.size() > 5 ? ", …" : "") +
                                     "; move these away, or name another --root");
  }
  // The mark goes last: without it what is left would be taken for a root.
  for (const std::string& name : there)
    if (name != mark) TRY(RemoveTree(layout.root / name));
  TRY(SyncDirectory(layout.root));
  TRY(RemoveTree(layout.restoring()));
  return SyncDirectory(layout.root);
}

// Images of which a layer is not there, by name.
Result<std::vector<std::string>> MissingImages(const fs::path& root) {
  SystemClock clock;
  const auto catalog = TRY(adapters::SqliteCatalog::Open(root / "store.db"));
  const auto store = TRY(store::Store::Open(store::StorePaths::Below(root), *catalog, clock));
  std::map<oci::Digest, std::string> names;
  for (const store::Tag& tag : TRY(store->ListTags())) {
    std::string& name = names[tag.digest];
    name += (name.empty() ? "" : ", ") + tag.repository + ":" + tag.tag;
  }
  std::vector<std::string> missing;
  for (const store::ImageRow& row : TRY(store->ListImages())) {
    auto image = store->GetImage(row.digest);
    bool whole = image.has_value();
    if (!image && image.error().code() != Code::kNotFound && image.error().code() != Code::kCorrupt)
      return std::move(image).error();
    std::error_code ec;
    if (image)
      for (const store::Layer& layer : image->layers) whole &= fs::exists(store->LayerPath(layer.id), ec);
    if (whole) continue;
    const auto name = names.find(row.digest);
    missing.push_back(name == names.end() ? row.digest.Render() : name->second);
  }
  return missing;
}

// What was read is what a daemon can start with: databases of this version or older ones, a key that fits.
Result<void> Prove(const fs::path& root, const backup::Manifest& manifest, Restored& restored) {
  SystemClock clock;
  if (manifest.Find("state") == nullptr) return Error(Code::kInvalid, "the backup has no state.db");
  {
    const auto events = TRY(adapters::SqliteEvents::Open(root / "state.db", clock));
    TRY(events->Append({{"", "", "host.restored", "ingot",
                         JsonObject{{"host", manifest.host},
                                    {"root", manifest.root},
                                    {"created", RenderTime(manifest.created)}}}}));
  }
  if (manifest.Find("store") != nullptr) restored.missing = TRY(MissingImages(root));
  if (manifest.Find("key") != nullptr && manifest.Find("secrets") != nullptr) {
    const auto store = TRY(secrets::SecretStore::Open({root / "secrets", root / "secrets.key"}, clock));
    for (const std::string& problem : store->problems())
      std::fprintf(stderr, "%s %s\n", Paint(Colour::kYellow, "warning:").c_str(), problem.c_str());
  }
  return {};
}

// Each name is moved where it belongs; until the mark is gone nobody takes them for a root.
Result<void> Publish(const Layout& layout, const fs::path& made) {
  const Fd root = TRY(OpenFile(layout.root, O_RDONLY | O_DIRECTORY));
  if (::syncfs(root.get()) != 0) return ErrnoError(errno, "write the restored files to the disk");
  for (const std::string& name : TRY(ListDirectory(made)))
    if (::rename((made / name).c_str(), (layout.root / name).c_str()) != 0)
      return ErrnoError(errno, "put " + name + " in its place");
  TRY(SyncDirectory(layout.root));
  TRY(RemoveTree(layout.restoring()));
  return SyncDirectory(layout.root);
}

Result<Fd> OpenBackup(const std::string& file) {
  if (file != "-") return OpenFile(file, O_RDONLY);
  const int fd = ::dup(STDIN_FILENO);
  if (fd < 0) return ErrnoError(errno, "read standard input");
  return Fd(fd);
}

Result<Restored> Restore(const Layout& layout, const RestoreOptions& options, Progress& progress) {
  const Fd file = TRY(OpenBackup(options.file));
  auto shown = std::chrono::steady_clock::now();
  backup::ReadOptions read;
  read.progress = [&](uint64_t done, uint64_t all) {
    const auto now = std::chrono::steady_clock::now();
    if (now - shown < std::chrono::milliseconds(100)) return;
    shown = now;
    progress.Live(RenderSize(done) + " of " + RenderSize(all));
  };
  if (options.dry_run) return Restored{TRY(backup::ReadBackup(SourceOf(file.get()), read)), {}};

  if (::geteuid() != 0)
    return Error(Code::kPermission, "a root belongs to root, so restoring one needs root");
  TRY(MakeDirectories(layout.run(), 0711));
  auto lock = FileLock::Take(layout.daemon_lock(), false);
  if (!lock && lock.error().code() == Code::kConflict)
    return Error(Code::kConflict, "a daemon, or another restore, runs on " + layout.root.string());
  const FileLock alone = TRY(std::move(lock));
  TRY(MakeEmpty(layout));
  const fs::path made = layout.restoring() / "root";
  TRY(MakeDirectories(layout.root, 0711));
  TRY(MakeDirectories(made, 0700));
  TRY(SyncDirectory(layout.root));
  read.into = made;
  const auto run = [&]() -> Result<Restored> {
    Restored restored;
    restored.manifest = TRY(backup::ReadBackup(SourceOf(file.get()), read));
    TRY(Prove(made, restored.manifest, restored));
    TRY(Publish(layout, made));
    return restored;
  };
  auto restored = run();
  // Nothing is left of what failed: the root is as it was. What cannot be removed is removed by the next.
  if (!restored) static_cast<void>(MakeEmpty(layout).has_value());
  return restored;
}

void Show(const Restored& restored, const RestoreOptions& options, const Layout& layout) {
  const backup::Manifest& manifest = restored.manifest;
  std::printf("a backup of %s on %s, %s, by Ingot %s\n", manifest.root.c_str(), manifest.host.c_str(),
              RenderTime(manifest.created).c_str(), manifest.ingot.c_str());
  std::fputs(RenderParts(manifest).c_str(), stdout);
  if (options.dry_run) {
    std::puts("every digest is right; nothing was written");
    return;
  }
  std::printf("restored to %s\n", layout.root.c_str());
  if (manifest.Find("secrets") != nullptr && manifest.Find("key") == nullptr)
    std::printf("bring the key of the secrets to %s before `ingot serve`\n",
                layout.own_secrets_key().c_str());
  if (!restored.missing.empty())
    std::printf(
        "of %zu images no files are in the backup: what needs them does not start until `ingot verify "
        "--repair`, in "
        "the project's folder, has brought them back from their registry or built them again:\n",
        restored.missing.size());
  for (const std::string& image : restored.missing) std::printf("  %s\n", image.c_str());
  std::puts("`ingot serve` starts what it declares");
}

int Run(Invocation& invocation, const RestoreOptions& options) {
  const Layout layout = invocation.layout();
  Progress progress(invocation.json);
  auto restored = Restore(layout, options, progress);
  progress.Clear();
  if (!restored) return Report(invocation, std::move(restored).error().While("restoring " + options.file));
  for (const std::string& warning : restored->manifest.warnings)
    std::fprintf(stderr, "%s %s\n", Paint(Colour::kYellow, "when it was made:").c_str(), warning.c_str());
  if (!invocation.json) {
    Show(*restored, options, layout);
    return kDone;
  }
  JsonArray missing;
  for (const std::string& image : restored->missing) missing.emplace_back(image);
  PrintJson(JsonObject{{"manifest", ManifestToJson(restored->manifest)},
                       {"root", options.dry_run ? Json(nullptr) : Json(layout.root.string())},
                       {"missing_images", std::move(missing)}});
  return kDone;
}

}  // namespace

void AddRestore(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<RestoreOptions>();
  CLI::App* verb = AddVerb(app, invocation, "restore", "a backup to an empty root",
                           [&invocation, options] { return Run(invocation, *options); });
  verb->add_option("file", options->file, "of `ingot backup`; - is standard input")->required();
  verb->add_flag("--dry-run", options->dry_run, "check every digest of it, and write nothing");
  verb->footer(
      "Whole or not at all: killed on the way, it is begun again by the same command. Whoever can write the "
      "file\n"
      "can write the root: restore what you trust.");
}

}  // namespace ingot::app
