#include "adapters/registry_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <thread>
#include <vector>

#include "adapters/registry_loop.h"
#include "base/sync.h"

namespace ingot::adapters {
namespace {

constexpr auto kRefreshEvery = std::chrono::seconds(1);
constexpr auto kHousekeepEvery = std::chrono::minutes(1);

// Each connection may have a file open besides its socket; the rest of the program needs some, too.
size_t AffordableConnections(size_t wanted) {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const size_t spare = limit.rlim_cur > 256 ? limit.rlim_cur - 256 : 0;
  return std::clamp<size_t>(spare / 2, 16, wanted);
}

class EpollRegistryServer final : public RegistryServer {
 public:
  EpollRegistryServer(const Options& options, registry::Registry& registry)
      : options_(options),
        registry_(registry),
        workers_("registry-work", options.workers),
        makers_("registry-make", options.makers),
        waiters_("registry-wait", options.waiters) {
    options_.connections = AffordableConnections(options.connections);
  }
  ~EpollRegistryServer() override { Stop(); }

  Result<void> Start() {
    listener_ = TRY(ListenTcp(options_.listen));
    address_ = TRY(BoundAddress(listener_.get()));
    for (size_t i = 0; i < options_.loops; ++i)
      loops_.push_back(
          TRY(RegistryLoop::Start(options_, registry_, workers_, makers_, waiters_, listener_.get())));
    housekeeper_ = std::thread([this] { HousekeepLoop(); });
    return {};
  }

  TcpAddress address() const override { return address_; }

  void Stop() override {
    *stopping_.lock() = true;
    stopped_.notify_all();
    if (housekeeper_.joinable()) housekeeper_.join();
    // Who waits for another host must not be waited for; and nothing may wake a loop that has ended.
    registry_.Interrupt();
    for (auto& loop : loops_) loop->Stop();
    listener_.reset();
  }

 private:
  void HousekeepLoop() {
    SteadyTime kept = std::chrono::steady_clock::now();
    auto stopping = stopping_.lock();
    while (!*stopping) {
      if (stopping.WaitFor(stopped_, kRefreshEvery) != std::cv_status::timeout) continue;
      const SteadyTime now = std::chrono::steady_clock::now();
      if (now - kept >= kHousekeepEvery) {
        registry_.Housekeep();
        kept = now;
      }
      if (!options_.complain) continue;
      Complain(registry_.Refresh());
      if (options_.tls != nullptr) Complain(options_.tls->Refresh());
    }
  }

  // Once for each thing that is wrong, not every second.
  void Complain(const Result<void>& refreshed) {
    if (refreshed) return;
    const std::string text = refreshed.error().Render();
    if (text != std::exchange(complained_, text)) options_.complain(text);
  }

  Options options_;
  std::string complained_;
  registry::Registry& registry_;
  Fd listener_;
  TcpAddress address_;
  // The pools end before the loops: what they run posts to these.
  std::vector<std::unique_ptr<RegistryLoop>> loops_;
  WorkerPool workers_;
  WorkerPool makers_;
  WorkerPool waiters_;
  Sync<bool> stopping_;
  std::condition_variable stopped_;
  std::thread housekeeper_;
};

}  // namespace

Result<std::unique_ptr<RegistryServer>> RegistryServer::Listen(const Options& options,
                                                               registry::Registry& registry) {
  auto server = std::make_unique<EpollRegistryServer>(options, registry);
  TRY(server->Start());
  return std::unique_ptr<RegistryServer>(std::move(server));
}

}  // namespace ingot::adapters
