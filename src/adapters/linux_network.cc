#include "adapters/linux_network.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <condition_variable>
#include <map>
#include <set>
#include <thread>

#include "adapters/linux_mount.h"
#include "adapters/linux_namespace.h"
#include "adapters/linux_netlink.h"
#include "base/sync.h"

namespace ingot::adapters {

using platform::InstanceId;
using platform::Slot;

namespace {

constexpr uint32_t kSlotBase = (10u << 24) | (128u << 16);     // 10.128.0.0
constexpr uint32_t kVirtualBase = (198u << 24) | (18u << 16);  // 198.18.0.0
constexpr uint8_t kVirtualPrefix = 15;
constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

uint32_t RouterEnd(uint32_t index) {
  return kSlotBase + 2 * index;
}
uint32_t SlotEnd(uint32_t index) {
  return RouterEnd(index) + 1;
}
std::string LinkName(uint32_t index) {
  return "s" + std::to_string(index);
}

// A setting of the calling thread's network namespace.
Result<void> Set(const std::string& name, const std::string& value) {
  Fd fd = TRY(OpenFile("/proc/sys/net/" + name, O_WRONLY));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return ErrnoError(errno, "set net." + name);
  return {};
}

// IPv6 on links would give every slot a link-local way to the router; on loopback it stays, for programs that
// use ::1. A kernel without IPv6 has nothing to switch off.
Result<void> NoIpv6OnLinks() {
  if (::access("/proc/sys/net/ipv6/conf/default/disable_ipv6", F_OK) != 0) return {};
  return Set("ipv6/conf/default/disable_ipv6", "1");
}

bool IsPinned(const fs::path& path) {
  struct statfs st {};
  return ::statfs(path.c_str(), &st) == 0 && st.f_type == NSFS_MAGIC;
}

// Pins the calling thread's network namespace.
Result<void> Pin(const fs::path& path) {
  TRY(OpenFile(path, O_RDONLY | O_CREAT, 0600));
  if (::mount(kOwnNamespace, path.c_str(), nullptr, MS_BIND, nullptr) < 0)
    return ErrnoError(errno, "pin a network namespace at " + path.string());
  return {};
}

Result<void> Unpin(const fs::path& path) {
  TRY(Unmount(path));
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) return ErrnoError(errno, "remove " + path.string());
  return {};
}

Result<void> Enter(int network_namespace) {
  if (::setns(network_namespace, CLONE_NEWNET) < 0) return ErrnoError(errno, "enter a network namespace");
  return {};
}

Result<void> EnterNew() {
  if (::unshare(CLONE_NEWNET) < 0) return ErrnoError(errno, "make a network namespace (this needs root)");
  return {};
}

Result<void> MakeRouter(const fs::path& pin) {
  TRY(EnterNew());
  TRY(NoIpv6OnLinks());
  for (const auto& [name, value] : {std::pair{"ip_forward", "0"},
                                    {"conf/all/rp_filter", "1"},
                                    {"conf/default/rp_filter", "1"},
                                    {"conf/all/arp_ignore", "1"},
                                    {"conf/all/arp_announce", "2"},
                                    {"conf/all/accept_redirects", "0"},
                                    {"conf/all/send_redirects", "0"},
                                    {"conf/all/accept_source_route", "0"},
                                    // Each request is a connection of its own: the ports of a pair of
                                    // addresses must not run out.
                                    {"ip_local_port_range", "1024 65535"},
                                    {"tcp_tw_reuse", "1"}})
    TRY(Set(std::string("ipv4/") + name, value));
  Netlink netlink = TRY(Netlink::Open());
  TRY(netlink.SetUp("lo"));
  TRY(netlink.AddLocalRoute(kVirtualBase, kVirtualPrefix));
  return Pin(pin);
}

// Pinned last: a slot that is pinned is complete.
Result<void> MakeSlot(uint32_t index, int router, const fs::path& pin) {
  TRY(Unpin(pin));
  TRY(Enter(router));
  Netlink outside = TRY(Netlink::Open());
  TRY(EnterNew());
  Fd own = TRY(OpenFile(kOwnNamespace, O_RDONLY));
  TRY(NoIpv6OnLinks());
  TRY(Set("ipv4/ip_unprivileged_port_start", "0"));
  TRY(Set("ipv4/tcp_tw_reuse", "1"));
  Netlink inside = TRY(Netlink::Open());
  TRY(outside.DeleteLink(LinkName(index)));
  TRY(outside.AddVeth(LinkName(index), "eth0", own.get()));
  TRY(outside.AddAddress(LinkName(index), RouterEnd(index), 31));
  TRY(outside.SetUp(LinkName(index)));
  TRY(inside.SetUp("lo"));
  TRY(inside.AddAddress("eth0", SlotEnd(index), 31));
  TRY(inside.SetUp("eth0"));
  TRY(inside.AddRoute("eth0", kVirtualBase, kVirtualPrefix, RouterEnd(index)));
  TRY(outside.WaitUntilRunning(LinkName(index)));
  TRY(inside.WaitUntilRunning("eth0"));
  return Pin(pin);
}

bool ParseIndex(std::string_view text, uint32_t& index) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

Result<std::string> ReadLink(const fs::path& path) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t n = ::readlink(path.c_str(), buffer.data(), buffer.size());
  if (n < 0) return ErrnoError(errno, "read " + path.string());
  return std::string(buffer.data(), static_cast<size_t>(n));
}

}  // namespace

