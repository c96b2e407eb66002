#include "adapters/haproxy_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <thread>

#include "adapters/haproxy_impl.h"
#include "adapters/listeners.h"

namespace ingot::adapters {

namespace {

constexpr std::string_view kOutside = "out|";
// For handshakes that have begun: a way there and back, and the acceptance by the process that still serves.
constexpr Milliseconds kHandshake{300};

// Where `fd` listens; unset: it does not, or not on an address of IP.
std::optional<ListenAddress> ListensWhere(const Fd& fd) {
  struct sockaddr_storage storage {};
  socklen_t size = sizeof storage;
  int listening = 0;
  socklen_t flag = sizeof listening;
  if (::getsockname(fd.get(), reinterpret_cast<struct sockaddr*>(&storage), &size) < 0 ||
      ::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &flag) < 0 || listening == 0)
    return std::nullopt;
  char text[INET6_ADDRSTRLEN];
  ListenAddress out;
  if (storage.ss_family == AF_INET6) {
    const auto* in6 = reinterpret_cast<const struct sockaddr_in6*>(&storage);
    if (::inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text) == nullptr) return std::nullopt;
    out.port = ntohs(in6->sin6_port);
  } else if (storage.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const struct sockaddr_in*>(&storage);
    if (::inet_ntop(AF_INET, &in->sin_addr, text, sizeof text) == nullptr) return std::nullopt;
    out.port = ntohs(in->sin_port);
  } else {
    return std::nullopt;
  }
  out.address = text;
  return out;
}

// Does `fd` listen where the socket should?
bool ListensAt(const Fd& fd, const RouterSocket& socket) {
  if (!socket.IsUnix()) {
    const auto wanted = ListenAddress::Parse(socket.address);
    const auto seen = ListensWhere(fd);
    return wanted && seen && *seen == *wanted;
  }
  struct sockaddr_un un {};
  socklen_t size = sizeof un;
  int listening = 0;
  socklen_t flag = sizeof listening;
  return ::getsockname(fd.get(), reinterpret_cast<struct sockaddr*>(&un), &size) == 0 &&
         ::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &flag) == 0 && listening != 0 &&
         un.sun_family == AF_UNIX &&
         std::string(un.sun_path).ends_with("/" + EgressSocketName(socket.number));
}

// Of a socket of kOutside.
std::optional<ListenAddress> AddressOf(const std::string& key) {
  if (!key.starts_with(kOutside)) return std::nullopt;
  auto address = ListenAddress::Parse(key.substr(kOutside.size()));
  if (!address) return std::nullopt;
  return *address;
}

bool HasWider(const Sockets& sockets, const std::string& key) {
  const auto address = AddressOf(key);
  if (!address || address->IsWildcard()) return false;
  for (const auto& [other, fd] : sockets) {
    const auto theirs = other == key ? std::nullopt : AddressOf(other);
    if (theirs && theirs->Overlaps(*address)) return true;
  }
  return false;
}

}  // namespace

std::vector<int> OverlapsOf(const Sockets& open, const std::string& key) {
  std::vector<int> out;
  const auto address = AddressOf(key);
  if (!address) return out;
  for (const auto& [other, fd] : open) {
    const auto theirs = other == key ? std::nullopt : AddressOf(other);
    if (theirs && theirs->Overlaps(*address)) out.push_back(fd->get());
  }
  return out;
}

// --- a change ---

namespace {

// Whether a listener is found by new connections: an option of a socket that is there, which does not fail.
void HideListeners(const std::vector<std::shared_ptr<const Fd>>& sockets, bool hidden) {
  for (const auto& fd : sockets) static_cast<void>(StepAside(fd->get(), hidden).has_value());
}

}  // namespace

SocketChange::~SocketChange() {
  HideListeners(going_, false);
}

