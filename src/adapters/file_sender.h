// FileSender: a file's bytes on their way to a socket that does not block, without a read that waits for the
// disk. The process ignores SIGPIPE (sendfile cannot be told otherwise). Internal to the registry server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "adapters/tls_server.h"
#include "base/fd.h"
#include "registry/message.h"

namespace ingot::adapters {

// Where the other end of a connection is. On the same machine a copy that stays in the processor's cache is
// faster than pages that are handed over and read from memory by the receiver; over a network card it is the
// other way round.
enum class Peer { kHere, kElsewhere };

// Of an accepted connection; makes it ready for what its peer is best sent.
Peer PreparePeer(int socket);

// The memory that bytes pass through on their way to a peer that is here: one for each thread.
class SendWindow {
 public:
  static constexpr size_t kBytes = size_t{256} << 10;
  SendWindow() : bytes_(new (std::align_val_t{4096}) char[kBytes]) {}
  char* data() { return bytes_.get(); }

 private:
  struct Free {
    void operator()(char* bytes) const { ::operator delete[](bytes, std::align_val_t{4096}); }
  };
  std::unique_ptr<char[], Free> bytes_;
};

// One send(2) of `size_bytes` of a file that is being written, which are in memory; by TLS unless `tls` is
// null, repeated with the same bytes or more.
ssize_t SendGrown(int socket, TlsStream* tls, SendWindow& window, int file, uint64_t offset,
                  uint64_t size_bytes);

class FileSender {
 public:
  // `tls` must outlive it; null: the bytes go out as they are.
  FileSender(registry::FileBody body, Peer peer, TlsStream* tls = nullptr)
      : body_(std::move(body)), peer_(peer), tls_(tls) {}

  enum class Step {
    kSent,    // `sent_bytes` more
    kFull,    // the socket takes nothing now
    kCold,    // the next bytes are on the disk only: Warm, elsewhere, then again
    kDone,    // all were sent
    kFailed,  // the client has gone, or the file cannot be read or is shorter than it was
  };
  Step Send(int socket, SendWindow& window, uint64_t& sent_bytes);

  // Reads what comes next into the page cache; blocks. Not while Send runs.
  void Warm();

  bool Empty() const { return body_.size_bytes == 0; }

 private:
  // Of the bytes at `offset`, as many as are in memory; 0: none; -1: not readable.
  ssize_t ReadAtOnce(char* buffer, size_t size, uint64_t offset) const;
  ssize_t SendCopy(int socket, SendWindow& window, bool& cold) const;
  ssize_t SendPages(int socket, SendWindow& window, bool& cold) const;
  ssize_t Encrypt(SendWindow& window, bool& cold);

  registry::FileBody body_;
  Peer peer_;
  TlsStream* tls_;
  size_t again_bytes_ = 0;   // that TLS has not taken and wants to see once more
  uint64_t warm_until_ = 0;  // offset in the file; before it a read is not asked to return at once
};

}  // namespace ingot::adapters
