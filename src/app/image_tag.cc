#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "adapters/sqlite_events.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/verbs.h"
#include "registry/names.h"

namespace ingot::app {

namespace {

Result<oci::Digest> TagImage(const Invocation& invocation, const std::string& image,
                             const std::string& name) {
  const size_t colon = name.rfind(':');
  const std::string repository = name.substr(0, colon);
  const std::string tag = colon == std::string::npos ? "latest" : name.substr(colon + 1);
  if (!registry::IsRepositoryName(repository) || !registry::IsTagName(tag))
    return Error(Code::kInvalid, "\"" + name + "\": expected a name such as shop/web:1.0");
  const OpenedStore opened = TRY(OpenExistingStore(invocation.layout()));
  const oci::Digest digest = TRY(FindImage(*opened.store, image));
  TRY(opened.store->SetTag(repository, tag, digest));
  SystemClock clock;
  auto events = TRY(adapters::SqliteEvents::Open(invocation.layout().state_db(), clock));
  audit::Draft draft;
  draft.kind = "image.tagged";
  draft.actor = "uid:" + std::to_string(::getuid());
  draft.detail = JsonObject{{"repository", repository}, {"tag", tag}, {"digest", digest.Render()}};
  auto recorded = events->Append({std::move(draft)});
  if (!recorded) return std::move(recorded).error().While("the tag stands; recording it");
  return digest;
}

int Tag(Invocation& invocation, const std::string& image, const std::string& name) {
  auto tagged = TagImage(invocation, image, name);
  if (!tagged) return Report(invocation, tagged.error());
  if (invocation.json) {
    PrintJson(JsonObject{{"name", name}, {"digest", tagged->Render()}});
  } else {
    std::printf("%s is %s\n", name.c_str(), tagged->Render().c_str());
  }
  return kDone;
}

}  // namespace

void AddImageTag(CLI::App& images, Invocation& invocation) {
  auto image = std::make_shared<std::string>();
  auto name = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(images, invocation, "tag", "give an image a further name",
                           [&invocation, image, name] { return Tag(invocation, *image, *name); });
  verb->add_option("image", *image, "name or digest")->required();
  verb->add_option("name", *name, "REPOSITORY:TAG")->required();
  verb->footer("A version (1.0, v1.2.3, …) never moves: the name of another image is refused (exit 4).");
}

}  // namespace ingot::app
