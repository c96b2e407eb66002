// TLS of the registry server. tls_server.cc is the only file that knows OpenSSL's libssl.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

// One connection's TLS over a socket that does not block. One thread at a time.
class TlsStream {
 public:
  virtual ~TlsStream() = default;
  // As recv(2) and send(2): bytes moved; 0: the other end has ended (Read only); -1 with errno EAGAIN: again
  // after the next event of the socket, of whatever kind, for Write with the same bytes; -1 with ECONNRESET:
  // it is over. The handshake happens on the way.
  virtual ssize_t Read(char* buffer, size_t size) = 0;
  virtual ssize_t Write(const char* bytes, size_t size) = 0;
  // "cert:NAME", the common name of a client certificate that was verified; empty: none.
  virtual std::string Certificate() const = 0;
  // Says that no more is written.
  virtual void Shutdown() = 0;
};

// The server's certificate and key. Any thread.
class TlsServer {
 public:
  struct Files {
    fs::path certificate;  // PEM, the server's first
    fs::path key;          // PEM
    fs::path client_ca;    // PEM; empty: no client is asked for a certificate
  };
  // kInvalid: a file is not what it should be, or the key belongs to another certificate; kNotFound,
  // kPermission, kIo.
  static Result<std::unique_ptr<TlsServer>> Open(const Files& files);
  virtual ~TlsServer() = default;
  // Reads the files again when one has changed; what cannot be used leaves what was. Connections that are
  // open keep what they began with.
  virtual Result<void> Refresh() = 0;
  // `socket` stays the caller's. Null when memory is short.
  virtual std::unique_ptr<TlsStream> Accept(int socket) = 0;
};

}  // namespace ingot::adapters
