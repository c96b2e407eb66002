// HaproxyMirror: sends copies of requests to fleets that serve nobody yet, compares their answers with the
// real ones, drops them, and counts.
//
// HAProxy says of each such request when its answer is over (mirror_rules.h), by a datagram that it does not
// wait for: no request is later, or fails, for what happens here, also when nobody reads. One thread does it
// all, in the router's network namespace. Everything is bounded: copies under way, copies that wait, their
// bytes, the time and the bytes of each; what is beyond is not sent, and counted as skipped.
//
// Nothing is kept: who starts anew counts from zero.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "platform/fleet.h"

namespace ingot::adapters {

// Where the copies of what was sent by one value of the route map go.
struct MirrorTarget {
  std::vector<std::string> addresses;  // IPv4, of instances that are ready; empty: copies are skipped
  uint16_t port = 0;
  bool bodies = true;  // compared besides statuses
  Milliseconds timeout{0};
  std::string tally;  // what they are counted under
  bool operator==(const MirrorTarget&) const = default;
};

class HaproxyMirror {
 public:
  // `directory`: of the router's files, in which the socket is made; it must outlive the mirror, and
  // `router_namespace` (-1: the caller's own) too. The socket belongs to uid:gid.
  static Result<std::unique_ptr<HaproxyMirror>> Start(int directory, uint32_t uid, uint32_t gid,
                                                      int router_namespace);
  // Cuts what is under way.
  ~HaproxyMirror();

  // By value of the route map; what is sent by another one is ignored. A tally that no target has any more is
  // forgotten. Any thread.
  void SetTargets(std::map<std::string, MirrorTarget> targets);
  // By tally. Any thread.
  std::map<std::string, platform::ShadowCounters> Counts();

 private:
  class Impl;
  explicit HaproxyMirror(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
