// A build for somebody on another host: its files laid out in a folder of their own, and the process that
// builds them (`ingot build-received FOLDER`), so that nothing of it happens in the daemon and it ends with
// who asked.
#pragma once

#include <functional>
#include <string_view>

#include "app/layout.h"
#include "base/json.h"
#include "store/store.h"
#include "store/tree.h"

namespace ingot::app {

// Writes the files of `tree`, whose contents the store has, below `folder` (new): no path of it leads
// anywhere else. Owner, times and attributes are not kept; a file is executable or not. kUnsupported: a
// device or the like. kNotFound: contents that the store lacks. kNoSpace: also beyond the host's disk_limit,
// which they count towards while `share` lives.
Result<void> LayOut(const store::Tree& tree, store::Store& store, const fs::path& folder,
                    store::DiskShare& share);

// Runs the build of `document` (docs/formats/api.md) with its files in FOLDER/project. `on_line` gets each
// line of what it says, the last of them {"images": …} or {"error": …}, and ends it by returning false;
// `gone` is asked now and then, and ends it. kCancelled: it was ended; kInternal: it ended without a last
// word.
Result<void> RunReceivedBuild(const Layout& layout, const fs::path& folder, const Json& document,
                              const std::function<bool(std::string_view)>& on_line,
                              const std::function<bool()>& gone);

// A new folder for one, on the store's filesystem.
Result<TempDirectory> MakeBuildFolder(const Layout& layout);
// Removes those that a killed daemon has left.
Result<void> SweepReceivedBuilds(const Layout& layout);

}  // namespace ingot::app
