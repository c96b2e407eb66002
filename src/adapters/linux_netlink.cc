#include "adapters/linux_netlink.h"

#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace ingot::adapters {

// The kernel's thread looks at once, or within a second; the rest is for a machine that is overloaded.
constexpr auto kRunningPatience = std::chrono::seconds(10);

// One request, built in place. Sizes are ours, so it always fits.
class Netlink::Message {
 public:
  Message(uint16_t type, uint16_t flags) {
    header()->nlmsg_type = type;
    header()->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    header()->nlmsg_len = NLMSG_LENGTH(0);
  }
  template <typename T>
  void Body(const T& value) {
    std::memcpy(buffer_.data() + NLMSG_ALIGN(header()->nlmsg_len), &value, sizeof value);
    header()->nlmsg_len = static_cast<uint32_t>(NLMSG_ALIGN(header()->nlmsg_len) + sizeof value);
  }
  void Attribute(uint16_t type, const void* data, size_t size) {
    struct rtattr attribute {};
    attribute.rta_type = type;
    attribute.rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
    const size_t at = NLMSG_ALIGN(header()->nlmsg_len);
    std::memcpy(buffer_.data() + at, &attribute, sizeof attribute);
    if (size > 0) std::memcpy(buffer_.data() + at + RTA_LENGTH(0), data, size);
    header()->nlmsg_len = static_cast<uint32_t>(at + RTA_ALIGN(RTA_LENGTH(size)));
  }
  void Attribute(uint16_t type, uint32_t value) { Attribute(type, &value, sizeof value); }
  void Attribute(uint16_t type, const std::string& text) { Attribute(type, text.c_str(), text.size() + 1); }
  // Everything added until Close belongs to it.
  size_t Open(uint16_t type) {
    const size_t at = NLMSG_ALIGN(header()->nlmsg_len);
    Attribute(type, nullptr, 0);
    return at;
  }
  void Close(size_t at) {
    auto* attribute = reinterpret_cast<struct rtattr*>(buffer_.data() + at);
    attribute->rta_len = static_cast<uint16_t>(header()->nlmsg_len - at);
  }
  struct nlmsghdr* header() {
    return reinterpret_cast<struct nlmsghdr*>(buffer_.data());
  }
  const char* data() const { return buffer_.data(); }

 private:
  alignas(NLMSG_ALIGNTO) std::array<char, 1024> buffer_{};
};

std::string RenderIpv4(uint32_t address) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8)
    out += (out.empty() ? "" : ".") + std::to_string((address >> shift) & 255);
  return out;
}

Result<Netlink> Netlink::Open() {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return ErrnoError(errno, "open a netlink socket");
  return Netlink(Fd(fd));
}

Result<void> Netlink::Send(Message& message, const std::string& doing, const Reader& read) {
  message.header()->nlmsg_seq = ++sequence_;
  if (::send(fd_.get(), message.data(), message.header()->nlmsg_len, 0) < 0) return ErrnoError(errno, doing);
  alignas(NLMSG_ALIGNTO) std::array<char, 8192> reply;
  while (true) {
    const ssize_t n = ::recv(fd_.get(), reply.data(), reply.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, doing);
    const auto* header = reinterpret_cast<const struct nlmsghdr*>(reply.data());
    if (static_cast<size_t>(n) < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || header->nlmsg_seq != sequence_)
      continue;
    if (header->nlmsg_type != NLMSG_ERROR) {
      if (read) read(*header);
      continue;
    }
    const auto* error = static_cast<const struct nlmsgerr*>(NLMSG_DATA(header));
    if (error->error == 0) return {};
    return ErrnoError(-error->error, doing);
  }
}

Result<unsigned> Netlink::Index(const std::string& name) {
  struct ifreq request {};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  // A netlink socket takes the ioctls of any socket, in its own namespace.
  if (::ioctl(fd_.get(), SIOCGIFINDEX, &request) < 0) return ErrnoError(errno, "find the link " + name);
  return static_cast<unsigned>(request.ifr_ifindex);
}

