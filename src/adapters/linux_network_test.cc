#include "adapters/linux_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <thread>

#include "adapters/linux_mount.h"
#include "adapters/linux_namespace.h"

namespace ingot::adapters {
namespace {

using platform::InstanceId;
using platform::Slot;

struct sockaddr_in Address(const std::string& ip, uint16_t port) {
  struct sockaddr_in address {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
  return address;
}

InstanceId Instance(uint64_t ordinal) {
  return *InstanceId::Parse("shop/local/web@0123456789ab/" + std::to_string(ordinal));
}

class LinuxNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIP: needs root";
    directory_ = std::make_unique<TempDirectory>(*TempDirectory::Make("/tmp/ingot-net-test", "n"));
    Open();
  }
  void TearDown() override {
    if (!directory_) return;
    network_.reset();
    EXPECT_TRUE(LinuxNetwork::Teardown(directory_->path()));
    EXPECT_TRUE(PinnedMounts::Teardown(directory_->path()));
    EXPECT_EQ(ReadFile("/proc/self/mountinfo")->find(directory_->path().string()), std::string::npos);
  }
  void Open(uint32_t spare = 3, uint32_t largest = 6) {
    network_.reset();
    auto opened = LinuxNetwork::Open({directory_->path(), spare, largest});
    ASSERT_TRUE(opened) << opened.error().Render();
    network_ = std::move(*opened);
    auto filled = network_->WaitUntilFilled(Milliseconds(20'000));
    ASSERT_TRUE(filled) << filled.error().Render();
  }

  // A socket made in a network namespace (a path, or -1 and a descriptor), and the outcome of `use` with it.
  int InNamespace(const std::function<Result<Fd>()>& open, const std::function<int(int socket)>& use) {
    int outcome = -1;
    auto done = OnThread([&]() -> Result<void> {
      const Fd fd = TRY(open());
      if (::setns(fd.get(), CLONE_NEWNET) < 0) return ErrnoError(errno, "enter");
      const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      outcome = use(socket.get());
      return {};
    });
    EXPECT_TRUE(done) << done.error().Render();
    return outcome;
  }
  std::function<Result<Fd>()> At(const Slot& slot) {
    return [path = slot.namespace_path] { return OpenFile(path, O_RDONLY); };
  }
  std::function<Result<Fd>()> Router() {
    return [this]() -> Result<Fd> { return Fd(::dup(network_->router_namespace())); };
  }
  // 0, or the errno of connect(2); ETIMEDOUT when nothing answers within half a second.
  int Connect(const std::function<Result<Fd>()>& from, const std::string& ip, uint16_t port) {
    return InNamespace(from, [&](int socket) {
      const auto address = Address(ip, port);
      if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return 0;
      if (errno != EINPROGRESS) return errno;
      struct pollfd p = {socket, POLLOUT, 0};
      if (::poll(&p, 1, 500) == 0) return ETIMEDOUT;
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
      return error;
    });
  }
  Fd Listen(const std::function<Result<Fd>()>& in, const std::string& ip, uint16_t port) {
    Fd kept;
    EXPECT_EQ(
        InNamespace(in,
                    [&](int socket) {
                      const auto address = Address(ip, port);
                      if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
                        return errno;
                      if (::listen(socket, 8) < 0) return errno;
                      kept.reset(::dup(socket));
                      return 0;
                    }),
        0);
    return kept;
  }

  std::unique_ptr<TempDirectory> directory_;
  std::unique_ptr<LinuxNetwork> network_;
};

TEST_F(LinuxNetworkTest, ConnectionsOnlyBetweenRouterAndSlot) {
  const Slot a = *network_->Acquire(Instance(1));
  const Slot b = *network_->Acquire(Instance(2));
  EXPECT_EQ(a.address, "10.128.0.1");
  EXPECT_EQ(b.address, "10.128.0.3");
  const Fd in_a = Listen(At(a), "0.0.0.0", 80);
  const Fd in_b = Listen(At(b), "0.0.0.0", 80);
  const Fd virtual_listener = Listen(Router(), "198.18.0.7", 9000);

  // What works.
  EXPECT_EQ(Connect(Router(), a.address, 80), 0);
  EXPECT_EQ(Connect(Router(), b.address, 80), 0);
  EXPECT_EQ(Connect(At(a), "198.18.0.7", 9000), 0);
  EXPECT_EQ(Connect(At(a), "127.0.0.1", 80), 0);

  // What does not: nobody is there,
  EXPECT_EQ(Connect(At(a), "198.18.0.7", 9001), ECONNREFUSED);
  EXPECT_EQ(Connect(At(a), "198.18.0.8", 9000), ECONNREFUSED);
  // there is no way from slot to slot, to the host or to the world,
  EXPECT_EQ(Connect(At(a), b.address, 80), ENETUNREACH);
  EXPECT_EQ(Connect(At(a), "10.128.0.2", 9000), ENETUNREACH);
  EXPECT_EQ(Connect(At(a), "192.0.2.1", 80), ENETUNREACH);
  EXPECT_EQ(Connect(At(a), "169.254.169.254", 80), ENETUNREACH);
  // nor from the router to what is not its own; and the host knows nothing of it all.
  EXPECT_EQ(Connect(Router(), "192.0.2.1", 80), ENETUNREACH);
  EXPECT_EQ(ReadFile("/proc/net/fib_trie")->find("10.128.0."), std::string::npos);
  EXPECT_EQ(ReadFile("/proc/net/dev")->find(" s0:"), std::string::npos);
}

// An instance that made itself a route (it cannot: it has no capability) would still reach nobody.
TEST_F(LinuxNetworkTest, RouterDoesNotForwardAndBelievesNoForeignSource) {
  const Slot a = *network_->Acquire(Instance(1));
  const Slot b = *network_->Acquire(Instance(2));
  const Fd in_b = Listen(At(b), "0.0.0.0", 80);
  const auto read = [&](const std::string& name) {
    std::string value;
    EXPECT_EQ(InNamespace(Router(),
                          [&](int) {
                            value = ReadFile("/proc/sys/net/ipv4/" + name).value_or("?");
                            return 0;
                          }),
              0);
    return value;
  };
  EXPECT_EQ(read("ip_forward"), "0\n");
  EXPECT_EQ(read("conf/s0/rp_filter"), "1\n");
  EXPECT_EQ(read("conf/all/rp_filter"), "1\n");
  EXPECT_EQ(read("conf/s0/forwarding"), "0\n");
}

TEST_F(LinuxNetworkTest, AcquireIsIdempotentAndBounded) {
  const Slot first = *network_->Acquire(Instance(1));
  EXPECT_EQ(network_->Acquire(Instance(1))->index, first.index);
  for (uint64_t i = 2; i <= 6; ++i) {
    auto slot = network_->Acquire(Instance(i));
    // The background thread may be making the last one right now.
    for (int tries = 0; !slot && tries < 200; ++tries) {
      std::this_thread::sleep_for(Milliseconds(10));
      slot = network_->Acquire(Instance(i));
    }
    ASSERT_TRUE(slot) << slot.error().Render();
  }
  EXPECT_EQ(network_->Acquire(Instance(7)).error().code(), Code::kNoSpace);
  EXPECT_EQ(network_->Held()->size(), 6u);
  EXPECT_TRUE(network_->Release(Instance(99)));
}

TEST_F(LinuxNetworkTest, RestartFindsHeldSlotsAndTheirListeners) {
  const Slot before = *network_->Acquire(Instance(5));
  const Fd listener = Listen(At(before), "0.0.0.0", 8080);
  Open();
  auto held = network_->Held();
  ASSERT_TRUE(held);
  ASSERT_EQ(held->size(), 1u);
  EXPECT_EQ((*held)[0].first, Instance(5));
  EXPECT_EQ((*held)[0].second.address, before.address);
  EXPECT_EQ(network_->Acquire(Instance(5))->index, before.index);
  EXPECT_EQ(Connect(Router(), before.address, 8080), 0);
}

TEST_F(LinuxNetworkTest, ReleasedSlotIsMadeAnew) {
  const Slot slot = *network_->Acquire(Instance(1));
  struct stat before {};
  ASSERT_EQ(::stat(slot.namespace_path.c_str(), &before), 0);
  Fd listener = Listen(At(slot), "0.0.0.0", 8080);
  ASSERT_EQ(Connect(Router(), slot.address, 8080), 0);
  ASSERT_TRUE(network_->Release(Instance(1)));
  EXPECT_EQ(network_->Held()->size(), 0u);
  ASSERT_TRUE(network_->WaitUntilFilled(Milliseconds(20'000)));
  struct stat after {};
  ASSERT_EQ(::stat(slot.namespace_path.c_str(), &after), 0);
  EXPECT_NE(after.st_ino, before.st_ino);
  // Although the old namespace lives on as long as this descriptor, nobody reaches it.
  EXPECT_EQ(Connect(Router(), slot.address, 8080), ECONNREFUSED);
}

TEST_F(LinuxNetworkTest, SecondOwnerIsRefused) {
  EXPECT_EQ(LinuxNetwork::Open({directory_->path(), 1, 4}).error().code(), Code::kConflict);
}

}  // namespace
}  // namespace ingot::adapters
