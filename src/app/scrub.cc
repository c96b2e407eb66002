#include "app/scrub.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/signals.h"
#include "build/build_session.h"
#include "store/file_check.h"
#include "store/quarantine.h"
#include "store/repair.h"
#include "store/sweep.h"

namespace ingot::app {

namespace {

constexpr auto kSaveEvery = std::chrono::seconds(5);
constexpr auto kRetry = std::chrono::seconds(30);
constexpr int kIoprioWhoProcess = 1;
constexpr int kIoprioIdle = 3 << 13;

fs::path StatePath(const Layout& layout) {
  return layout.root / "scrub.json";
}

void BeIdle() {
  const auto self = static_cast<pid_t>(::syscall(SYS_gettid));
  // What the kernel refuses only costs others some speed; the rate bounds it all the same.
  static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(self), 19));
  static_cast<void>(::syscall(SYS_ioprio_set, kIoprioWhoProcess, self, kIoprioIdle));
}

// "object <hex>" and the like sort as they are walked.
std::string CursorOf(store::ThingKind thing, const std::string& name) {
  static constexpr char kOrder[] = {'0', '1', '2'};
  return std::string(1, kOrder[static_cast<size_t>(thing)]) + " " + std::string(store::ThingKindName(thing)) +
         " " + name;
}

// Every file of the store whose name promises something, after the cursor. Folder by folder: a million
// objects are never in memory at once.
Result<void> ForEachThing(const store::Store& store, const std::string& cursor,
                          const std::function<Result<void>(store::ThingKind, const std::string&)>& visit) {
  const auto walk = [&](store::ThingKind thing, const fs::path& folder, const std::string& prefix,
                        std::string_view suffix) -> Result<void> {
    auto names = ListDirectory(folder);
    if (!names && names.error().code() == Code::kNotFound) return {};
    for (const std::string& file : TRY(std::move(names))) {
      if (!file.ends_with(suffix)) continue;
      const std::string name = prefix + file.substr(0, file.size() - suffix.size());
      if (CursorOf(thing, name) <= cursor || !store::PathOfThing(store, thing, name)) continue;
      TRY(visit(thing, name));
    }
    return {};
  };
  for (const std::string& folder : TRY(ListDirectory(store.paths().objects))) {
    // A whole folder that lies before the cursor is not even listed.
    const std::string last = CursorOf(store::ThingKind::kObject, folder + "~");
    if (folder.size() == 2 && last > cursor)
      TRY(walk(store::ThingKind::kObject, store.paths().objects / folder, folder, ""));
  }
  TRY(walk(store::ThingKind::kLayer, store.paths().layers, "", ".erofs"));
  for (const std::string algorithm : {"sha256", "sha512"})
    TRY(walk(store::ThingKind::kBlob, store.paths().blobs / algorithm, algorithm + ":", ""));
  return {};
}

JsonObject Detail(store::ThingKind thing, const std::string& name, const std::string& message,
                  const std::set<oci::Digest>& images) {
  JsonArray affected;
  for (const oci::Digest& image : images) affected.emplace_back(image.Render());
  return JsonObject{{"thing", store::ThingKindName(thing)},
                    {"name", name},
                    {"message", message},
                    {"images", std::move(affected)}};
}

}  // namespace

Result<ScrubState> ScrubState::Read(const Layout& layout) {
  const Json json = TRY(ParseJson(TRY(ReadFile(StatePath(layout), 65536))));
  if (!json.is_object()) return Error(Code::kCorrupt, StatePath(layout).string() + " is not an object");
  const JsonObject& fields = json.get_object();
  ScrubState state;
  state.cursor = StringOr(fields, "cursor", "");
  if (auto time = ParseTime(StringOr(fields, "began", ""))) state.began = *time;
  if (auto time = ParseTime(StringOr(fields, "completed", ""))) state.completed = *time;
  state.bytes = static_cast<uint64_t>(IntOr(fields, "bytes", 0));
  state.found = static_cast<uint64_t>(IntOr(fields, "found", 0));
  state.unknown = static_cast<uint64_t>(IntOr(fields, "unknown", 0));
  return state;
}

Json ScrubState::ToJson() const {
  const auto time = [](WallTime at) { return at == WallTime{} ? Json(nullptr) : Json(RenderTime(at)); };
  return JsonObject{{"cursor", cursor}, {"began", time(began)}, {"completed", time(completed)},
                    {"bytes", bytes},   {"found", found},       {"unknown", unknown}};
}

Scrubber::Scrubber(const Layout& layout, store::Store& store, const Clock& clock, Options options)
    : layout_(layout), store_(store), clock_(clock), options_(std::move(options)) {
  thread_ = std::thread([this] { Loop(); });
}

Scrubber::~Scrubber() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool Scrubber::Sleep(Milliseconds time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, time, [this] { return ending_; });
}

