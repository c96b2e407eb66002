#include "adapters/exit_watch.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <map>
#include <thread>
#include <vector>

#include "base/sync.h"

namespace ingot::adapters {

namespace {

// How long conmon may take from the end of the process to the exit file (it drains the log first).
constexpr std::chrono::seconds kExitFileTimeout{5};
constexpr uint64_t kStop = 0;
constexpr uint64_t kInotify = 1;

struct Watched {
  uint64_t id = 0;  // even: its process, id + 1: its conmon
  Fd process;
  Fd conmon;
  bool process_ended = false;
  bool conmon_ended = false;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

}  // namespace

class ExitWatch::Impl {
 public:
  Impl(fs::path exit_dir, std::function<void(const std::string&)> on_exit)
      : exit_dir_(std::move(exit_dir)), on_exit_(std::move(on_exit)) {}

  ~Impl() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    Wake();
    thread_.join();
  }

  Result<void> Start() {
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!epoll_.valid() || !wake_.valid() || !inotify_.valid())
      return ErrnoError(errno, "watch for the end of instances");
    // conmon writes a temporary file and renames it.
    if (::inotify_add_watch(inotify_.get(), exit_dir_.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
      return ErrnoError(errno, "watch " + exit_dir_.string() + " (see fs.inotify.max_user_watches)");
    Poll(wake_.get(), kStop);
    Poll(inotify_.get(), kInotify);
    thread_ = std::thread([this] { Loop(); });
    return {};
  }

  void Add(const std::string& name, Fd process, Fd conmon) {
    {
      auto entries = entries_.lock();
      Watched entry;
      entry.id = next_id_;
      next_id_ += 2;
      entry.process_ended = !process.valid();
      entry.conmon_ended = !conmon.valid();
      entry.process = std::move(process);
      entry.conmon = std::move(conmon);
      if (entry.process.valid()) Poll(entry.process.get(), entry.id);
      if (entry.conmon.valid()) Poll(entry.conmon.get(), entry.id + 1);
      if (entry.conmon_ended && entry.process.valid()) Kill(entry);
      if (entry.process_ended) entry.deadline = std::chrono::steady_clock::now() + kExitFileTimeout;
      entries->insert_or_assign(name, std::move(entry));
    }
    // It may have ended before: the loop looks at every entry when it is woken.
    Wake();
  }

  void Forget(const std::string& name) {
    auto entries = entries_.lock();
    entries->erase(name);
  }

 private:
  void Wake() { static_cast<void>(::eventfd_write(wake_.get(), 1)); }

  void Poll(int fd, uint64_t id) {
    struct epoll_event event {};
    event.events = EPOLLIN;
    event.data.u64 = id;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  static void Kill(const Watched& entry) {
    ::syscall(SYS_pidfd_send_signal, entry.process.get(), SIGKILL, nullptr, 0);
  }

  bool HasExitFile(const std::string& name) const { return ::access((exit_dir_ / name).c_str(), F_OK) == 0; }

  void Loop() {
    std::array<struct epoll_event, 64> events;
    while (!stopping_) {
      const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), NextTimeout());
      if (n < 0 && errno != EINTR) return;
      {
        auto entries = entries_.lock();
        for (int i = 0; i < n; ++i) Take(events[static_cast<size_t>(i)].data.u64, *entries);
      }
      for (const std::string& name : Ended()) on_exit_(name);
    }
  }

  int NextTimeout() {
    auto entries = entries_.lock();
    auto first = std::chrono::steady_clock::time_point::max();
    for (const auto& [name, entry] : *entries) first = std::min(first, entry.deadline);
    if (first == std::chrono::steady_clock::time_point::max()) return -1;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(first - std::chrono::steady_clock::now()).count();
    return static_cast<int>(std::max<int64_t>(left, 0));
  }

  void Take(uint64_t id, std::map<std::string, Watched>& entries) {
    if (id == kStop) {
      eventfd_t value = 0;
      static_cast<void>(::eventfd_read(wake_.get(), &value));
      return;
    }
    if (id == kInotify) {
      std::array<char, 8192> buffer;
      while (::read(inotify_.get(), buffer.data(), buffer.size()) > 0) {
      }
      return;
    }
    for (auto& [name, entry] : entries) {
      if (entry.id == id && !entry.process_ended) {
        entry.process_ended = true;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry.process.get(), nullptr);
        entry.deadline = std::chrono::steady_clock::now() + kExitFileTimeout;
      } else if (entry.id + 1 == id && !entry.conmon_ended) {
        entry.conmon_ended = true;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry.conmon.get(), nullptr);
        if (!entry.process_ended && !HasExitFile(name)) Kill(entry);
      }
    }
  }

  // Those whose end is now certain; they are forgotten.
  std::vector<std::string> Ended() {
    std::vector<std::string> out;
    auto entries = entries_.lock();
    const auto now = std::chrono::steady_clock::now();
    for (auto it = entries->begin(); it != entries->end();) {
      const Watched& entry = it->second;
      if ((entry.process_ended && (entry.conmon_ended || now >= entry.deadline)) || HasExitFile(it->first)) {
        out.push_back(it->first);
        it = entries->erase(it);
      } else {
        ++it;
      }
    }
    return out;
  }

  fs::path exit_dir_;
  std::function<void(const std::string&)> on_exit_;
  Fd epoll_;
  Fd wake_;
  Fd inotify_;
  uint64_t next_id_ = 2;  // guarded by entries_
  Sync<std::map<std::string, Watched>> entries_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

ExitWatch::ExitWatch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExitWatch::~ExitWatch() = default;

Result<std::unique_ptr<ExitWatch>> ExitWatch::Start(const fs::path& exit_dir,
                                                    std::function<void(const std::string&)> on_exit) {
  auto impl = std::make_unique<Impl>(exit_dir, std::move(on_exit));
  TRY(impl->Start());
  return std::unique_ptr<ExitWatch>(new ExitWatch(std::move(impl)));
}

void ExitWatch::Add(const std::string& name, Fd process, Fd conmon) {
  impl_->Add(name, std::move(process), std::move(conmon));
}

void ExitWatch::Forget(const std::string& name) {
  impl_->Forget(name);
}

}  // namespace ingot::adapters
