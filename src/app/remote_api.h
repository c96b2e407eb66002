// The daemon's API for other hosts: TLS listeners, and the gate that finds out who asks (docs/formats/api.md,
// "From another host"). What somebody may is app/permit.h's to say, as on the socket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters/http_server.h"
#include "app/api_tokens.h"
#include "definition/host.h"
#include "registry/failure_limit.h"

namespace ingot::app {

// Who asks: a bearer token, else a client certificate. Any thread.
class RemoteGate {
 public:
  // Both must outlive it.
  RemoteGate(ApiTokens& tokens, const Clock& clock) : tokens_(tokens), clock_(clock) {}
  // An adapters::HttpRules::gate. 401: nobody who is known; 429: too many wrong tokens from that network.
  std::optional<adapters::HttpRefusal> Enter(adapters::HttpRequest& request);
  // Whether who has entered is still somebody: a token may have been removed or expired since.
  bool Stands(const adapters::HttpRequest& request);

 private:
  ApiTokens& tokens_;
  const Clock& clock_;
  registry::FailureLimit failures_;
};

class RemoteApi {
 public:
  // What host.yaml's `api` needs of the host: nobody is answered yet. Empty without api.listen.
  struct Opened {
    std::unique_ptr<adapters::TlsServer> tls;
    std::vector<Fd> listeners;
  };
  // Before anything is made that a daemon that cannot start would leave behind. kInvalid, kNotFound,
  // kPermission: a file of api.tls; kConflict: an address is in use. Says on stderr when the certificate has
  // expired, which is no error: whoever renews it needs no new start.
  static Result<Opened> Open(const definition::Host& host, const Clock& clock);
  // `handler` and `streams`: as the socket's server has them. Null: nothing was opened. `tokens` and `clock`
  // must outlive it.
  static Result<std::unique_ptr<RemoteApi>> Start(Opened opened, ApiTokens& tokens, const Clock& clock,
                                                  adapters::HttpHandler handler,
                                                  std::function<bool(const adapters::HttpRequest&)> streams);
  // Waits until every handler has returned.
  ~RemoteApi() { Stop(); }
  void Stop();
  // "127.0.0.1:7443", or several with commas.
  std::string address() const;

 private:
  RemoteApi(ApiTokens& tokens, const Clock& clock) : gate_(tokens, clock) {}
  RemoteGate gate_;
  std::unique_ptr<adapters::TlsServer> tls_;
  std::vector<std::unique_ptr<adapters::TlsHttpServer>> servers_;
};

}  // namespace ingot::app
