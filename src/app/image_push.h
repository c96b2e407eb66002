// Sending images of the store here to the host that an environment is on: only layers and files that it
// lacks.
#pragma once

#include <map>
#include <set>
#include <string>

#include "app/daemon_client.h"
#include "app/invocation.h"
#include "oci/digest.h"
#include "store/object_id.h"

namespace ingot::app {

struct PushedImages {
  size_t images = 0;  // that were sent; 0: the host had all of them
  size_t layers = 0;
  size_t files = 0;
  uint64_t sent_bytes = 0;
};

// `images`: digests by their names in the definition. What the host has is not sent: an image as a whole, a
// layer, and of a layer that was built here each file. One that was golden here is golden there, by the word
// of whoever sends it. Errors of the store, of the connection, of the host.
Result<PushedImages> PushImages(const Invocation& invocation, DaemonClient& client,
                                const std::string& project, const std::map<std::string, oci::Digest>& images);

// Which of the objects the host lacks.
Result<std::set<store::ObjectId>> LackingThere(DaemonClient& client, const std::string& project,
                                               const std::string& environment,
                                               const std::set<store::ObjectId>& objects);

}  // namespace ingot::app
