#include "build/pulled_image.h"

#include <fmt/format.h>

#include <chrono>

#include "base/units.h"
#include "registry/image_pull.h"
#include "registry/pushed_image.h"
#include "registry/store_image.h"

namespace ingot::build {
namespace {

using PullClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLiveEvery{200};
constexpr std::chrono::seconds kLineEvery{10};

// Tells of a pull: on the live line often, on a line of its own now and then.
class PullReport {
 public:
  PullReport(BuildSession& session, const std::string& image, std::string reference)
      : session_(session), image_(image), reference_(std::move(reference)) {}

  void On(const registry::PullProgress& progress) {
    const auto now = PullClock::now();
    const std::string line =
        fmt::format("{}: {} of {}, {} of {} layers", reference_, RenderSize(progress.done_bytes),
                    RenderSize(progress.total_bytes), progress.layers_done, progress.layers_total);
    if (now - line_ >= kLineEvery) {
      line_ = now;
      session_.NoteOf(image_)("pulling " + line);
    } else if (now - live_ >= kLiveEvery) {
      live_ = now;
      BuildEvent event;
      event.kind = BuildEvent::Kind::kOutput;
      event.text = "pulling " + line;
      session_.Report(image_, std::move(event));
    }
  }

  void Done(const registry::PulledImage& pulled) {
    if (pulled.known) return;
    const auto took = std::chrono::duration_cast<Milliseconds>(PullClock::now() - begin_);
    session_.NoteOf(image_)(fmt::format(
        "pulled {} {}: {} layers, {} in {:.1f} s", reference_, pulled.digest.Render().substr(0, 19),
        pulled.layers, RenderSize(pulled.transferred_bytes), static_cast<double>(took.count()) / 1000));
  }

 private:
  BuildSession& session_;
  const std::string& image_;
  const std::string reference_;
  const PullClock::time_point begin_ = PullClock::now();
  PullClock::time_point line_ = begin_;
  PullClock::time_point live_ = begin_;
};

// Its files enter the pool; its blobs are in the store.
Result<registry::PulledImage> TakePushed(store::Store& store, const registry::PushedImage& pushed,
                                         const oci::Reference& reference, store::Lease& lease,
                                         const registry::PullOptions& options) {
  const std::string name =
      pushed.repository + (reference.tag.empty() ? "@" + pushed.digest.Render() : ":" + reference.tag);
  registry::StoreSource source(store, pushed.repository, pushed.digest, name, lease);
  return registry::PullImage(source, pushed.digest, store, lease, options);
}

}  // namespace

Result<oci::Digest> PulledImage(BuildSession& session, const std::string& image,
                                const oci::Reference& reference) {
  const std::lock_guard lock(session.pulling);
  const auto pinned = TRY(session.lock_file.GetPin(reference));
  oci::Reference exact = reference;
  if (pinned) exact.digest = *pinned;
  if (exact.digest) {
    const auto known =
        TRY(registry::FindPulled(session.store, *exact.digest, session.workspace.LeaseIfTaken()));
    if (known) return *known;
  } else if (session.options.locked) {
    return Error(Code::kRefused, reference.Render() +
                                     " is not pinned in ingot.lock, and --locked allows nothing "
                                     "else; run `ingot lock` and commit the file");
  }
  const auto pushed = TRY(registry::FindPushed(session.store, exact));
  if (session.client == nullptr && !pushed)
    return Error(Code::kUnsupported, reference.Render() + ": images cannot be pulled in this program");
  store::Lease* lease = TRY(session.workspace.GetLease());
  PullReport report(session, image, reference.Render());
  session.NoteOf(image)(pushed ? reference.Render() + " was pushed to this store's registry as " +
                                     pushed->repository
                               : "pulling " + reference.Render());
  registry::PullOptions options;
  options.progress = [&](const registry::PullProgress& progress) { report.On(progress); };
  auto pulled = pushed ? TakePushed(session.store, *pushed, exact, *lease, options)
                       : registry::PullImage(*session.client, session.store, exact, *lease, options);
  if (!pulled) {
    if (pinned && pulled.error().code() == Code::kNotFound) {
      return Error(Code::kNotFound,
                   pulled.error().Render() +
                       ". ingot.lock pins this digest; `ingot lock --upgrade` takes what the name "
                       "stands for today");
    }
    return std::move(pulled).error();
  }
  report.Done(*pulled);
  if (!exact.digest) {
    TRY(session.lock_file.SetPin(reference, pulled->digest));
    session.NoteOf(image)("ingot.lock: " + reference.Render() + " pinned to " + pulled->digest.Render());
  }
  return pulled->manifest;
}

}  // namespace ingot::build
