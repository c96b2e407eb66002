// Links, addresses and routes by rtnetlink(7), without the ip program.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

struct nlmsghdr;

namespace ingot::adapters {

// IPv4 in host order.
std::string RenderIpv4(uint32_t address);

class Netlink {
 public:
  // For the calling thread's network namespace, and it stays there whatever the thread does.
  static Result<Netlink> Open();

  // A veth pair: `name` here, `peer` in the namespace of the descriptor. Both are up as soon as SetUp says
  // so.
  Result<void> AddVeth(const std::string& name, const std::string& peer, int peer_namespace);
  // Missing is success.
  Result<void> DeleteLink(const std::string& name);
  Result<void> SetUp(const std::string& name);
  // Until the kernel carries packets on a link that was set up: it learns of the carrier on a thread of its
  // own, and drops what is sent before (a SYN or an ARP request costs a second then). It asks for the
  // operational state (RFC 2863) and not for IFF_RUNNING, which a link that the thread has not seen yet has,
  // too: its state is "unknown". kTimeout after ten seconds.
  Result<void> WaitUntilRunning(const std::string& name);
  Result<void> AddAddress(const std::string& name, uint32_t address, uint8_t prefix);
  Result<void> AddRoute(const std::string& name, uint32_t to, uint8_t prefix, uint32_t via);
  // Every address of the prefix is this host's own.
  Result<void> AddLocalRoute(uint32_t to, uint8_t prefix);

 private:
  explicit Netlink(Fd fd) : fd_(std::move(fd)) {}
  class Message;
  using Reader = std::function<void(const struct nlmsghdr&)>;
  Result<void> Send(Message& message, const std::string& doing, const Reader& read = {});
  Result<unsigned> Index(const std::string& name);

  Fd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace ingot::adapters
