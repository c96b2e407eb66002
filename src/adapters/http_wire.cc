#include "adapters/http_wire.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/http/error.hpp>
#include <cerrno>
#include <cstring>
#include <vector>

namespace ingot::adapters {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

static_assert(boost::beast::is_sync_stream<HttpWire>::value);

// One record of TLS: what is smaller is put together, so that a head and its body are not two of them.
constexpr size_t kRecordBytes = size_t{16} << 10;

error_code ErrnoCode(int number) {
  return {number, boost::system::system_category()};
}

class LocalWire final : public HttpWire {
 public:
  explicit LocalWire(Fd socket) : socket_(std::move(socket)) {}
  int fd() const override { return socket_.get(); }
  void Allow(Milliseconds, size_t) override {}
  void Shutdown() override { ::shutdown(socket_.get(), SHUT_WR); }

 private:
  size_t Read(char* buffer, size_t size, error_code& ec) override {
    ssize_t n = 0;
    do n = ::recv(socket_.get(), buffer, size, 0);
    while (n < 0 && errno == EINTR);
    ec = n > 0 ? error_code() : n == 0 ? error_code(boost::asio::error::eof) : ErrnoCode(errno);
    return n > 0 ? static_cast<size_t>(n) : 0;
  }
  size_t Write(const iovec* pieces, size_t count, error_code& ec) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces);
    message.msg_iovlen = count;
    ssize_t n = 0;
    do n = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    ec = n >= 0 ? error_code() : ErrnoCode(errno);
    return n > 0 ? static_cast<size_t>(n) : 0;
  }

  Fd socket_;
};

class TlsWire final : public HttpWire {
 public:
  TlsWire(Fd socket, std::unique_ptr<TlsStream> tls, Milliseconds stall)
      : socket_(std::move(socket)), tls_(std::move(tls)), stall_(stall), record_(kRecordBytes) {}
  int fd() const override { return socket_.get(); }
  void Allow(Milliseconds time, size_t least_bytes) override {
    window_ = time;
    least_ = least_bytes;
    moved_ = 0;
    idle_since_ = WireClock::now();
    deadline_ = idle_since_ + time;
  }
  void Shutdown() override {
    tls_->Shutdown();
    ::shutdown(socket_.get(), SHUT_WR);
  }

 private:
  using WireClock = std::chrono::steady_clock;

  size_t Read(char* buffer, size_t size, error_code& ec) override {
    // What the reader takes to use a body is not the client's time.
    if (least_ > 0) deadline_ += WireClock::now() - idle_since_;
    const size_t n = ReadInTime(buffer, size, ec);
    idle_since_ = WireClock::now();
    return n;
  }
  size_t ReadInTime(char* buffer, size_t size, error_code& ec) {
    while (true) {
      const ssize_t n = tls_->Read(buffer, size);
      if (n > 0) {
        ec = {};
        moved_ += static_cast<size_t>(n);
        // Somebody who sends a byte now and then would keep the thread for ever.
        if (WireClock::now() >= deadline_ && !Extend(ec)) return 0;
        return static_cast<size_t>(n);
      }
      if (n == 0 || errno != EAGAIN) {
        ec = n == 0 ? error_code(boost::asio::error::eof) : error_code(boost::asio::error::connection_reset);
        return 0;
      }
      if (Wait(POLLIN, deadline_)) continue;
      if (!Extend(ec)) return 0;
    }
  }
  bool Extend(error_code& ec) {
    if (least_ > 0 && moved_ >= least_) {
      Allow(window_, least_);
      return true;
    }
    ec = boost::asio::error::timed_out;
    return false;
  }

  size_t Write(const iovec* pieces, size_t count, error_code& ec) override {
    const char* bytes = static_cast<const char*>(pieces[0].iov_base);
    size_t size = pieces[0].iov_len;
    if (count > 1 && size < record_.size()) {
      size = 0;
      for (size_t i = 0; i < count && size < record_.size(); ++i) {
        const size_t take = std::min(pieces[i].iov_len, record_.size() - size);
        std::memcpy(record_.data() + size, pieces[i].iov_base, take);
        size += take;
      }
      bytes = record_.data();
    }
    const auto until = WireClock::now() + stall_;
    while (true) {
      const ssize_t n = tls_->Write(bytes, size);
      if (n > 0) {
        ec = {};
        return static_cast<size_t>(n);
      }
      if (n == 0 || errno != EAGAIN) {
        ec = boost::asio::error::connection_reset;
        return 0;
      }
      if (Wait(POLLOUT, until)) continue;
      ec = boost::asio::error::timed_out;
      return 0;
    }
  }

  // False: it is too late.
  bool Wait(short events, WireClock::time_point until) const {
    const auto left = std::chrono::ceil<Milliseconds>(until - WireClock::now()).count();
    if (left <= 0) return false;
    struct pollfd p = {socket_.get(), events, 0};
    return ::poll(&p, 1, static_cast<int>(left)) != 0;
  }

  Fd socket_;
  std::unique_ptr<TlsStream> tls_;
  const Milliseconds stall_;
  std::vector<char> record_;
  Milliseconds window_{0};
  size_t least_ = 0;
  size_t moved_ = 0;
  WireClock::time_point idle_since_ = WireClock::now();  // nobody has been reading
  WireClock::time_point deadline_ = idle_since_;
};

}  // namespace

std::unique_ptr<HttpWire> MakeLocalWire(Fd socket) {
  return std::make_unique<LocalWire>(std::move(socket));
}
std::unique_ptr<HttpWire> MakeTlsWire(Fd socket, std::unique_ptr<TlsStream> tls, Milliseconds stall) {
  return std::make_unique<TlsWire>(std::move(socket), std::move(tls), stall);
}

}  // namespace ingot::adapters