void Scrubber::Loop() {
  ::prctl(PR_SET_NAME, "scrub");
  BeIdle();
  // What a killed process has left of the file beside it; all else of the store where no registry does it.
  for (const auto& swept :
       {SweepAtomicWrites(layout_.root), build::SweepBuilds(layout_.tmp(), layout_.cache())})
    if (!swept) LogToStderr("cannot remove what killed processes have left: " + swept.error().Render());
  if (auto swept = store::SweepDead(store_, clock_); !swept)
    LogToStderr("cannot remove what killed processes have left: " + swept.error().Render());
  while (true) {
    Milliseconds pause = kRetry;
    // Held by whoever scrubs this root; what cannot be locked is tried again.
    const auto lock = FileLock::Take(layout_.root / "scrub.lock", false);
    if (lock) {
      auto read = ScrubState::Read(layout_);
      ScrubState state = read ? std::move(*read) : ScrubState{};
      const WallTime now = clock_.Now();
      // Also when it was ended before the first thing was read.
      const bool resumes = state.began != WallTime{} && state.completed < state.began;
      if (resumes || state.began == WallTime{} || now - state.began >= options_.every || now < state.began) {
        if (!resumes) {
          const WallTime completed = state.completed;
          state = ScrubState{};
          state.completed = completed;
          state.began = now;
        }
        if (auto done = RunRound(state); !done) {
          if (done.error().code() != Code::kCancelled)
            LogToStderr("the scrub stopped: " + done.error().Render());
          // It goes on from here; what could not be written only costs the way since the last time.
          static_cast<void>(
              WriteFileAtomic(StatePath(layout_), RenderJson(state.ToJson()), 0644, Durability::kNone)
                  .has_value());
        }
      }
      const auto left = std::chrono::duration_cast<Milliseconds>(state.began + options_.every - clock_.Now());
      if (state.completed >= state.began)
        pause = std::clamp<Milliseconds>(left, std::chrono::milliseconds(100), kRetry);
    }
    if (!Sleep(pause)) return;
  }
}

Result<void> Scrubber::RunRound(ScrubState& state) {
  const auto save = [&]() -> Result<void> {
    return WriteFileAtomic(StatePath(layout_), RenderJson(state.ToJson()), 0644, Durability::kNone);
  };
  const auto report = [&](const std::string& kind, JsonObject detail) {
    LogToStderr(kind + " " + RenderJson(detail));
    if (options_.report) options_.report(kind, std::move(detail));
  };
  SteadyTime saved = clock_.Steady();
  // Behind this moment nothing more is read: each piece moves it on by the time that it may take.
  SteadyTime due = clock_.Steady();
  store::FileCheck check(store::FileCheck::Reads::kFromDisk, [&](size_t bytes) -> Result<void> {
    state.bytes += bytes;
    due = std::max(due, clock_.Steady() - std::chrono::seconds(1)) +
          std::chrono::nanoseconds(bytes * uint64_t{1'000'000'000} /
                                   std::max<uint64_t>(options_.rate_bytes, 1));
    const auto ahead = std::chrono::duration_cast<Milliseconds>(due - clock_.Steady());
    if (ahead > Milliseconds(0) && !Sleep(ahead)) return Error(Code::kCancelled, "the scrub is to end");
    return {};
  });
  const auto look = [&](store::ThingKind thing, const std::string& name) -> Result<uint64_t> {
    const fs::path path = TRY(store::PathOfThing(store_, thing, name));
    if (thing == store::ThingKind::kBlob) return check.Blob(path, TRY(oci::Digest::Parse(name)));
    return check.Object(path, TRY(store::ObjectId::Parse(name)), std::nullopt);
  };
  TRY(ForEachThing(
      store_, state.cursor, [&](store::ThingKind thing, const std::string& name) -> Result<void> {
        if (!Sleep(Milliseconds(0))) return Error(Code::kCancelled, "the scrub is to end");
        const auto seen = look(thing, name);
        if (!seen && seen.error().code() == Code::kCancelled) return Error(seen.error());
        if (!seen && seen.error().code() == Code::kCorrupt) {
          store::Problem problem{store::ProblemKind::kDamaged,
                                 thing,
                                 name,
                                 {},
                                 seen.error().message(),
                                 TRY(store::ImagesThatNeed(store_, thing, name))};
          // It looks again: what was read wrongly once is not damaged.
          if (TRY(store::SetAside(store_, problem, clock_))) {
            ++state.found;
            report("store.damaged", Detail(thing, name, problem.message, problem.images));
            const store::LostThing lost{thing,           problem.kind, name,
                                        problem.message, clock_.Now(), problem.images};
            const auto repaired = store::RepairFromStore(store_, lost);
            const bool whole = repaired && *repaired;
            report(whole ? "store.repaired" : "store.lost",
                   Detail(thing, name,
                          whole      ? "another copy was found in this store"
                          : repaired ? "this store has no other copy; ingot verify --repair looks further"
                                     : repaired.error().message(),
                          problem.images));
          }
        } else if (!seen && seen.error().code() != Code::kNotFound) {
          ++state.unknown;
          report("store.unknown", Detail(thing, name, seen.error().message(), {}));
        }
        state.cursor = CursorOf(thing, name);
        if (clock_.Steady() - saved >= kSaveEvery) {
          saved = clock_.Steady();
          TRY(save());
        }
        return {};
      }));
  state.cursor.clear();
  state.completed = clock_.Now();
  return save();
}

}  // namespace ingot::app
