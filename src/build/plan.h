// BuildPlan: a Dockerfile with everything put in that can be known without running anything: the graph of its
// stages and steps, each keyed by the digest of what it depends on.
//
// A step's `key` covers the key of the step before it, the operation, the variables that it sees, and what it
// copies: contents and x bits of the context's files, the keys of stages, the digests of images. Not times,
// not where the context lies, not comments or line numbers. Equal keys give equal results, so the key of the
// target's last step names the image that comes out.
//
// Stages that the target does not need are not in the plan. Pure but for the context, whose files are
// measured.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "build/context.h"
#include "build/dockerfile.h"
#include "build/dockerfile_scope.h"
#include "build/selection.h"
#include "oci/image_config.h"

namespace ingot::build {

// An image that FROM or --from names, and that is in the store.
struct BaseImage {
  oci::Digest manifest;
  oci::RunConfig config;
};
// Gives nothing when there is no image of that name. Asked once per name and place.
using FindImage = std::function<Result<std::optional<BaseImage>>(const std::string& name)>;

struct PlannedStep {
  Instruction instruction;               // variables put in
  oci::RunConfig config;                 // before it: user, working directory, shell
  std::vector<std::string> environment;  // RUN: "NAME=value"
  std::vector<std::string> proxies;      // RUN: the same, in no key
  Selection selection;                   // COPY, ADD: from the context
  // COPY --from: one of the two.
  std::optional<size_t> from_stage;
  std::optional<oci::Digest> from_image;
  std::string key;
};

struct PlannedStage {
  size_t number = 0;
  std::string name;
  // What it is built on: one of the two, or neither (scratch).
  std::optional<size_t> base_stage;
  std::optional<oci::Digest> base_image;
  std::vector<PlannedStep> steps;
  oci::RunConfig config;   // after the last step
  std::set<size_t> needs;  // stages that must be there before
  std::string key;
};

struct BuildPlan {
  std::map<size_t, PlannedStage> stages;  // those the target needs, by number
  size_t target = 0;
  std::string key;               // of the image
  std::set<oci::Digest> images;  // that it is built on or copies from
  std::vector<std::string> unused_arguments;
  const PlannedStage& target_stage() const { return stages.at(target); }
  // Steps that can make a layer: RUN, COPY, ADD, WORKDIR.
  int CountSteps() const;
};

struct PlanInput {
  const Dockerfile* dockerfile = nullptr;
  BuildInputs inputs;
  Context* context = nullptr;
  FindImage find_image;
  int64_t source_date_epoch_s = 0;
};

// Names that FROM and --from use in the stages the target needs, and that are not stages: images, "scratch"
// excepted. In the order of their first use, with "file:line" to blame.
struct NamedImage {
  std::string name;
  std::string where;
};
// kInvalid "file:line: …": a target or stage that does not exist, a bad FROM, an image without a
// file. kUnsupported: --platform other
// than this machine's.
Result<std::vector<NamedImage>> ImagesNamed(const Dockerfile& dockerfile, const BuildInputs& inputs);

// kInvalid, kUnsupported, with "file:line: "; kNotFound when find_image does not know a name; kConflict from
// the context.
Result<BuildPlan> MakePlan(const PlanInput& input);

inline constexpr const char* kEmptyImage =
    "the image would be empty: no COPY, ADD or RUN puts a file into it";

// True for RUN, COPY, ADD and WORKDIR.
bool MakesLayer(const Instruction& instruction);

}  // namespace ingot::build