Result<void> Netlink::AddVeth(const std::string& name, const std::string& peer, int peer_namespace) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Body(ifinfomsg{});
  message.Attribute(IFLA_IFNAME, name);
  const size_t info = message.Open(IFLA_LINKINFO);
  message.Attribute(IFLA_INFO_KIND, "veth", 4);
  const size_t data = message.Open(IFLA_INFO_DATA);
  const size_t other = message.Open(VETH_INFO_PEER);
  message.Body(ifinfomsg{});
  message.Attribute(IFLA_IFNAME, peer);
  message.Attribute(IFLA_NET_NS_FD, static_cast<uint32_t>(peer_namespace));
  message.Close(other);
  message.Close(data);
  message.Close(info);
  return Send(message, "make the link " + name);
}

Result<void> Netlink::DeleteLink(const std::string& name) {
  Message message(RTM_DELLINK, 0);
  message.Body(ifinfomsg{});
  message.Attribute(IFLA_IFNAME, name);
  auto done = Send(message, "delete the link " + name);
  // ENODEV: not there.
  if (!done) {
    auto index = Index(name);
    if (!index) return {};
  }
  return done;
}

Result<void> Netlink::SetUp(const std::string& name) {
  Message message(RTM_NEWLINK, 0);
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(TRY(Index(name)));
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  message.Body(info);
  return Send(message, "set the link " + name + " up");
}

Result<void> Netlink::WaitUntilRunning(const std::string& name) {
  const std::string doing = "look at the link " + name;
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(TRY(Index(name)));
  const auto deadline = std::chrono::steady_clock::now() + kRunningPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    Message message(RTM_GETLINK, 0);
    message.Body(info);
    message.Attribute(IFLA_EXT_MASK, uint32_t{RTEXT_FILTER_SKIP_STATS});
    uint8_t state = IF_OPER_UNKNOWN;
    TRY(Send(message, doing, [&](const struct nlmsghdr& reply) {
      if (reply.nlmsg_type != RTM_NEWLINK) return;
      auto size = static_cast<int>(IFLA_PAYLOAD(&reply));
      const auto* body = static_cast<const ifinfomsg*>(NLMSG_DATA(&reply));
      for (const auto* at = IFLA_RTA(body); RTA_OK(at, size); at = RTA_NEXT(at, size))
        if (at->rta_type == IFLA_OPERSTATE) state = *static_cast<const uint8_t*>(RTA_DATA(at));
    }));
    if (state == IF_OPER_UP) return {};
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return Error(Code::kTimeout, "the link " + name + " does not come up");
}

Result<void> Netlink::AddAddress(const std::string& name, uint32_t address, uint8_t prefix) {
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  ifaddrmsg body{};
  body.ifa_family = AF_INET;
  body.ifa_prefixlen = prefix;
  body.ifa_index = TRY(Index(name));
  message.Body(body);
  const uint32_t wire = htonl(address);
  message.Attribute(IFA_LOCAL, wire);
  message.Attribute(IFA_ADDRESS, wire);
  return Send(message, "give " + name + " the address " + RenderIpv4(address));
}

Result<void> Netlink::AddRoute(const std::string& name, uint32_t to, uint8_t prefix, uint32_t via) {
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_dst_len = prefix;
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  message.Body(body);
  message.Attribute(RTA_DST, htonl(to));
  message.Attribute(RTA_GATEWAY, htonl(via));
  message.Attribute(RTA_OIF, TRY(Index(name)));
  return Send(message, "add the route to " + RenderIpv4(to));
}

Result<void> Netlink::AddLocalRoute(uint32_t to, uint8_t prefix) {
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_dst_len = prefix;
  body.rtm_table = RT_TABLE_LOCAL;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = RT_SCOPE_HOST;
  body.rtm_type = RTN_LOCAL;
  message.Body(body);
  message.Attribute(RTA_DST, htonl(to));
  message.Attribute(RTA_OIF, TRY(Index("lo")));
  return Send(message, "add the local route to " + RenderIpv4(to));
}

}  // namespace ingot::adapters
