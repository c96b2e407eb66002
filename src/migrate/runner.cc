#include "migrate/runner.h"

#include <algorithm>
#include <map>

namespace ingot::migrate {

namespace {

// For locks that were not had in time: the statement is given up, so that whoever waits behind it goes on,
// and tried again a little later.
constexpr int kTries = 6;
constexpr Milliseconds kPause{500};

class ScriptRun {
 public:
  ScriptRun(Database& database, const Script& script, const RunOptions& options, const RunHooks& hooks,
            Clock& clock)
      : database_(database), script_(script), options_(options), hooks_(hooks), clock_(clock) {}

  Result<void> Run(const LedgerEntry* former) {
    const std::string text = TRY(hooks_.text(script_));
    auto parsed = ParseScript(text, options_.engine);
    if (!parsed) return Placed(parsed.error());
    parsed_ = std::move(*parsed);
    entry_ = former != nullptr ? *former : NewEntry();
    if (entry_.done > count())
      return Error(Code::kCorrupt, script_.file + ": the ledger says that more of it is done than it has");
    TRY(database_.NewSession());
    if (former != nullptr) TRY(Resume());
    if (count() == 0) return database_.WriteLedger(Ended(entry_));
    while (entry_.done < count()) {
      if (parsed_.statements[entry_.done].alone)
        TRY(Alone());
      else
        TRY(Together());
    }
    return {};
  }

 private:
  uint32_t count() const { return static_cast<uint32_t>(parsed_.statements.size()); }

  LedgerEntry NewEntry() const {
    LedgerEntry entry;
    entry.set = options_.set;
    entry.version = script_.version;
    entry.name = script_.name;
    entry.stage = script_.stage;
    entry.checksum = script_.checksum;
    entry.statements = count();
    entry.started = clock_.Now();
    entry.revision = options_.revision;
    entry.who = options_.who;
    return entry;
  }

  LedgerEntry Ended(LedgerEntry entry) const {
    entry.ended = clock_.Now();
    return entry;
  }

  // "FILE:LINE: …". A message that begins with "line N: " knows better where it is than the statement does.
  Error Placed(const Error& error, int line = 0) const {
    std::string message = error.Render();
    if (message.starts_with("line ")) {
      const size_t colon = message.find(": ");
      line = std::atoi(message.c_str() + 5);
      message = message.substr(colon + 2);
    }
    return Error(error.code(), script_.file + (line > 0 ? ":" + std::to_string(line) : "") + ": " + message);
  }

  // What a killed run left: how its last statement ended, and the settings of its session.
  Result<void> Resume() {
    for (uint32_t i = 0; i < entry_.done; ++i)
      if (parsed_.statements[i].setting) TRY(One(i));
    if (!entry_.running) return {};
    const Statement& begun = parsed_.statements.at(entry_.done);
    auto outcome = database_.Settle(begun);
    if (!outcome) return Placed(outcome.error(), begun.line);
    entry_.running = false;
    if (*outcome == Outcome::kNotDone) return {};
    ++entry_.done;
    return database_.WriteLedger(entry_.done == count() ? Ended(entry_) : entry_);
  }

  Result<void> One(uint32_t index) {
    const Statement& statement = parsed_.statements[index];
    if (hooks_.cancelled && hooks_.cancelled())
      return Error(Code::kCancelled, script_.file + ": ended before line " + std::to_string(statement.line) +
                                         ", as was asked for");
    if (hooks_.progress) hooks_.progress({script_, index + 1, count()});
    if (auto done = database_.Execute(statement); !done) return Placed(done.error(), statement.line);
    return {};
  }

  // Until it succeeds, or fails for another reason than a lock.
  Result<void> Patiently(const std::function<Result<void>()>& work) {
    for (int tries = 1;; ++tries) {
      auto done = work();
      const bool again = !done && done.error().code() == Code::kConflict && tries < kTries;
      if (!again) return done;
      clock_.Sleep(kPause * tries);
    }
  }

  Result<void> Alone() {
    const Statement& statement = parsed_.statements[entry_.done];
    return Patiently([&]() -> Result<void> {
      entry_.running = true;
      TRY(database_.WriteLedger(entry_));
      if (auto done = One(entry_.done); !done) {
        // It failed and said so: nothing of it is to be looked for later but what it left behind.
        const Code code = done.error().code();
        if (code == Code::kUnavailable || code == Code::kCancelled) return done;
        if (database_.Settle(statement)) {
          entry_.running = false;
          TRY(database_.WriteLedger(entry_));
        }
        return done;
      }
      entry_.running = false;
      ++entry_.done;
      return database_.WriteLedger(entry_.done == count() ? Ended(entry_) : entry_);
    });
  }

  // As many as can share a transaction, with their row.
  Result<void> Together() {
    uint32_t end = entry_.done + 1;
    while (!parsed_.no_transaction && end < count() && !parsed_.statements[end].alone) ++end;
    TRY(Patiently([&] {
      return database_.InTransaction([&]() -> Result<void> {
        LedgerEntry after = entry_;
        for (uint32_t i = entry_.done; i < end; ++i) TRY(One(i));
        after.done = end;
        return database_.WriteLedger(end == count() ? Ended(std::move(after)) : after);
      });
    }));
    entry_.done = end;
    return {};
  }

  Database& database_;
  const Script& script_;
  const RunOptions& options_;
  const RunHooks& hooks_;
  Clock& clock_;
  ParsedScript parsed_;
  LedgerEntry entry_;
};

}  // namespace

Result<void> CheckProblems(const Comparison& comparison) {
  if (comparison.problems.empty()) return {};
  std::string message = comparison.problems.front();
  if (comparison.problems.size() > 1)
    message += " (and " + std::to_string(comparison.problems.size() - 1) + " more of the kind)";
  return Error(Code::kRefused, message);
}

Result<std::vector<Script>> Run(Database& database, const std::vector<Script>& scripts,
                                const RunOptions& options, const RunHooks& hooks, Clock& clock) {
  TRY(database.Lock());
  const std::vector<LedgerEntry> ledger = TRY(database.ReadLedger(options.set));
  const Comparison comparison = Compare(scripts, ledger, options.contracts);
  TRY(CheckProblems(comparison));
  std::vector<Script> ended;
  for (const Step& step : comparison.steps) {
    if (step.state == Step::State::kApplied || step.state == Step::State::kWaits) continue;
    if (step.script.stage == Stage::kExpand && !options.expand) continue;
    const auto former = std::find_if(ledger.begin(), ledger.end(), [&](const LedgerEntry& entry) {
      return entry.version == step.script.version;
    });
    ScriptRun run(database, step.script, options, hooks, clock);
    TRY(run.Run(former == ledger.end() ? nullptr : &*former));
    if (hooks.ended) hooks.ended(step.script);
    ended.push_back(step.script);
  }
  return ended;
}

}  // namespace ingot::migrate
