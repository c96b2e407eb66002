#include "registry/pushed_image.h"

#include <vector>

namespace ingot::registry {

Result<std::optional<PushedImage>> FindPushed(store::Store& store, const oci::Reference& reference) {
  std::optional<PushedImage> found;
  if (reference.registry != "docker.io") return found;
  std::vector<std::string> repositories = {reference.repository};
  // "web" is docker.io/library/web.
  constexpr std::string_view kLibrary = "library/";
  if (reference.repository.starts_with(kLibrary))
    repositories.insert(repositories.begin(), reference.repository.substr(kLibrary.size()));
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    for (const std::string& repository : repositories) {
      if (reference.digest) {
        if (TRY(rows.FindRepositoryManifest(repository, *reference.digest)))
          found = PushedImage{repository, *reference.digest};
      } else if (const auto tag = TRY(rows.FindRepositoryTag(repository, reference.tag))) {
        found = PushedImage{repository, tag->digest};
      }
      if (found) break;
    }
    return {};
  }));
  return found;
}

}  // namespace ingot::registry