// In the namespace directory: "router"; "<n>" a pinned slot; "<n>.held" a symbolic link to the instance's
// name; then
// "<n>.dirty", given back and not yet made anew. A rename between the two is the whole of Release.
class LinuxNetwork::Impl {
 public:
  explicit Impl(Options options) : options_(std::move(options)) {}

  ~Impl() {
    {
      auto pool = pool_.lock();
      pool->stopping = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  Result<void> Open() {
    directory_ = TRY(PinnedMounts::OpenNamespaceDirectory(options_.run_dir));
    lock_ = std::make_unique<FileLock>(TRY(FileLock::Take(options_.run_dir / "network.lock", false)));
    if (!IsPinned(directory_ / "router")) {
      auto made = OnThread([&] { return MakeRouter(directory_ / "router"); });
      if (!made) return std::move(made).error().While("making the router's network namespace");
    }
    router_ = TRY(OpenFile(directory_ / "router", O_RDONLY));
    TRY(Find());
    thread_ = std::thread([this] { Fill(); });
    return {};
  }

  Result<Slot> Acquire(const InstanceId& instance) {
    const std::string name = instance.FileName();
    uint32_t index = 0;
    {
      auto pool = pool_.lock();
      for (const auto& [held, holder] : pool->held)
        if (holder == name) return SlotOf(held);
      if (!pool->free.empty()) {
        index = *pool->free.begin();
        TRY(Hold(index, name));
        pool->free.erase(pool->free.begin());
        pool->held[index] = name;
        changed_.notify_all();
        return SlotOf(index);
      }
      const auto unused = Unused(*pool);
      if (!unused)
        return Error(Code::kNoSpace, "all " + std::to_string(options_.largest) +
                                         " network slots of this root are taken; run fewer instances");
      index = *unused;
      pool->busy.insert(index);
    }
    auto made = OnThread([&] { return MakeSlot(index, router_.get(), PinOf(index)); });
    auto pool = pool_.lock();
    pool->busy.erase(index);
    if (!made) return std::move(made).error().While("making a network slot");
    // Another thread may have asked for the same instance meanwhile.
    for (const auto& [held, holder] : pool->held)
      if (holder == name) {
        pool->free.insert(index);
        return SlotOf(held);
      }
    TRY(Hold(index, name));
    pool->held[index] = name;
    return SlotOf(index);
  }

  Result<void> Release(const InstanceId& instance) {
    const std::string name = instance.FileName();
    auto pool = pool_.lock();
    for (auto it = pool->held.begin(); it != pool->held.end(); ++it) {
      if (it->second != name) continue;
      const uint32_t index = it->first;
      if (::rename(Marker(index, "held").c_str(), Marker(index, "dirty").c_str()) < 0 && errno != ENOENT)
        return ErrnoError(errno, "give back a network slot");
      pool->held.erase(it);
      pool->dirty.insert(index);
      changed_.notify_all();
      return {};
    }
    return {};
  }

  Result<std::vector<std::pair<InstanceId, Slot>>> Held() {
    std::vector<std::pair<InstanceId, Slot>> out;
    auto pool = pool_.lock();
    for (const auto& [index, name] : pool->held)
      if (auto id = InstanceId::ParseFileName(name)) out.emplace_back(*id, SlotOf(index));
    return out;
  }

  int router() const { return router_.get(); }

  Result<void> WaitUntilFilled(Milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    auto pool = pool_.lock();
    while (pool->free.size() < options_.spare || !pool->dirty.empty() || !pool->busy.empty()) {
      if (pool->failure) return *pool->failure;
      if (std::chrono::steady_clock::now() > deadline)
        return Error(Code::kTimeout, "the pool of network slots did not fill in time");
      pool.WaitFor(changed_, Milliseconds(10));
    }
    return {};
  }

 private:
  struct Pool {
    std::set<uint32_t> free;
    std::map<uint32_t, std::string> held;
    std::set<uint32_t> dirty;
    std::set<uint32_t> busy;  // being made
    std::optional<Error> failure;
    bool stopping = false;
  };

  fs::path PinOf(uint32_t index) const { return directory_ / std::to_string(index); }
  fs::path Marker(uint32_t index, const char* what) const {
    return directory_ / (std::to_string(index) + "." + what);
  }
  Slot SlotOf(uint32_t index) const { return {index, RenderIpv4(SlotEnd(index)), PinOf(index)}; }

  Result<void> Hold(uint32_t index, const std::string& name) const {
    if (::symlink(name.c_str(), Marker(index, "held").c_str()) < 0)
      return ErrnoError(errno, "hold a network slot");
    return {};
  }

  std::optional<uint32_t> Unused(const Pool& pool) const {
    for (uint32_t index = 0; index < options_.largest; ++index)
      if (!pool.free.contains(index) && !pool.held.contains(index) && !pool.dirty.contains(index) &&
          !pool.busy.contains(index))
        return index;
    return std::nullopt;
  }

  // What a former process left.
  Result<void> Find() {
    auto pool = pool_.lock();
    for (const std::string& file : TRY(ListDirectory(directory_))) {
      const size_t dot = file.find('.');
      uint32_t index = 0;
      if (!ParseIndex(file.substr(0, dot), index)) continue;
      const std::string what = dot == std::string::npos ? "" : file.substr(dot + 1);
      if (what == "dirty") pool->dirty.insert(index);
      if (what == "held") pool->held[index] = TRY(ReadLink(directory_ / file));
      if (what.empty() && IsPinned(directory_ / file)) pool->free.insert(index);
    }
    for (const auto& [index, name] : pool->held) pool->free.erase(index);
    for (const uint32_t index : pool->dirty) pool->free.erase(index);
    return {};
  }

  struct Work {
    uint32_t index;
    bool dirty;
  };

  // What the background thread is to do next; waits until there is something. Nothing when it is to end.
  std::optional<Work> NextWork() {
    auto pool = pool_.lock();
    while (!pool->stopping) {
      std::optional<Work> work;
      if (!pool->dirty.empty())
        work = Work{*pool->dirty.begin(), true};
      else if (const auto unused = Unused(*pool); unused && pool->free.size() < options_.spare)
        work = Work{*unused, false};
      if (work && !pool->failure) {
        pool->dirty.erase(work->index);
        pool->busy.insert(work->index);
        return work;
      }
      // After a failure it is tried again, but not in a loop that burns a processor.
      if (pool->failure) {
        pool.WaitFor(changed_, Milliseconds(1000));
        pool->failure.reset();
      } else {
        pool.Wait(changed_);
      }
    }
    return std::nullopt;
  }

  void Fill() {
    while (const auto work = NextWork()) {
      auto made = OnThread([&] { return MakeSlot(work->index, router_.get(), PinOf(work->index)); });
      if (made && work->dirty) ::unlink(Marker(work->index, "dirty").c_str());
      auto pool = pool_.lock();
      pool->busy.erase(work->index);
      if (made) {
        pool->free.insert(work->index);
      } else {
        if (work->dirty) pool->dirty.insert(work->index);
        pool->failure = std::move(made).error();
      }
      changed_.notify_all();
    }
  }

  Options options_;
  fs::path directory_;
  std::unique_ptr<FileLock> lock_;
  Fd router_;
  Sync<Pool> pool_;
  std::condition_variable changed_;
  std::thread thread_;
};

LinuxNetwork::LinuxNetwork(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LinuxNetwork::~LinuxNetwork() = default;

Result<std::unique_ptr<LinuxNetwork>> LinuxNetwork::Open(const Options& options) {
  auto impl = std::make_unique<Impl>(options);
  TRY(impl->Open());
  return std::unique_ptr<LinuxNetwork>(new LinuxNetwork(std::move(impl)));
}

bool LinuxNetwork::IsThere(const fs::path& run_dir) {
  return IsPinned(run_dir / "ns" / "router");
}

Result<void> LinuxNetwork::Teardown(const fs::path& run_dir) {
  const fs::path directory = run_dir / "ns";
  auto files = ListDirectory(directory);
  if (!files) {
    if (files.error().code() == Code::kNotFound) return {};
    return std::move(files).error();
  }
  // The slots' links go with their namespaces.
  for (const std::string& file : *files) TRY(Unpin(directory / file));
  ::unlink((run_dir / "network.lock").c_str());
  return {};
}

Result<Slot> LinuxNetwork::Acquire(const InstanceId& instance) {
  return impl_->Acquire(instance);
}
Result<void> LinuxNetwork::Release(const InstanceId& instance) {
  return impl_->Release(instance);
}
Result<std::vector<std::pair<InstanceId, Slot>>> LinuxNetwork::Held() {
  return impl_->Held();
}
int LinuxNetwork::router_namespace() const {
  return impl_->router();
}
Result<void> LinuxNetwork::WaitUntilFilled(Milliseconds timeout) {
  return impl_->WaitUntilFilled(timeout);
}

}  // namespace ingot::adapters
