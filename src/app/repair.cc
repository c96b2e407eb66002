// Repair from outside the store: the registry an image came from, the definition it was built from.
#include "store/repair.h"

#include <algorithm>

#include "app/build_images.h"
#include "app/lost_things.h"
#include "app/registry_client.h"

namespace ingot::app {

namespace {

class StoreRepair {
 public:
  StoreRepair(const Invocation& invocation, OpenedStore& opened,
              const std::function<void(const std::string&)>& say)
      : invocation_(invocation), opened_(opened), store_(*opened.store), say_(say) {}

  Result<std::vector<Repaired>> Run(const store::VerifyReport& report) {
    for (const store::Problem& problem : report.problems) {
      if (problem.kind == store::ProblemKind::kUnreadable || problem.thing == store::ThingKind::kImage)
        continue;
      TRY(store::SetAside(store_, problem, *opened_.clock));
    }
    TRY(FromStore());
    if (!TRY(store::ListLost(store_)).empty()) {
      TRY(FromRegistries());
      // A blob that came back may bring objects and layers with it.
      TRY(FromStore());
    }
    if (!TRY(store::ListLost(store_)).empty()) TRY(ByBuilding());
    return std::move(repaired_);
  }

 private:
  // Blobs and layers first: objects are found by them.
  Result<void> FromStore() {
    std::vector<store::LostThing> lost = TRY(store::ListLost(store_));
    std::stable_sort(lost.begin(), lost.end(),
                     [](const auto& a, const auto& b) { return a.thing > b.thing; });
    for (const store::LostThing& thing : lost) {
      const auto done = store::RepairFromStore(store_, thing);
      if (!done) {
        say_(thing.name + ": " + done.error().Render());
      } else if (*done) {
        repaired_.push_back({thing, "another copy in this store"});
      }
    }
    return {};
  }

  // What an image of this store was pulled as; nothing when it was not.
  Result<std::optional<oci::Reference>> PulledAs(const oci::Digest& image) {
    for (const store::ImageRow& row : TRY(store_.ListImages())) {
      if (row.digest != image || row.provenance.empty()) continue;
      const auto json = ParseJson(row.provenance);
      if (!json || !json->is_object()) continue;
      const auto reference = oci::Reference::Parse(StringOr(json->get_object(), "pulled", ""));
      if (reference) return std::optional<oci::Reference>(reference->Normalized());
    }
    return std::optional<oci::Reference>();
  }

  Result<void> FromRegistries() {
    std::unique_ptr<RegistryClient> client;
    for (const store::LostThing& thing : TRY(store::ListLost(store_))) {
      if (thing.thing != store::ThingKind::kBlob) continue;
      for (const oci::Digest& image : thing.images) {
        const auto reference = TRY(PulledAs(image));
        if (!reference) continue;
        if (!client) client = TRY(RegistryClient::Make(*opened_.clock, say_));
        say_("fetching " + thing.name + " from " + reference->registry);
        const auto fetched = Fetch(client->client(), *reference, TRY(oci::Digest::Parse(thing.name)), image);
        if (!fetched) {
          say_(fetched.error().Render());
          continue;
        }
        repaired_.push_back({thing, reference->Render()});
        break;
      }
    }
    return {};
  }

  Result<void> Fetch(registry::Client& client, const oci::Reference& repository, const oci::Digest& digest,
                     const oci::Digest& image) {
    store::Lease lease = TRY(store_.TakeLease("repair"));
    if (digest == image) {
      oci::Reference manifest = repository;
      manifest.digest = digest;
      return store_.PutBlobAs(digest, TRY(client.GetManifest(manifest)).bytes, lease);
    }
    std::optional<store::IncomingBlob> incoming;
    TRY(client.GetUnknownBlob(
        repository, digest,
        [&](uint64_t size_bytes) -> Result<void> {
          incoming.emplace(TRY(store_.ReceiveBlob(digest, size_bytes, lease)));
          return {};
        },
        [&](std::string_view bytes) { return incoming->Write(bytes); }, nullptr));
    if (!incoming) return Error(Code::kInvalid, "the registry sent nothing for " + digest.Render());
    TRY(incoming->Check());
    return incoming->Publish();
  }

  // The same inputs give the same digests: what is missing is put where it was.
  Result<void> ByBuilding() {
    std::error_code failed;
    if (!fs::exists(invocation_.file, failed)) {
      say_("what is still lost may come back by building it: run this where its ingot.yaml is");
      return {};
    }
    const std::vector<store::LostThing> before = TRY(store::ListLost(store_));
    const Project project = TRY(LoadProject(invocation_));
    BuildRequest request;
    request.no_cache = true;
    request.show_progress = !invocation_.json;
    say_("building the images of " + invocation_.file + " again");
    if (auto built = BuildImages(invocation_, project, request); !built) {
      say_("they could not be built: " + built.error().Render());
    }
    const std::vector<store::LostThing> after = TRY(store::ListLost(store_));
    for (const store::LostThing& thing : before) {
      if (std::none_of(after.begin(), after.end(), [&](const auto& other) {
            return other.thing == thing.thing && other.name == thing.name;
          }))
        repaired_.push_back({thing, "built again"});
    }
    return {};
  }

  const Invocation& invocation_;
  OpenedStore& opened_;
  store::Store& store_;
  const std::function<void(const std::string&)>& say_;
  std::vector<Repaired> repaired_;
};

}  // namespace

Result<std::vector<Repaired>> RepairProblems(const Invocation& invocation, OpenedStore& opened,
                                             const store::VerifyReport& report,
                                             const std::function<void(const std::string&)>& say) {
  return StoreRepair(invocation, opened, say).Run(report);
}

}  // namespace ingot::app
