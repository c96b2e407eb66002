#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/image_place.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/registry_client.h"
#include "app/terminal.h"
#include "app/transfer_view.h"
#include "app/verbs.h"
#include "base/units.h"
#include "registry/image_copy.h"
#include "registry/image_pull.h"
#include "registry/remote_image.h"
#include "registry/store_image.h"

namespace ingot::app {

namespace {

struct TransferOptions {
  std::string from;
  std::string to;
  std::string platform;
  bool referrers = false;
  int jobs = 4;
};

Result<registry::CopyOptions> CopyOptionsOf(const TransferOptions& options, TransferView& view) {
  registry::CopyOptions copy;
  copy.jobs = options.jobs;
  copy.referrers = options.referrers;
  if (!options.platform.empty()) copy.platform = TRY(registry::ParsePlatform(options.platform));
  copy.progress = [&view](const registry::CopyProgress& progress) { view.On(progress); };
  return copy;
}

int ShowCopied(const Invocation& invocation, const Result<registry::CopiedImage>& copied, TransferView& view,
               const std::string& from, const std::string& to) {
  view.Clear();
  if (!copied) return Report(invocation, copied.error());
  const auto elapsed_ms = static_cast<int64_t>(view.elapsed_ms());
  if (invocation.json) {
    PrintJson(JsonObject{{"digest", copied->digest.Render()},
                         {"source", from},
                         {"target", to},
                         {"manifests", copied->manifests},
                         {"referrers", copied->referrers},
                         {"blobs_copied", copied->blobs_copied},
                         {"blobs_mounted", copied->blobs_mounted},
                         {"blobs_present", copied->blobs_present},
                         {"copied_bytes", copied->copied_bytes},
                         {"elapsed_ms", elapsed_ms}});
  } else {
    std::printf("%s %s: %zu blobs sent (%s), %zu mounted, %zu there already; %s\n",
                Paint(Colour::kBlue, to).c_str(), copied->digest.Render().c_str(), copied->blobs_copied,
                RenderSize(copied->copied_bytes).c_str(), copied->blobs_mounted, copied->blobs_present,
                RenderElapsed(view.elapsed_ms()).c_str());
  }
  return kDone;
}

// IMAGE itself, when its name says which registry it belongs to.
Result<oci::Reference> TargetOf(const FoundImage& image, const std::string& to) {
  const std::string text = to.empty() ? image.repository + ":" + image.tag : to;
  auto reference = oci::Reference::Parse(text);
  if (!reference) return std::move(reference).error().While("reading " + text);
  if (to.empty() && reference->registry.empty())
    return Error(Code::kInvalid, "say where to: `ingot images push IMAGE REGISTRY/REPOSITORY:TAG`");
  if (reference->digest)
    return Error(Code::kInvalid, text + ": an image is pushed under a tag, not under a digest");
  return reference->Normalized();
}

Result<registry::CopiedImage> PushImage(const TransferOptions& options, OpenedStore& opened,
                                        TransferView& view, std::string& to) {
  store::Store& store = *opened.store;
  const FoundImage image = TRY(FindAnyImage(store, options.from));
  const oci::Reference target_name = TRY(TargetOf(image, options.to));
  to = target_name.Render();
  const auto client =
      TRY(RegistryClient::Make(*opened.clock, [&view](const std::string& text) { view.Note(text); }));
  store::Lease lease = TRY(store.TakeLease("push " + options.from));
  registry::StoreSource source(store, image.repository, image.digest, options.from, lease);
  registry::RemoteTarget target(client->client(), target_name, std::nullopt);
  const registry::CopyOptions copy = TRY(CopyOptionsOf(options, view));
  return registry::CopyImage(source, target, copy);
}

int Push(Invocation& invocation, const TransferOptions& options) {
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  TransferView view(invocation.json, "pushing " + options.from);
  std::string to;
  const auto copied = PushImage(options, *opened, view, to);
  return ShowCopied(invocation, copied, view, options.from, to);
}

Result<registry::CopiedImage> CopyPlaces(const TransferOptions& options, const ImagePlace& from,
                                         const ImagePlace& to, TransferView& view) {
  SystemClock clock;
  const auto client = TRY(RegistryClient::Make(clock, [&view](const std::string& text) { view.Note(text); }));
  std::error_code failed;
  const fs::path spool = fs::temp_directory_path(failed);
  if (failed) return ErrnoError(failed.value(), "find a folder for temporary files; set TMPDIR");
  const registry::CopyOptions copy = TRY(CopyOptionsOf(options, view));
  const OpenedSource source = TRY(OpenSource(from, client->client(), spool));
  OpenedTarget target = TRY(OpenedTarget::Open(to, &client->client(), spool, source.source->remote()));
  auto copied = registry::CopyImage(*source.source, target.target(), copy);
  if (copied) TRY(target.Commit());
  return copied;
}

int Copy(Invocation& invocation, const TransferOptions& options) {
  auto from = ImagePlace::Parse(options.from);
  if (!from) return Report(invocation, from.error());
  auto to = ImagePlace::Parse(options.to);
  if (!to) return Report(invocation, to.error());
  if (to->path == "-")
    return Report(invocation, Error(Code::kInvalid,
                                    "copy writes to a file, not to standard output; use `images export`"));
  TransferView view(invocation.json, "copying " + from->Render());
  const auto copied = CopyPlaces(options, *from, *to, view);
  return ShowCopied(invocation, copied, view, from->Render(), to->Render());
}

// The name in the store of what comes from elsewhere: with its registry, so that it is nobody else's.
std::string StoreName(const oci::Reference& reference, std::string& tag) {
  tag = reference.tag.empty() ? "sha256-" + std::string(reference.digest->Short()) : reference.tag;
  return reference.registry + "/" + reference.repository;
}

Result<registry::PulledImage> PullNamed(const oci::Reference& reference, int jobs, OpenedStore& opened,
                                        TransferView& view, std::string& name) {
  store::Store& store = *opened.store;
  const auto client =
      TRY(RegistryClient::Make(*opened.clock, [&view](const std::string& text) { view.Note(text); }));
  store::Lease lease = TRY(store.TakeLease("pull " + reference.Render()));
  registry::PullOptions pull;
  pull.jobs = jobs;
  pull.progress = [&view](const registry::PullProgress& progress) { view.On(progress); };
  registry::PulledImage pulled = TRY(registry::PullImage(client->client(), store, reference, lease, pull));
  std::string tag;
  const std::string repository = StoreName(reference, tag);
  TRY(store.SetTag(repository, tag, pulled.manifest));
  name = repository + ":" + tag;
  return pulled;
}

int Pull(Invocation& invocation, const TransferOptions& options) {
  auto reference = oci::Reference::Parse(options.from);
  if (!reference) return Report(invocation, std::move(reference).error().While("reading " + options.from));
  auto opened = OpenStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  const oci::Reference normalized = reference->Normalized();
  TransferView view(invocation.json, "pulling " + normalized.Render());
  std::string name;
  const auto pulled = PullNamed(normalized, options.jobs, *opened, view, name);
  view.Clear();
  if (!pulled) return Report(invocation, pulled.error());
  if (invocation.json) {
    PrintJson(JsonObject{{"digest", pulled->digest.Render()},
                         {"manifest", pulled->manifest.Render()},
                         {"name", name},
                         {"known", pulled->known},
                         {"layers", pulled->layers},
                         {"transferred_bytes", pulled->transferred_bytes},
                         {"elapsed_ms", static_cast<int64_t>(view.elapsed_ms())}});
  } else {
    std::printf("%s %s: %s in %s\n", Paint(Colour::kBlue, name).c_str(), pulled->digest.Render().c_str(),
                pulled->known ? "in the store already" : RenderSize(pulled->transferred_bytes).c_str(),
                RenderElapsed(view.elapsed_ms()).c_str());
  }
  return kDone;
}

void AddCopyOptions(CLI::App& verb, TransferOptions& options) {
  verb.add_option("--platform", options.platform,
                  "of an index only the image for it (linux/arm64); else all");
  verb.add_flag("--referrers", options.referrers,
                "also what refers to the image: signatures, bills of materials");
}

void AddJobs(CLI::App& verb, TransferOptions& options) {
  verb.add_option("-j,--jobs", options.jobs, "how many blobs at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 16));
}

}  // namespace

void AddImageTransfers(CLI::App& images, Invocation& invocation) {
  auto options = std::make_shared<TransferOptions>();
  CLI::App* push = AddVerb(images, invocation, "push", "send an image of the store to a registry",
                           [&invocation, options] { return Push(invocation, *options); });
  push->add_option("image", options->from, "name or digest")->required();
  push->add_option("target", options->to,
                   "registry/repository:tag; not needed when the image's own name is one");
  AddCopyOptions(*push, *options);
  AddJobs(*push, *options);
  CLI::App* pull = AddVerb(images, invocation, "pull", "take an image from a registry into the store",
                           [&invocation, options] { return Pull(invocation, *options); });
  pull->add_option("reference", options->from, "registry/repository:tag or @digest")->required();
  AddJobs(*pull, *options);
  CLI::App* copy =
      AddVerb(images, invocation, "copy", "copy an image from one place to another, not by the store",
              [&invocation, options] { return Copy(invocation, *options); });
  copy->add_option("source", options->from, "see below")->required();
  copy->add_option("target", options->to, "see below")->required();
  AddCopyOptions(*copy, *options);
  AddJobs(*copy, *options);
  copy->footer(
      "Places: registry/repository:tag (or docker://…), oci:FOLDER[:NAME], oci-archive:FILE[:NAME],\n"
      "docker-archive:FILE[:NAME]. Manifests and blobs are copied byte for byte, and checked; what the "
      "target has\n"
      "is not sent, and within one registry blobs are mounted. A docker-archive holds one image, unpacked.");
}

}  // namespace ingot::app
