#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/image_place.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/terminal.h"
#include "app/transfer_view.h"
#include "app/verbs.h"
#include "base/units.h"
#include "oci/index.h"
#include "registry/image_copy.h"
#include "registry/image_pull.h"
#include "registry/store_image.h"

namespace ingot::app {

namespace {

struct ArchiveOptions {
  std::string image;  // of an archive: empty for the only one
  std::string path;
  std::string format;
  std::string name;
  bool referrers = false;
  std::vector<std::string> tags;
};

Result<ImagePlace::Kind> FormatOf(const ArchiveOptions& options) {
  if (options.format == "oci") return ImagePlace::Kind::kLayout;
  if (options.format == "oci-archive") return ImagePlace::Kind::kLayoutArchive;
  if (options.format == "docker-archive") return ImagePlace::Kind::kDockerArchive;
  if (!options.format.empty())
    return Error(Code::kInvalid, "--format is oci, oci-archive or docker-archive, not " + options.format);
  const bool archive = options.path == "-" || options.path.ends_with(".tar");
  return archive ? ImagePlace::Kind::kLayoutArchive : ImagePlace::Kind::kLayout;
}

// What the layout or archive is to call the image.
std::string NameIn(const ArchiveOptions& options, const FoundImage& image, ImagePlace::Kind kind) {
  if (!options.name.empty()) return options.name;
  if (kind == ImagePlace::Kind::kDockerArchive || kind == ImagePlace::Kind::kLayoutArchive)
    return image.repository.empty() ? "" : image.repository + ":" + image.tag;
  const std::string& name = options.image;
  return name.find_first_of("/:") == std::string::npos ? name : name.substr(name.rfind('/') + 1);
}

Result<registry::CopiedImage> ExportImage(const ArchiveOptions& options, ImagePlace& place,
                                          OpenedStore& opened, const fs::path& spool, TransferView& view) {
  store::Store& store = *opened.store;
  const FoundImage image = TRY(FindAnyImage(store, options.image));
  place.kind = TRY(FormatOf(options));
  place.path = options.path;
  place.name = NameIn(options, image, place.kind);
  store::Lease lease = TRY(store.TakeLease("export " + options.image));
  registry::StoreSource source(store, image.repository, image.digest, options.image, lease);
  OpenedTarget target = TRY(OpenedTarget::Open(place, nullptr, spool, std::nullopt));
  registry::CopyOptions copy;
  copy.referrers = options.referrers;
  // Of an index such an archive can only hold one image: the one for this machine.
  if (place.kind == ImagePlace::Kind::kDockerArchive) copy.platform = oci::HostPlatform();
  copy.progress = [&view](const registry::CopyProgress& progress) { view.On(progress); };
  auto copied = registry::CopyImage(source, target.target(), copy);
  if (copied) TRY(target.Commit());
  return copied;
}

int Export(Invocation& invocation, const ArchiveOptions& options) {
  const bool standard_output = options.path == "-";
  if (standard_output && (invocation.json || ::isatty(STDOUT_FILENO) == 1))
    return Report(
        invocation,
        Error(Code::kInvalid, "an archive to standard output goes into a pipe or a file, without --json"));
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  TransferView view(invocation.json || standard_output, "writing " + options.path);
  ImagePlace place;
  const auto copied = ExportImage(options, place, *opened, invocation.layout().tmp(), view);
  view.Clear();
  if (!copied) return Report(invocation, copied.error());
  const std::string digest = copied->digest.Render();
  if (invocation.json) {
    PrintJson(JsonObject{{"digest", digest},
                         {place.kind == ImagePlace::Kind::kLayout ? "directory" : "file", options.path},
                         {"name", place.name}});
  } else {
    std::fprintf(standard_output ? stderr : stdout, "%s written to %s\n", digest.c_str(),
                 place.Render().c_str());
  }
  return kDone;
}

// "app:1", "docker.io/library/redis:7" → repository and tag, as the store names them.
Result<std::pair<std::string, std::string>> StoreTag(const std::string& text) {
  auto reference = oci::Reference::Parse(text);
  if (!reference) return std::move(reference).error().While("reading the name " + text.substr(0, 300));
  const std::string repository =
      (reference->registry.empty() ? "" : reference->registry + "/") + reference->repository;
  return std::pair(repository, reference->tag.empty() ? std::string("latest") : reference->tag);
}

Result<registry::PulledImage> ImportImage(const ArchiveOptions& options, OpenedStore& opened,
                                          const fs::path& spool, TransferView& view,
                                          std::vector<std::string>& names) {
  store::Store& store = *opened.store;
  const OpenedSource source = TRY(OpenArchive(options.path, options.image, spool));
  std::vector<std::pair<std::string, std::string>> tags;
  for (const std::string& tag : options.tags) tags.push_back(TRY(StoreTag(tag)));
  if (tags.empty()) {
    // A layout may have only "1.0" to say.
    for (const std::string& name : source.names)
      if (name.find_first_of("/:") != std::string::npos) tags.push_back(TRY(StoreTag(name)));
  }
  if (tags.empty())
    return Error(Code::kInvalid,
                 source.source->name() + " does not say what the image is called; add --tag NAME:TAG");
  store::Lease lease = TRY(store.TakeLease("import " + options.path));
  registry::PullOptions pull;
  pull.progress = [&view](const registry::PullProgress& progress) { view.On(progress); };
  registry::PulledImage pulled = TRY(registry::PullImage(*source.source, std::nullopt, store, lease, pull));
  for (const auto& [repository, tag] : tags) {
    TRY(store.SetTag(repository, tag, pulled.manifest));
    names.push_back(repository + ":" + tag);
  }
  return pulled;
}

int Import(Invocation& invocation, const ArchiveOptions& options) {
  auto opened = OpenStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  TransferView view(invocation.json, "importing " + options.path);
  std::vector<std::string> names;
  const auto pulled = ImportImage(options, *opened, invocation.layout().tmp(), view, names);
  view.Clear();
  if (!pulled) return Report(invocation, pulled.error());
  JsonArray list;
  std::string shown;
  for (const std::string& name : names) {
    list.emplace_back(name);
    shown += (shown.empty() ? "" : ", ") + name;
  }
  if (invocation.json) {
    PrintJson(JsonObject{{"digest", pulled->digest.Render()},
                         {"manifest", pulled->manifest.Render()},
                         {"names", std::move(list)},
                         {"known", pulled->known},
                         {"layers", pulled->layers},
                         {"transferred_bytes", pulled->transferred_bytes},
                         {"elapsed_ms", static_cast<int64_t>(view.elapsed_ms())}});
  } else {
    std::printf("%s %s: %s in %s\n", Paint(Colour::kBlue, shown).c_str(), pulled->digest.Render().c_str(),
                pulled->known ? "in the store already" : RenderSize(pulled->transferred_bytes).c_str(),
                RenderElapsed(view.elapsed_ms()).c_str());
  }
  return kDone;
}

}  // namespace

void AddImageArchives(CLI::App& images, Invocation& invocation) {
  auto options = std::make_shared<ArchiveOptions>();
  CLI::App* import = AddVerb(images, invocation, "import", "take an image from an archive or an OCI layout",
                             [&invocation, options] { return Import(invocation, *options); });
  import
      ->add_option(
          "path", options->path,
          "a layout's folder or tar, or what `docker save` writes, also compressed; - for standard input")
      ->required();
  import->add_option("image", options->image, "which one, by the name that it has there; else the only one");
  import->add_option("--tag", options->tags, "its name in the store, instead of the one it has there");
  CLI::App* exported =
      AddVerb(images, invocation, "export", "write an image as an OCI layout or archive for other tools",
              [&invocation, options] { return Export(invocation, *options); });
  exported->add_option("image", options->image, "name or digest")->required();
  exported
      ->add_option("path", options->path, "a folder (made if missing), or a file.tar; - for standard output")
      ->required();
  exported->add_option("--format", options->format,
                       "oci (a folder), oci-archive (what a .tar is), docker-archive (for `docker load`)");
  exported->add_option("--name", options->name, "what the image is called there");
  exported->add_flag("--referrers", options->referrers, "also signatures and what else refers to it");
}

}  // namespace ingot::app
