#include <chrono>

#include "base/json.h"
#include "build/build_session.h"
#include "build/key.h"
#include "build/pulled_image.h"

namespace ingot::build {
namespace {

// The golden image that was made of the same inputs and passed the same tests.
std::string GoldenKey(const std::string& image_key, const ImageTests& tests) {
  return KeyHasher("golden/1").Add(image_key).Add(TestsKey(tests)).Finish();
}

// Runs the tests unless this very image has passed them; marks it golden.
Result<bool> Prove(BuildSession& session, const std::string& name, const oci::Digest& manifest,
                   const ImageTests& tests) {
  const std::string key = KeyHasher("tested/1").Add(manifest.Render()).Add(TestsKey(tests)).Finish();
  std::string record = R"({"tests":[]})";
  bool ran = false;
  std::optional<store::CacheEntry> known;
  if (!session.options.no_cache) known = TRY(session.store.CacheGet(key, session.workspace.LeaseIfTaken()));
  if (known) {
    record = known->value;
  } else if (!tests.tests.empty()) {
    ran = true;
    record = TRY(RunImageTests(session.store, session.sandbox, manifest, tests,
                               [&](BuildEvent event) { session.Report(name, std::move(event)); }));
    TRY(session.store.CachePut(key, record, {{}, {manifest}}));
  }
  TRY(session.store.MarkGolden(manifest, record));
  return ran;
}

class ImageBuild {
 public:
  ImageBuild(BuildSession& session, const std::string& name)
      : session_(session), name_(name), inputs_(session.inputs.at(name)) {}

  Result<BuiltImage> Build() {
    const auto begin = std::chrono::steady_clock::now();
    BuildEvent event;
    event.kind = BuildEvent::Kind::kImageStarted;
    session_.Report(name_, event);
    BuiltImage built = TRY(BuildOrFind());
    built.golden = true;
    built.took = std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - begin);
    event.kind = BuildEvent::Kind::kImageDone;
    event.took = built.took;
    event.cached = built.cached;
    event.text = built.manifest.Render();
    session_.Report(name_, event);
    return built;
  }

 private:
  Result<BuiltImage> BuildOrFind() {
    const ImageTests tests = TestsOf(session_.definition, name_);
    std::optional<DockerfileImage> dockerfile;
    std::optional<LockedBase> base;
    std::optional<oci::Digest> pulled;
    int steps = 1;
    std::string image_key;
    if (inputs_.dockerfile) {
      dockerfile.emplace(session_, name_);
      image_key = TRY(dockerfile->Plan());
      steps = dockerfile->CountSteps();
    } else if (!inputs_.debian_suite.empty()) {
      base = TRY(session_.lock_file.Get(name_, inputs_, false, session_.NoteOf(name_)));
      image_key = DebianImageKey(session_, *base);
    } else if (!inputs_.references.empty()) {
      pulled = TRY(PulledImage(session_, name_, inputs_.references.begin()->second));
      image_key = pulled->Render();
      steps = 0;
    } else {
      image_key = session_.built.lock()->at(inputs_.image->from).manifest.Render();
      steps = 0;
    }
    const std::string key = GoldenKey(image_key, tests);
    if (!session_.options.no_cache) {
      const auto entry = TRY(session_.store.CacheGet(key, session_.workspace.LeaseIfTaken()));
      if (entry && !entry->refs.images.empty()) {
        if (dockerfile) TRY(dockerfile->Finish());
        return BuiltImage{entry->refs.images.front(), true, true, steps, steps, {}};
      }
    }
    MadeImage made;
    if (dockerfile)
      made = TRY(dockerfile->Make());
    else if (base)
      made = TRY(MakeDebianImage(session_, name_, *base));
    else if (pulled)
      made.manifest = *pulled;
    else
      made.manifest = session_.built.lock()->at(inputs_.image->from).manifest;
    const bool tested = TRY(Prove(session_, name_, made.manifest, tests));
    TRY(session_.store.CachePut(key, R"({"step":"golden"})", {{}, {made.manifest}}));
    if (dockerfile) TRY(dockerfile->Finish());
    BuiltImage built{made.manifest, true, false, made.steps, made.cached_steps, {}};
    built.cached = !tested && made.steps == made.cached_steps;
    return built;
  }

  BuildSession& session_;
  const std::string& name_;
  const ImageInputs& inputs_;
};

}  // namespace

Result<BuiltImage> BuildImage(BuildSession& session, const std::string& name) {
  return ImageBuild(session, name).Build();
}

}  // namespace ingot::build
