// A build on another host: what goes there and what comes back (docs/formats/api.md, "POST ENV/builds").
//
// The project is sent as one tree of the files that its images are built from, with .dockerignore honoured,
// and of these the contents that the host lacks. Here nothing needs root.
#pragma once

#include <map>
#include <string>

#include "app/build_images.h"
#include "app/daemon_client.h"
#include "app/project.h"

namespace ingot::app {

// The name of the project's tree in a parcel.
inline constexpr const char* kProjectTree = "project";

// What BuildImages does, on the host of the environment. ingot.lock goes along and comes back. kInvalid: an
// image is built from what is not below the project's directory. kConflict: a file changed while it was sent.
// Else errors of the connection, and of the build as build::Builder.
Result<std::map<std::string, build::BuiltImage>> BuildThere(const Invocation& invocation,
                                                            DaemonClient& client, const Project& project,
                                                            const BuildRequest& request);

// Whether the images of an environment that is on another host are built there. `option`: "here", "host", or
// "": there unless this is root, who can build here. kInvalid.
Result<bool> BuildsThere(const std::string& option);

}  // namespace ingot::app
