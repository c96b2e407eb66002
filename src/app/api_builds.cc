// The part of the API that builds for another host.
#include <mutex>

#include "app/api.h"
#include "app/build_received.h"
#include "app/daemon_client.h"
#include "app/parcel.h"
#include "app/remote_build.h"
#include "store/sweep.h"

namespace ingot::app {

namespace {

constexpr int kMostBuilds = 4;

}  // namespace

Result<void> Api::BuildHere(const Request& request, Reply& reply, const Environment& environment,
                            bool& streamed) {
  const Turn turn = TRY(Turn::Take(builds_, kMostBuilds));
  store::Store& store = daemon_.store();
  store::Lease lease =
      TRY(store.TakeLease("files of " + environment.Render() + " from " + request.peer.name));
  IncomingParcel parcel(request.stream, store, lease);
  Json document = TRY(parcel.ReadDocument());
  if (!document.is_object()) return Error(Code::kInvalid, "expected an object");
  document.get_object()["project"] = environment.project();
  TRY(parcel.ReadEntries());
  const auto tree = parcel.trees().find(kProjectTree);
  if (tree == parcel.trees().end()) return Error(Code::kInvalid, "the project's files were not sent");
  const TempDirectory folder = TRY(MakeBuildFolder(daemon_.layout()));
  store::DiskShare share(&store.budget());
  TRY(LayOut(tree->second, store, folder.path() / "project", share));
  streamed = true;
  TRY(reply.Begin(200, "application/jsonl"));
  auto built = RunReceivedBuild(
      daemon_.layout(), folder.path(), document,
      [&](std::string_view line) { return reply.Write(std::string(line) + "\n").has_value(); },
      [&] { return reply.Gone(); });
  if (!built) {
    // It may have been killed while it wrote: what that leaves need not wait for a collection.
    static_cast<void>(store::SweepDead(store, SystemClock()).has_value());
    return built;
  }
  return reply.End();
}

}  // namespace ingot::app
