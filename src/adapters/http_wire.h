// HttpWire: one connection as the HTTP server reads and writes it, in the form that Boost.Beast wants of a
// stream. Blocking, with deadlines. Internal to the HTTP server.
#pragma once

#include <sys/uio.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/system/system_error.hpp>
#include <memory>

#include "adapters/tls_server.h"
#include "base/clock.h"
#include "base/fd.h"

namespace ingot::adapters {

// One thread, but for End.
class HttpWire {
 public:
  virtual ~HttpWire() = default;
  // The socket.
  virtual int fd() const = 0;
  // From now on reading fails (timed_out) after so long, unless at least `least_bytes` have come by then:
  // after that again so long. 0 bytes: it fails in any case. A wire of this host's users has no deadlines.
  virtual void Allow(Milliseconds time, size_t least_bytes) = 0;
  // Says that no more is written.
  virtual void Shutdown() = 0;

  template <typename Buffers>
  size_t read_some(const Buffers& buffers, boost::beast::error_code& ec) {
    for (auto at = boost::asio::buffer_sequence_begin(buffers);
         at != boost::asio::buffer_sequence_end(buffers); ++at) {
      const boost::asio::mutable_buffer buffer = *at;
      if (buffer.size() > 0) return Read(static_cast<char*>(buffer.data()), buffer.size(), ec);
    }
    ec = {};
    return 0;
  }
  template <typename Buffers>
  size_t write_some(const Buffers& buffers, boost::beast::error_code& ec) {
    std::array<iovec, 16> pieces;
    size_t count = 0;
    for (auto at = boost::asio::buffer_sequence_begin(buffers);
         at != boost::asio::buffer_sequence_end(buffers) && count < pieces.size(); ++at) {
      const boost::asio::const_buffer buffer = *at;
      if (buffer.size() > 0) pieces[count++] = {const_cast<void*>(buffer.data()), buffer.size()};
    }
    ec = {};
    return count == 0 ? 0 : Write(pieces.data(), count, ec);
  }
  template <typename Buffers>
  size_t read_some(const Buffers& buffers) {
    return Throwing(buffers, [this](const auto& b, auto& ec) { return read_some(b, ec); });
  }
  template <typename Buffers>
  size_t write_some(const Buffers& buffers) {
    return Throwing(buffers, [this](const auto& b, auto& ec) { return write_some(b, ec); });
  }

 private:
  virtual size_t Read(char* buffer, size_t size, boost::beast::error_code& ec) = 0;
  virtual size_t Write(const iovec* pieces, size_t count, boost::beast::error_code& ec) = 0;

  template <typename Buffers, typename Do>
  static size_t Throwing(const Buffers& buffers, Do act) {
    boost::beast::error_code ec;
    const size_t n = act(buffers, ec);
    if (ec) throw boost::system::system_error(ec);
    return n;
  }
};

// Over a connected Unix socket that blocks.
std::unique_ptr<HttpWire> MakeLocalWire(Fd socket);
// Over a connected socket that does not block, whose TLS is `tls`. What is sent has to be taken within
// `stall`.
std::unique_ptr<HttpWire> MakeTlsWire(Fd socket, std::unique_ptr<TlsStream> tls, Milliseconds stall);

}  // namespace ingot::adapters
