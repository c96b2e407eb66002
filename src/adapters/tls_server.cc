#include "adapters/tls_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/sync.h"

namespace ingot::adapters {
namespace {

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};

// OpenSSL's own socket BIO writes by write(2), and a client that has gone would be a SIGPIPE.
int SocketOf(BIO* bio) {
  return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
}
int AfterIo(BIO* bio, ssize_t n, bool reading) {
  BIO_clear_retry_flags(bio);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    if (reading) BIO_set_retry_read(bio);
    if (!reading) BIO_set_retry_write(bio);
  }
  return static_cast<int>(n);
}
int BioRead(BIO* bio, char* buffer, int size) {
  ssize_t n = 0;
  do n = ::recv(SocketOf(bio), buffer, static_cast<size_t>(size), 0);
  while (n < 0 && errno == EINTR);
  return AfterIo(bio, n, true);
}
int BioWrite(BIO* bio, const char* bytes, int size) {
  ssize_t n = 0;
  do n = ::send(SocketOf(bio), bytes, static_cast<size_t>(size), MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return AfterIo(bio, n, false);
}
long BioControl(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD* SocketMethod() {
  static const std::unique_ptr<BIO_METHOD, FreeSsl> method = [] {
    std::unique_ptr<BIO_METHOD, FreeSsl> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ingot socket"));
    if (made) {
      BIO_meth_set_read(made.get(), BioRead);
      BIO_meth_set_write(made.get(), BioWrite);
      BIO_meth_set_ctrl(made.get(), BioControl);
    }
    return made;
  }();
  return method.get();
}

std::string SslReason() {
  const unsigned long code = ERR_get_error();
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown reason";
}

class SslStream final : public TlsStream {
 public:
  SslStream(std::shared_ptr<SSL_CTX> context, std::unique_ptr<SSL, FreeSsl> ssl)
      : context_(std::move(context)), ssl_(std::move(ssl)) {}

  ssize_t Read(char* buffer, size_t size) override {
    ERR_clear_error();
    size_t n = 0;
    const int done = SSL_read_ex(ssl_.get(), buffer, size, &n);
    return done == 1 ? static_cast<ssize_t>(n) : Failed(done);
  }
  ssize_t Write(const char* bytes, size_t size) override {
    ERR_clear_error();
    size_t n = 0;
    const int done = SSL_write_ex(ssl_.get(), bytes, size, &n);
    return done == 1 ? static_cast<ssize_t>(n) : Failed(done);
  }
  std::string Certificate() const override {
    if (SSL_get_verify_result(ssl_.get()) != X509_V_OK) return "";
    const std::unique_ptr<X509, FreeSsl> certificate(SSL_get1_peer_certificate(ssl_.get()));
    if (!certificate) return "";
    std::array<char, 129> name{};
    const int length = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName,
                                                 name.data(), static_cast<int>(name.size()));
    // A name with other letters, or cut off, is nobody's: it goes into records and is compared.
    if (length <= 0 || length >= static_cast<int>(name.size()) - 1) return "";
    const std::string text(name.data(), static_cast<size_t>(length));
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
    return plain ? "cert:" + text : "";
  }
  void Shutdown() override {
    ERR_clear_error();
    if (SSL_is_init_finished(ssl_.get()) == 1) static_cast<void>(SSL_shutdown(ssl_.get()));
  }

 private:
  ssize_t Failed(int done) {
    switch (SSL_get_error(ssl_.get(), done)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
      case SSL_ERROR_ZERO_RETURN:
        return 0;
      default:
        ERR_clear_error();
        errno = ECONNRESET;
        return -1;
    }
  }
  std::shared_ptr<SSL_CTX> context_;  // shared with the server, until it reads its files again
  std::unique_ptr<SSL, FreeSsl> ssl_;
};

class SslServer final : public TlsServer {
 public:
  explicit SslServer(Files files) : files_(std::move(files)) {}

  Result<void> Refresh() override {
    std::array<Stamp, 3> stamps{};
    const std::array<const fs::path*, 3> paths{&files_.certificate, &files_.key, &files_.client_ca};
    for (size_t i = 0; i < paths.size(); ++i) {
      if (paths[i]->empty()) continue;
      struct stat st {};
      if (::stat(paths[i]->c_str(), &st) != 0) return ErrnoError(errno, "look at " + paths[i]->string());
      stamps[i] = {st.st_ino, st.st_size, st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec};
    }
    if (stamps == stamps_) return {};
    *context_.lock() = TRY(Load());
    stamps_ = stamps;
    return {};
  }

  std::unique_ptr<TlsStream> Accept(int socket) override {
    std::shared_ptr<SSL_CTX> context = *context_.lock();
    std::unique_ptr<SSL, FreeSsl> ssl(SSL_new(context.get()));
    BIO* bio = ssl && SocketMethod() != nullptr ? BIO_new(SocketMethod()) : nullptr;
    if (bio == nullptr) return nullptr;
    BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(socket)));
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl.get(), bio, bio);
    SSL_set_accept_state(ssl.get());
    return std::make_unique<SslStream>(std::move(context), std::move(ssl));
  }

 private:
  struct Stamp {
    uint64_t inode = 0;
    int64_t size = 0;
    int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };

  Result<std::shared_ptr<SSL_CTX>> Load() const {
    ERR_clear_error();
    std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), FreeSsl());
    if (!context) return Error(Code::kNoSpace, "no memory for TLS");
    SSL_CTX* const raw = context.get();
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_mode(
        raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    static constexpr unsigned char kContext[] = "ingot registry";
    SSL_CTX_set_session_id_context(raw, kContext, sizeof kContext - 1);
    const auto bad = [](const fs::path& file, const std::string& what) {
      return Error(Code::kInvalid, file.string() + " " + what + " (" + SslReason() + ")");
    };
    if (SSL_CTX_use_certificate_chain_file(raw, files_.certificate.c_str()) != 1)
      return bad(files_.certificate, "is no certificate in PEM");
    if (SSL_CTX_use_PrivateKey_file(raw, files_.key.c_str(), SSL_FILETYPE_PEM) != 1)
      return bad(files_.key, "is not the private key of " + files_.certificate.string() + " in PEM");
    if (SSL_CTX_check_private_key(raw) != 1)
      return bad(files_.key, "is the key of another certificate than " + files_.certificate.string());
    if (files_.client_ca.empty()) return context;
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(files_.client_ca.c_str());
    if (names == nullptr || SSL_CTX_load_verify_locations(raw, files_.client_ca.c_str(), nullptr) != 1)
      return bad(files_.client_ca, "has no authorities of clients in PEM");
    SSL_CTX_set_client_CA_list(raw, names);
    // Asked for, not demanded: others log in by password, or are anonymous. A bad one ends the handshake.
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
    return context;
  }

  const Files files_;
  std::array<Stamp, 3> stamps_{};  // of Refresh's thread
  Sync<std::shared_ptr<SSL_CTX>> context_;
};

}  // namespace

Result<std::unique_ptr<TlsServer>> TlsServer::Open(const Files& files) {
  auto server = std::make_unique<SslServer>(files);
  TRY(server->Refresh());
  return std::unique_ptr<TlsServer>(std::move(server));
}

}  // namespace ingot::adapters
