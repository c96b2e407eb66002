// RegistryServer: HTTP/1.1 over TCP for registry::Registry.
//
// A few event loops (epoll) own all connections; what blocks (the body's way to the disk, commits) is done by
// worker threads, what is made while it is sent (a layer's tar) by others. Bodies of requests pass through a
// bounded set of buffers, files are sent by sendfile(2), or through TLS. Who may do what is
// registry::Access's to say.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "adapters/registry_watch.h"
#include "adapters/tcp_address.h"
#include "adapters/tls_server.h"
#include "base/clock.h"
#include "base/result.h"
#include "registry/registry.h"

namespace ingot::adapters {

class RegistryServer {
 public:
  struct Options {
    TcpAddress listen;
    TlsServer* tls = nullptr;        // null: plain HTTP; must outlive it
    RegistryWatch* watch = nullptr;  // null: nothing is logged or counted; must outlive it
    // Set: this server looks every second whether the files of users and certificates have changed, and says,
    // on a thread of its own, when they cannot be used; those read before stay. For one server of a registry.
    std::function<void(const std::string&)> complain;
    size_t loops = 2;
    size_t workers = 16;  // mostly they wait for the disk
    size_t makers = 16;
    size_t waiters = 64;                           // for answers of other registries
    size_t connections = 4096;                     // further ones wait to be accepted
    Milliseconds idle = std::chrono::seconds(60);  // between two requests; 1 s while there are too many
    Milliseconds head = std::chrono::seconds(10);  // from a head's first byte to its last
    // A body, either way, moves 32 KiB in this time or the connection is closed.
    Milliseconds stall = std::chrono::seconds(30);
  };
  // kConflict: the address is in use; kPermission. `registry` must outlive it.
  static Result<std::unique_ptr<RegistryServer>> Listen(const Options& options, registry::Registry& registry);
  virtual ~RegistryServer() = default;
  // Where it listens, with the port that the kernel chose.
  virtual TcpAddress address() const = 0;
  // Refuses new connections, gives requests in work five seconds to end, and waits for what blocks.
  virtual void Stop() = 0;
};

}  // namespace ingot::adapters
