// Controller: drives all environments of one host through their rollouts. It owns no thread: the daemon's
// control thread submits commands and calls Tick.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/sink.h"
#include "base/clock.h"
#include "plan/plan.h"
#include "platform/platform.h"
#include "rollout/autoscaler.h"
#include "rollout/checker.h"
#include "rollout/command.h"
#include "rollout/journal.h"
#include "rollout/machine.h"

namespace ingot::rollout {

class Controller {
 public:
  // Without a migrator a rollout that needs one fails; without a checker checks are inconclusive. Finds every
  // environment of the journal; its first Tick resumes what was going on. All references outlive the
  // controller. The codes of Journal::Load.
  static Result<std::unique_ptr<Controller>> Open(platform::Platform& platform, Journal& journal,
                                                  audit::Sink& sink, Clock& clock, plan::HostEdge edge = {},
                                                  Migrator* migrator = nullptr, Checker* checker = nullptr);
  ~Controller();

  // Journals the command and answers; Tick carries it out. The codes of Accept, or of the journal (then
  // nothing was accepted).
  Result<Accepted> Submit(const Command& command);

  // Observes once, then decides, journals and acts for every environment until nothing is left to do now.
  // The time after which it wants to be called again at the latest; call it at once when the platform says
  // that something has changed.
  Milliseconds Tick();

  std::vector<platform::EnvironmentId> Environments() const;
  // The environment's state; null when it was never deployed to.
  const EnvironmentState* State(const platform::EnvironmentId& environment) const;
  // True while an apply would be refused because something is running.
  bool Busy(const platform::EnvironmentId& environment) const;
  // docs/formats/rollout.md, "status". kNotFound when it was never deployed to.
  Result<Json> Status(const platform::EnvironmentId& environment) const;
  // docs/formats/rollout.md, "rollout status": what goes on, step by step, or what ended last.
  Result<Json> RolloutStatus(const platform::EnvironmentId& environment) const;
  // docs/formats/rollout.md, "history": revisions and rollouts, the newest first.
  Result<Json> History(const platform::EnvironmentId& environment, size_t limit = 100) const;
  // A rollout by its number, running or ended (the newest 1000).
  Result<Rollout> FindRollout(const platform::EnvironmentId& environment, uint64_t id) const;
  // Services whose count follows their load, of environments that nothing is going on in.
  std::vector<ScaledService> Scaled() const;
  // What serves, for plan::MakePlan.
  std::optional<plan::Active> Active(const platform::EnvironmentId& environment) const;
  // What environments other than this one take of the host.
  plan::Claims ClaimsOfOthers(const platform::EnvironmentId& environment) const;
  // Images of everything running, warm, or being rolled out: what must not be collected.
  std::vector<oci::Digest> ImagesInUse() const;

 private:
  class Impl;
  explicit Controller(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::rollout
