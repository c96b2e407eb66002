#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "app/api.h"
#include "app/daemon.h"
#include "app/invocation.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

// SIGTERM, SIGINT, and SIGUSR1 for "give the host up", as a descriptor. Blocked before any thread exists, so
// that every thread inherits the mask.
Result<Fd> WatchSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "watch for signals");
  return Fd(fd);
}

void Log(std::string_view text) {
  std::fprintf(stderr, "%s %.*s\n", RenderTime(SystemClock().Now()).c_str(), static_cast<int>(text.size()),
               text.data());
}

// Writes every event to stderr as it happens, for journald.
class EventLog {
 public:
  explicit EventLog(Daemon& daemon) : daemon_(daemon), thread_([this] { Loop(); }) {}
  ~EventLog() {
    stopping_ = true;
    thread_.join();
  }

 private:
  void Loop() {
    audit::EventQuery query;
    if (auto last = daemon_.events().Last()) query.after = *last;
    uint64_t seen = 0;
    while (true) {
      const bool last_round = stopping_;
      auto events = daemon_.events().Read(query);
      if (!events) Log("cannot read events: " + events.error().Render());
      for (const audit::Event& event : events ? *events : std::vector<audit::Event>()) {
        Log(event.environment + " " + event.kind + " " + RenderJson(event.detail));
        query.after = event.sequence;
      }
      if (last_round) return;
      seen = daemon_.WaitForChange(seen, std::chrono::milliseconds(500));
    }
  }

  Daemon& daemon_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

int Serve(Invocation& invocation) {
  auto signals = WatchSignals();
  if (!signals) return Report(invocation, signals.error());
  const Layout layout = invocation.layout();
  auto daemon = Daemon::Open(layout);
  if (!daemon) return Report(invocation, std::move(daemon).error().While("starting the daemon"));
  Api api(**daemon, [] { ::kill(::getpid(), SIGUSR1); });
  auto server = adapters::HttpServer::Listen(
      layout.socket(), [&api](const adapters::HttpRequest& request, adapters::HttpReply& reply) {
        api.Handle(request, reply);
      });
  if (!server) return Report(invocation, server.error());
  auto log = std::make_unique<EventLog>(**daemon);
  Log("serving " + layout.root.string() + " on " + layout.socket().string());
  struct signalfd_siginfo info {};
  while (::read(signals->get(), &info, sizeof info) < 0 && errno == EINTR) {
  }
  (*server)->Stop();
  log.reset();
  if (info.ssi_signo == SIGUSR1) {
    if (auto torn = (*daemon)->Teardown(); !torn) return Report(invocation, torn.error());
    Log("gave up the host's namespaces, mounts and processes of " + layout.root.string());
    return kDone;
  }
  Log("stopping; what runs goes on");
  return kDone;
}

}  // namespace

void AddServe(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = AddVerb(app, invocation, "serve", "run the daemon: instances, router, rollouts, API",
                           [&invocation] { return Serve(invocation); });
  verb->footer(
      "Stays in the foreground and logs to stderr. SIGTERM ends the daemon alone: instances serve and the "
      "router\n"
      "routes without it, and the next `ingot serve` with the same root takes them back.");
}

}  // namespace ingot::app
