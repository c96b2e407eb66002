// HaproxyProcess: keeps one HAProxy serving on sockets that we hold. It is the master that HAProxy's own
// master-worker mode would be, but one that may itself be restarted.
//
// A reload is a new process on the same sockets (and new ones), then SIGUSR1 to the former once the new one
// answers. A process that dies is replaced at once by one with the files and sockets of the moment. One
// thread watches, by pidfd, also processes that an earlier daemon started: those are found by the marker on
// their command line ("-L ingot.<root key>.<role>.<generation>.<digest>") and their user.
#pragma once

#include <condition_variable>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "base/sync.h"

namespace ingot::adapters {

struct HaproxyPlan {
  struct Socket {
    // Shared: a socket belongs to the plan in effect and, during a reload, to the one before.
    std::shared_ptr<const Fd> fd;
    uint32_t number = 0;
  };
  std::string config;
  std::string map;
  std::string digest;  // 16 hex of what needs a reload when it changes
  std::vector<Socket> sockets;
};

class HaproxyProcess {
 public:
  struct Options {
    fs::path directory;
    int directory_fd = -1;  // of `directory`; outlives this object
    std::string root_key;
    std::string role;  // "router" or "egress": part of file names
    int network_namespace = -1;
    uint32_t uid = 0;
    uint32_t gid = 0;
    Milliseconds start_timeout{15000};
    Milliseconds hard_stop_after{20000};
  };

  // Finds what runs. The newest process that answers is the current one; older ones are told to finish.
  static Result<std::unique_ptr<HaproxyProcess>> Open(Options options);
  // Stops watching; the processes stay.
  ~HaproxyProcess();

  // Makes `plan` what runs. Nothing is started when a process with its digest serves, unless `force`.
  // Otherwise, with `wait`, returns when the new process serves; kFailed with HAProxy's words when it does
  // not start, and then the former plan is in effect again (nothing is wanted when there was none).
  Result<void> Run(HaproxyPlan plan, bool wait, bool force = false);
  // Replaces what the next start reads. Not written before that: two renames would be most of a switch's
  // time.
  void Update(std::string config, std::string map);
  // Nothing shall run any more: requests in flight are finished.
  void Stop();
  // Ends all processes at once and waits for it.
  void Kill();

  // Asks the serving process, waiting for one that is being started. kUnavailable: it died; asking again
  // meets its successor.
  Result<std::string> Ask(std::string_view command, Milliseconds timeout);
  // The answers of processes that are finishing. One that ends meanwhile is left out.
  std::vector<std::pair<uint64_t, std::string>> AskOld(std::string_view command, Milliseconds timeout);

  // True when the wanted plan is served and no other process is left. An Error: the last start failed.
  Result<bool> Settled();
  bool Running();
  bool HasOld();
  uint64_t generation();        // of the serving process; 0: none
  std::string digest();         // of the serving process; "": none
  std::vector<int64_t> Pids();  // current, next, old
  // A descriptor of the serving process.
  Result<Fd> Take(uint32_t number);

 private:
  struct Process {
    pid_t pid = -1;
    Fd pidfd;
    uint64_t generation = 0;
    std::string digest;
    std::chrono::steady_clock::time_point since{};
    std::chrono::steady_clock::time_point kill_at{};  // old: when patience ends
    Fd question;                                      // next: an unanswered "show info"
  };
  struct State {
    std::optional<HaproxyPlan> plan;
    std::optional<HaproxyPlan> previous;  // during a reload
    std::optional<Process> current;
    std::optional<Process> next;
    std::vector<Process> old;
    uint64_t last_generation = 0;
    int failures = 0;
    std::chrono::steady_clock::time_point retry_at{};
    std::optional<Error> error;
    bool closing = false;
    bool stop_current = false;
    bool first = false;  // a plan with none before it: dropped when it does not start
  };

  explicit HaproxyProcess(Options options);
  Result<void> FindRunning();
  Result<void> WriteFiles(const HaproxyPlan& plan);
  Result<void> StartNext(State& state);
  std::string SocketName(uint64_t generation) const;
  std::string LastWords() const;
  void Watch();
  // One round with what poll(2) found; returns how long the next may wait.
  void Advance(State& state, const std::vector<int>& readable);
  void Promote(State& state);
  void NextFailed(State& state, Error error);
  void Retire(State& state, Process process);
  void Wake();
  void Forget(Process& process);

  Options options_;
  Fd wake_;
  Sync<State> state_;
  std::condition_variable changed_;
  std::thread watcher_;
};

}  // namespace ingot::adapters