void SocketChange::Want(const std::string& key, std::shared_ptr<const Fd> fd) {
  const bool is_new = !open_.contains(key);
  if (is_new && HasWider(open_, key)) {
    hidden_[key] = fd;
    HideListeners({fd}, true);
  }
  if (is_new) open_[key] = fd;
  wanted_[key] = std::move(fd);
}

void SocketChange::LetGo() {
  // The wider one of it goes at once: whoever serves that closes it before he knows of Keep.
  std::vector<std::shared_ptr<const Fd>> instead;
  for (auto it = hidden_.begin(); it != hidden_.end();) {
    if (HasWider(wanted_, it->first)) {
      ++it;
      continue;
    }
    instead.push_back(it->second);
    it = hidden_.erase(it);
  }
  HideListeners(instead, false);
  for (const auto& [key, fd] : open_)
    if (!wanted_.contains(key) && HasWider(wanted_, key)) going_.push_back(fd);
  HideListeners(going_, true);
  if (!instead.empty() || !going_.empty()) std::this_thread::sleep_for(kHandshake);
}

void SocketChange::Keep() {
  for (const auto& [key, fd] : hidden_) HideListeners({fd}, false);
  hidden_.clear();
  going_.clear();
}

// --- of the router ---

Result<std::shared_ptr<const Fd>> HaproxyRouter::Impl::OpenSocket(const RouterSocket& socket,
                                                                  const Sockets& open) {
  if (socket.IsUnix())
    return std::make_shared<const Fd>(
        TRY(OpenUnixListener(directory_.get(), EgressSocketName(socket.number), options_.uid, options_.gid)));
  const ListenAddress address = TRY(ListenAddress::Parse(socket.address));
  const int where = socket.kind == RouterSocket::Kind::kInside ? options_.router_namespace : -1;
  const std::vector<int> beside = socket.kind == RouterSocket::Kind::kOutside
                                      ? OverlapsOf(open, OutsideKey(socket.address))
                                      : std::vector<int>();
  // A process that was told to finish closes its listeners first of all, but not within our call.
  for (int i = 0;; ++i) {
    const bool old = router_->HasOld();
    auto fd = OpenListener(address, where, beside);
    if (fd) return std::make_shared<const Fd>(std::move(*fd));
    if (fd.error().code() != Code::kConflict || !old || i == 20) return std::move(fd).error();
    std::this_thread::sleep_for(Milliseconds(20));
  }
}

Sockets HaproxyRouter::Impl::TakeSockets(const RouterState& state) {
  Sockets out;
  for (const auto& [key, socket] : WantedSockets(state)) {
    HaproxyProcess& holder = socket.kind == RouterSocket::Kind::kEgress ? *egress_ : *router_;
    auto taken = holder.Take(socket.number);
    if (taken && ListensAt(*taken, socket)) out[key] = std::make_shared<const Fd>(std::move(*taken));
  }
  // Listeners that are not wanted any more: host.yaml has changed. What is written about the process may be
  // of before or after a change that its daemon died over, so it is the process that is looked at.
  if (!router_->Running()) return out;
  for (uint32_t number = kFirstNumber; number <= kLastNumber; ++number) {
    auto taken = router_->Take(number);
    if (!taken) continue;
    const auto address = ListensWhere(*taken);
    if (!address || address->address.starts_with("198.18.") || address->address.starts_with("198.19."))
      continue;  // not of the outside
    // Whoever was at a change may have died over it.
    static_cast<void>(StepAside(taken->get(), false).has_value());
    out.try_emplace(OutsideKey(address->Render()), std::make_shared<const Fd>(std::move(*taken)));
  }
  return out;
}

Result<void> HaproxyRouter::Impl::OpenSockets(const RouterState& state, SocketChange& change) {
  for (const auto& [key, socket] : WantedSockets(state)) {
    const auto held = change.open().find(key);
    change.Want(key, held != change.open().end() ? held->second : TRY(OpenSocket(socket, change.open())));
  }
  change.LetGo();
  return {};
}

}  // namespace ingot::adapters
