// What the store has lost, for people: `ingot verify --repair`, `status` and `doctor`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/invocation.h"
#include "app/open_store.h"
#include "store/quarantine.h"

namespace ingot::app {

// A lost thing with all that it affects.
struct LostView {
  store::LostThing lost;
  std::vector<std::string> names;         // tags of the images; of one without: what it was called last
  std::vector<std::string> environments;  // that pin them, for revisions that may run
  std::vector<std::string> instances;     // that run them now
};

// What is lost now. When the daemon does not answer, `instances_known` is false: nothing is known of them.
struct LostReport {
  std::vector<LostView> things;
  bool instances_known = true;
};
Result<LostReport> LookAtLost(const Layout& layout, store::Store& store);
Json ToJson(const LostReport& report);
// "shop/web:latest, shop/web@sha256:…": the images that need what is lost; "no image" when only repositories
// of the registry do.
std::string LostImages(const LostReport& report);
// One line each, with what it affects.
std::string RenderLost(const LostReport& report);
// The same without opening a store when nothing was ever lost there.
Result<LostReport> LookAtLost(const Layout& layout);

struct Repaired {
  store::LostThing thing;
  std::string how;  // "another copy in this store", "registry.example/redis", "built again"
};
// Sets aside what is damaged and looks for other copies: in this store, at the registry that the image came
// from, by building it again from the definition here. `say` is told what is tried.
Result<std::vector<Repaired>> RepairProblems(const Invocation& invocation, OpenedStore& opened,
                                             const store::VerifyReport& report,
                                             const std::function<void(const std::string&)>& say);

}  // namespace ingot::app
