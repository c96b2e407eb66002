// RegistryLoop: one thread that serves connections of the registry by epoll, edge-triggered. Internal to
// registry_server.cc and registry_connection.cc.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "adapters/file_sender.h"
#include "adapters/piece_pool.h"
#include "adapters/registry_server.h"
#include "adapters/worker_pool.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/sync.h"
#include "registry/registry.h"

namespace ingot::adapters {

class RegistryConnection;

class RegistryLoop {
 public:
  // What is referred to must outlive it. `listener`: shared with the other loops.
  static Result<std::unique_ptr<RegistryLoop>> Start(const RegistryServer::Options& options,
                                                     registry::Registry& registry, WorkerPool& workers,
                                                     WorkerPool& makers, WorkerPool& waiters, int listener);
  ~RegistryLoop();
  // Refuses new connections, lets requests in work end, then ends the thread. Any thread.
  void Stop();

  // --- for connections, on the loop's thread ---
  const RegistryServer::Options& options() const { return options_; }
  registry::Registry& registry() { return registry_; }
  WorkerPool& workers() { return workers_; }
  WorkerPool& makers() { return makers_; }
  WorkerPool& waiters() { return waiters_; }
  // For bytes that are looked at before the next event.
  std::array<char, 64 << 10>& scratch() { return scratch_; }
  // For what is sent to a peer on this host.
  SendWindow& window() { return window_; }
  SteadyTime now() const { return now_; }
  const std::string& date();
  bool stopping() const { return stopping_; }
  // As many connections as there may be.
  bool Full() const { return connections_.size() >= limit_; }
  // Go on with the connection once the others have had their turn.
  void Again(uint64_t id) { again_.push_back(id); }
  // False: none is free; the connection goes on when one is.
  bool TakePiece(Piece& piece, uint64_t id);

  // --- any thread ---
  void GivePiece(Piece piece);
  void Post(std::function<void()> work);
  // The connection goes on, if it is still there.
  void Wake(uint64_t id);
  RegistryConnection* Find(uint64_t id);

 private:
  RegistryLoop(const RegistryServer::Options& options, registry::Registry& registry, WorkerPool& workers,
               WorkerPool& makers, WorkerPool& waiters, int listener);
  void Run();
  void Accept();
  void SetListening(bool on);
  void RunPosted();
  void Continue(uint64_t id);
  void Sweep();
  int Timeout() const;

  const RegistryServer::Options& options_;
  registry::Registry& registry_;
  WorkerPool& workers_;
  WorkerPool& makers_;
  WorkerPool& waiters_;
  int listener_;
  size_t limit_;
  Fd epoll_;
  Fd event_;
  Sync<std::vector<std::function<void()>>> posted_;
  std::atomic<bool> stop_asked_{false};
  uint64_t next_id_ = 2;  // 0 is the listener, 1 the event descriptor
  std::vector<uint64_t> again_;
  std::vector<uint64_t> starved_;
  Sync<PiecePool> pieces_;
  std::atomic<bool> starving_{false};  // somebody is in starved_
  std::array<char, 64 << 10> scratch_;
  SendWindow window_;
  SteadyTime now_{};
  SteadyTime swept_{};
  SteadyTime stop_by_{};
  int64_t date_second_ = 0;
  std::string date_;
  bool listening_ = false;
  bool stopping_ = false;
  // After what they use when they end.
  std::unordered_map<uint64_t, std::unique_ptr<RegistryConnection>> connections_;
  std::thread thread_;
};

}  // namespace ingot::adapters
