// The sockets that HAProxy inherits, and a change from one set of them to another in which no listener loses
// a connection that it has begun to take, also when its address changes to one that overlaps with it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/haproxy_state.h"
#include "base/fd.h"

namespace ingot::adapters {

// By key, as in RouterState::numbers. Shared: a socket belongs to the plan in effect and, during a reload, to
// the one before.
using Sockets = std::map<std::string, std::shared_ptr<const Fd>>;

// One change. Whatever is not kept is undone by the destructor: the listeners of before are found again by
// new connections.
class SocketChange {
 public:
  explicit SocketChange(Sockets open) : open_(std::move(open)) {}
  ~SocketChange();
  SocketChange(const SocketChange&) = delete;
  SocketChange& operator=(const SocketChange&) = delete;

  // Those of before and the new ones; and of these those that are wanted.
  const Sockets& open() const { return open_; }
  const Sockets& wanted() const { return wanted_; }

  // One that is wanted, open already or new. A new one beside a wider one is not found by new connections
  // until Keep: somebody has to serve it first.
  void Want(const std::string& key, std::shared_ptr<const Fd> fd);
  // To be called when all is wanted that shall be, and before the next process runs: listeners that go while
  // another one has their address get no new connections to it any more, which wait for the next process, and
  // it is waited for those that they have begun to take.
  void LetGo();
  // The next process runs with what is wanted.
  void Keep();

 private:
  Sockets open_;
  Sockets wanted_;
  Sockets hidden_;  // new ones
  std::vector<std::shared_ptr<const Fd>> going_;
};

// Open listeners of this host's namespace that overlap with the one of `key`, without itself.
std::vector<int> OverlapsOf(const Sockets& open, const std::string& key);

}  // namespace ingot::adapters
