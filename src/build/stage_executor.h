// Executes one planned stage: each step is looked up by what it really depends on (the layers below it, its
// command, what it copies), and done when it is not known.
//
// These keys are finer than the plan's: a stage that was run again with the same outcome leaves what is built
// on it cached.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "build/layers_below.h"
#include "build/plan.h"
#include "build/progress.h"
#include "oci/image_config.h"
#include "platform/runtime.h"
#include "store/lease.h"
#include "store/store.h"

namespace ingot::build {

struct StageResult {
  std::vector<store::Layer> layers;
  std::vector<oci::HistoryEntry> history;
  int steps = 0;
  int cached_steps = 0;
};

// What all stages of one image share. `report` is safe to call from several threads.
struct StageEnvironment {
  store::Store& store;
  store::Lease& lease;
  platform::Sandbox& sandbox;
  Context* context;  // nullptr: nothing is copied from one
  fs::path temp_dir;
  std::string file_name;  // of the Dockerfile, for messages
  bool no_cache = false;
  int64_t source_date_epoch_s = 0;
  std::function<void(BuildEvent)> report;  // fills in image and total
  std::function<int()> next_number;        // of the next step, from 1
};

// `done`: the results of the stages it needs. kFailed when a RUN fails; kInvalid for a COPY that cannot be.
Result<StageResult> ExecuteStage(const StageEnvironment& environment, const PlannedStage& stage,
                                 const std::map<size_t, StageResult>& done);

// One RUN on `below`: the layer's tree, empty when it wrote nothing.
Result<store::Tree> ExecuteRun(const StageEnvironment& environment, const PlannedStep& step,
                               LayersBelow& below, int number);

// "2023-11-14T22:13:20Z"
std::string RenderSeconds(int64_t seconds);

}  // namespace ingot::build
