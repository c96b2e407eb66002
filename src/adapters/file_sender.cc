#include "adapters/file_sender.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace ingot::adapters {
namespace {

constexpr uint64_t kSendFileBytes = uint64_t{2} << 20;
constexpr size_t kEncryptedBytes = size_t{64} << 10;
constexpr size_t kWarmBytes = size_t{4} << 20;
// What is under way to a peer that is here. More than this is copied out of the cache before it is read.
constexpr int kBytesUnderWay = 128 << 10;

bool SameHost(const sockaddr_storage& a, const sockaddr_storage& b) {
  if (a.ss_family != b.ss_family) return false;
  if (a.ss_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in&>(a).sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in&>(b).sin_addr.s_addr;
  }
  return a.ss_family == AF_INET6 &&
         std::memcmp(&reinterpret_cast<const sockaddr_in6&>(a).sin6_addr,
                     &reinterpret_cast<const sockaddr_in6&>(b).sin6_addr, sizeof(in6_addr)) == 0;
}

}  // namespace

Peer PreparePeer(int socket) {
  sockaddr_storage here{};
  sockaddr_storage there{};
  socklen_t here_size = sizeof here;
  socklen_t there_size = sizeof there;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&here), &here_size) != 0 ||
      ::getpeername(socket, reinterpret_cast<sockaddr*>(&there), &there_size) != 0 || !SameHost(here, there))
    return Peer::kElsewhere;
  // Only a matter of speed.
  static_cast<void>(::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kBytesUnderWay, sizeof kBytesUnderWay));
  return Peer::kHere;
}

ssize_t SendGrown(int socket, TlsStream* tls, SendWindow& window, int file, uint64_t offset,
                  uint64_t size_bytes) {
  auto at = static_cast<off_t>(offset);
  if (tls == nullptr) return ::sendfile(socket, file, &at, static_cast<size_t>(size_bytes));
  const auto want = static_cast<size_t>(std::min<uint64_t>(size_bytes, kEncryptedBytes));
  const ssize_t n = ::pread(file, window.data(), want, at);
  return n <= 0 ? n : tls->Write(window.data(), static_cast<size_t>(n));
}

ssize_t FileSender::ReadAtOnce(char* buffer, size_t size, uint64_t offset) const {
  iovec where{buffer, size};
  const auto at = static_cast<off_t>(offset);
  ssize_t n = -1;
  errno = EOPNOTSUPP;
  if (offset >= warm_until_) n = ::preadv2(body_.fd.get(), &where, 1, at, RWF_NOWAIT);
  if (n < 0 && errno == EAGAIN) return 0;
  // Not every file system can tell; then it is read as any other.
  if (n < 0 && (errno == EOPNOTSUPP || errno == EINVAL)) n = ::pread(body_.fd.get(), buffer, size, at);
  return n > 0 ? n : -1;
}

ssize_t FileSender::SendCopy(int socket, SendWindow& window, bool& cold) const {
  const auto want = static_cast<size_t>(std::min<uint64_t>(body_.size_bytes, SendWindow::kBytes));
  const ssize_t have = ReadAtOnce(window.data(), want, body_.offset);
  cold = have == 0;
  if (have <= 0) return have;
  return ::send(socket, window.data(), static_cast<size_t>(have), MSG_NOSIGNAL);
}

ssize_t FileSender::SendPages(int socket, SendWindow& window, bool& cold) const {
  const uint64_t want = std::min<uint64_t>(body_.size_bytes, kSendFileBytes);
  // The last byte tells for all: a file is read and dropped in the order of its bytes, mostly.
  const ssize_t have = ReadAtOnce(window.data(), 1, body_.offset + want - 1);
  cold = have == 0;
  if (have <= 0) return have;
  auto offset = static_cast<off_t>(body_.offset);
  return ::sendfile(socket, body_.fd.get(), &offset, static_cast<size_t>(want));
}

// A write that TLS could not end is repeated with the same bytes, so all of them are read, cold or not.
ssize_t FileSender::Encrypt(SendWindow& window, bool& cold) {
  auto size = static_cast<ssize_t>(again_bytes_);
  if (again_bytes_ > 0) {
    if (::pread(body_.fd.get(), window.data(), again_bytes_, static_cast<off_t>(body_.offset)) != size)
      return -1;
  } else {
    const auto want = static_cast<size_t>(std::min<uint64_t>(body_.size_bytes, kEncryptedBytes));
    size = ReadAtOnce(window.data(), want, body_.offset);
    cold = size == 0;
    if (size <= 0) return size;
  }
  const ssize_t n = tls_->Write(window.data(), static_cast<size_t>(size));
  again_bytes_ = n < 0 ? static_cast<size_t>(size) : 0;
  return n;
}

FileSender::Step FileSender::Send(int socket, SendWindow& window, uint64_t& sent_bytes) {
  sent_bytes = 0;
  if (Empty()) return Step::kDone;
  bool cold = false;
  errno = 0;
  const ssize_t n = tls_ != nullptr        ? Encrypt(window, cold)
                    : peer_ == Peer::kHere ? SendCopy(socket, window, cold)
                                           : SendPages(socket, window, cold);
  if (cold) return Step::kCold;
  if (n < 0 && errno == EINTR) return Step::kSent;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Step::kFull;
  if (n <= 0) return Step::kFailed;
  sent_bytes = static_cast<uint64_t>(n);
  body_.offset += sent_bytes;
  body_.size_bytes -= sent_bytes;
  return Step::kSent;
}

void FileSender::Warm() {
  const uint64_t end = body_.offset + std::min<uint64_t>(body_.size_bytes, kWarmBytes);
  ::posix_fadvise(body_.fd.get(), static_cast<off_t>(body_.offset), static_cast<off_t>(end - body_.offset),
                  POSIX_FADV_WILLNEED);
  std::vector<char> buffer(64 << 10);
  for (uint64_t at = body_.offset; at < end;) {
    const ssize_t n = ::pread(body_.fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // Send finds it as well, and says so
    at += static_cast<uint64_t>(n);
  }
  warm_until_ = end;
}

}  // namespace ingot::adapters
