// Building the images of a project in front of a verb: wiring and the live view. Shared by build, lock, plan
// and apply.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/invocation.h"
#include "app/project.h"
#include "build/builder.h"

namespace ingot::app {

struct BuildRequest {
  std::vector<std::string> images;  // empty: all
  bool no_cache = false;
  bool locked = false;  // refuse what ingot.lock does not pin
  bool show_progress = true;
  // For somebody on another host (api_builds.cc).
  fs::path
      work;  // for context indexes and what is made on the way, on the store's filesystem; empty: the root's
  bool layouts = true;                              // build::BuildOptions
  std::optional<int64_t> source_date_epoch_s = {};  // unset: of SOURCE_DATE_EPOCH
  int interrupt = -1;                               // adapters::CrunSandbox::Options
};

// Builds and tags each image as "<project>/<image>:latest" in the store. SIGINT or SIGTERM end it, and
// nothing of it is left: kCancelled, which ReportBuild knows.
Result<std::map<std::string, build::BuiltImage>> BuildImages(const Invocation& invocation,
                                                             const Project& project,
                                                             const BuildRequest& request);
// The same; `progress` and `notice` are told what goes on, from several threads, the first never from two at
// once.
Result<std::map<std::string, build::BuiltImage>> BuildImages(const Invocation& invocation,
                                                             const Project& project,
                                                             const BuildRequest& request,
                                                             build::BuildProgress progress,
                                                             std::function<void(const std::string&)> notice);
// Report, but one line and 128 + the signal for a build that was interrupted. The exit code.
int ReportBuild(const Invocation& invocation, const Error& error);
Result<build::LockFile> LockPackages(const Invocation& invocation, const Project& project, bool upgrade);

}  // namespace ingot::app
