#include "app/remote_api.h"

#include "app/daemon_client.h"
#include "app/host_certificates.h"
#include "app/signals.h"

namespace ingot::app {

namespace {

adapters::HttpRefusal RefuseCaller(int status, const std::string& message,
                                   const std::string& retry_after = "") {
  return {status, RenderJson(ErrorToJson(Error(Code::kPermission, message))) + "\n", retry_after};
}

std::string TokenGone(const adapters::HttpRequest& request) {
  return "the token of " + request.peer.name + " was removed or has expired";
}

// A follower whose token is taken back sees the end of its stream.
class GuardedReply final : public adapters::HttpReply {
 public:
  GuardedReply(adapters::HttpReply& reply, RemoteGate& gate, const adapters::HttpRequest& request)
      : reply_(reply), gate_(gate), request_(request) {}
  Result<void> Send(int status, std::string_view type, std::string_view body) override {
    return reply_.Send(status, type, body);
  }
  Result<void> Begin(int status, std::string_view type) override { return reply_.Begin(status, type); }
  Result<void> Write(std::string_view chunk) override {
    if (refused_ == 0 && !gate_.Stands(request_)) refused_ = 1;
    // Once it is refused; what is written then is the reason, and the last.
    if (refused_ == 1 || refused_ > 2) {
      ++refused_;
      return Error(Code::kPermission, TokenGone(request_));
    }
    if (refused_ == 2) ++refused_;
    return reply_.Write(chunk);
  }
  Result<void> End() override { return reply_.End(); }
  bool Gone() override { return reply_.Gone() || !gate_.Stands(request_); }

 private:
  adapters::HttpReply& reply_;
  RemoteGate& gate_;
  const adapters::HttpRequest& request_;
  int refused_ = 0;
};

}  // namespace

std::optional<adapters::HttpRefusal> RemoteGate::Enter(adapters::HttpRequest& request) {
  if (!request.bearer.empty()) {
    // Counted before it is looked at, so that attempts at once are limited, too.
    if (const auto wait = failures_.Take(request.address, clock_.Steady()))
      return RefuseCaller(
          429, "too many wrong tokens came from there; wait " + std::to_string(wait->count()) + " s",
          std::to_string(wait->count()));
    const auto token = tokens_.Find(request.bearer);
    if (!token) {
      LogToStderr("api: a wrong token from " + request.address);
      return RefuseCaller(
          401,
          "this token is not known here: it is wrong, was removed, or has expired; root of this host "
          "makes a new one with `ingot token create`");
    }
    failures_.GiveBack(request.address);
    request.peer.name = "token:" + token->name;
    request.peer.root = token->IsAdmin();
    request.peer.scope = {token->in, token->may};
    return std::nullopt;
  }
  if (!request.certificate.empty()) {
    request.peer.name = request.certificate;
    return std::nullopt;
  }
  return RefuseCaller(
      401,
      "who asks? Send a token (root of this host makes one with `ingot token create`) or a client "
      "certificate that api.tls.client_ca of its host.yaml vouches for");
}

bool RemoteGate::Stands(const adapters::HttpRequest& request) {
  return request.bearer.empty() || tokens_.Find(request.bearer).has_value();
}

Result<RemoteApi::Opened> RemoteApi::Open(const definition::Host& host, const Clock& clock) {
  Opened opened;
  if (host.api.listen.empty()) return opened;
  opened.tls = TRY(adapters::TlsServer::Open(TlsFilesOf(host, *host.api.tls)));
  for (const SeenCertificate& seen : LookAtCertificates(host))
    if (seen.place == "api.tls" && seen.Problem(clock.Now()))
      LogToStderr(*seen.Problem(clock.Now()) + "; other hosts refuse this API until it is renewed");
  for (const std::string& text : host.api.listen)
    opened.listeners.push_back(TRY(adapters::ListenTcp(TRY(adapters::TcpAddress::Parse(text)))));
  return opened;
}

Result<std::unique_ptr<RemoteApi>> RemoteApi::Start(
    Opened opened, ApiTokens& tokens, const Clock& clock, adapters::HttpHandler handler,
    std::function<bool(const adapters::HttpRequest&)> streams) {
  if (opened.listeners.empty()) return std::unique_ptr<RemoteApi>();
  std::unique_ptr<RemoteApi> made(new RemoteApi(tokens, clock));
  made->tls_ = std::move(opened.tls);
  RemoteGate* gate = &made->gate_;
  const adapters::HttpHandler guarded =
      [gate, handler = std::move(handler)](const adapters::HttpRequest& request, adapters::HttpReply& reply) {
        // A body may have taken hours.
        if (!gate->Stands(request)) {
          const auto refusal = RefuseCaller(401, TokenGone(request));
          static_cast<void>(reply.Send(refusal.status, "application/json", refusal.body).has_value());
          return;
        }
        GuardedReply guard(reply, *gate, request);
        if (!request.stream) return handler(request, guard);
        adapters::HttpRequest watched = request;
        watched.stream = [gate, &request](char* to, size_t size) -> Result<size_t> {
          if (!gate->Stands(request)) return Error(Code::kPermission, TokenGone(request));
          return request.stream(to, size);
        };
        handler(watched, guard);
      };
  const adapters::HttpRules rules{[gate](adapters::HttpRequest& request) { return gate->Enter(request); },
                                  std::move(streams)};
  for (Fd& listener : opened.listeners) {
    adapters::TlsHttpOptions options;
    options.tls = made->tls_.get();
    // One watches the files.
    if (made->servers_.empty())
      options.complain = [](const std::string& what) {
        LogToStderr("api: " + what + "; going on with what was");
      };
    made->servers_.push_back(
        TRY(adapters::TlsHttpServer::Listen(options, guarded, rules, std::move(listener))));
  }
  return made;
}

void RemoteApi::Stop() {
  for (const auto& server : servers_) server->Stop();
}

std::string RemoteApi::address() const {
  std::string out;
  for (const auto& server : servers_) out += (out.empty() ? "" : ", ") + server->address().Render();
  return out;
}

}  // namespace ingot::app
