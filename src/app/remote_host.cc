#include "app/remote_host.h"

#include "app/version.h"

namespace ingot::app {

namespace {

constexpr auto kLongestSilence = std::chrono::hours(25);  // longer than the API itself waits for anything
constexpr size_t kMostAnswerBytes = size_t{1} << 30;

adapters::CurlHttp::Options OptionsFor(const RemoteLogin& login) {
  adapters::CurlHttp::Options options;
  options.only_trust = adapters::RegistryTrust{login.ca, login.certificate, login.key};
  options.trust_advice =
      login.ca.empty()
          ? "if the host has an authority of its own, name it: `ingot login URL --ca FILE`, or INGOT_CA"
          : "it is believed only by the authority that `ingot login --ca` or INGOT_CA names; has the host a "
            "new "
            "certificate, or its old one expired?";
  options.user_agent = std::string("ingot/") + kVersion;
  return options;
}

}  // namespace

RemoteHost::RemoteHost(registry::ClientUrl url, RemoteLogin login)
    : url_(std::move(url)),
      name_("https://" + url_.Authority()),
      login_(std::move(login)),
      http_(OptionsFor(login_)) {}

Result<std::unique_ptr<RemoteHost>> RemoteHost::Open(const std::string& url) {
  const registry::ClientUrl parsed = TRY(ParseRemoteUrl(url));
  return Open(url, TRY(LoginFor("https://" + parsed.Authority())));
}

Result<std::unique_ptr<RemoteHost>> RemoteHost::Open(const std::string& url, RemoteLogin login) {
  return std::unique_ptr<RemoteHost>(new RemoteHost(TRY(ParseRemoteUrl(url)), std::move(login)));
}

Result<adapters::HttpAnswer> RemoteHost::Call(std::string_view method, const std::string& target,
                                              std::string_view body,
                                              const std::function<bool(std::string_view line)>& on_line) {
  return Send(method, target, {body.size(), SourceOf(body)}, on_line);
}

Result<adapters::HttpAnswer> RemoteHost::Send(std::string_view method, const std::string& target,
                                              RemoteBody body,
                                              const std::function<bool(std::string_view line)>& on_line) {
  registry::ClientRequest request;
  request.url = url_;
  request.url.target = target;
  request.method = std::string(method);
  if (!login_.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + login_.token);
  if (method != "GET" && method != "DELETE") {
    request.headers.emplace_back("Content-Type", "application/json");
    request.upload = registry::ClientUpload{body.size_bytes, std::move(body.read)};
  }
  request.patience = kLongestSilence;
  adapters::HttpAnswer answer;
  std::string unfinished;
  bool enough = false;
  const auto sent =
      http_.Send(request, [&](const registry::ClientResponse& head, std::string_view piece) -> Result<void> {
        if (!on_line || head.status < 200 || head.status >= 300) {
          if (answer.body.size() + piece.size() > kMostAnswerBytes)
            return Error(Code::kInvalid, name_ + ": it sends an answer without an end");
          answer.body += piece;
          return {};
        }
        unfinished += piece;
        size_t begin = 0;
        for (size_t end = unfinished.find('\n'); end != std::string::npos;
             end = unfinished.find('\n', begin)) {
          if (!on_line(std::string_view(unfinished).substr(begin, end - begin))) {
            enough = true;
            return Error(Code::kCancelled, "enough");
          }
          begin = end + 1;
        }
        unfinished.erase(0, begin);
        if (unfinished.size() > kMostAnswerBytes)
          return Error(Code::kInvalid, name_ + ": it sends a line without an end");
        return {};
      });
  if (enough) {
    answer.status = 200;
    return answer;
  }
  if (!sent) return sent.error();
  answer.status = sent->status;
  if (on_line && !unfinished.empty()) static_cast<void>(on_line(unfinished));
  if (answer.status == 401)
    return Error(
        Code::kPermission,
        name_ + (login_.token.empty() && login_.certificate.empty()
                     ? ": it wants to know who asks; `ingot login " + name_ +
                           "` keeps a token of that host, INGOT_TOKEN gives one"
                     : ": it does not know this token or certificate: it is wrong, was removed, or has "
                       "expired; root of that host makes a new one with `ingot token create`"));
  if (answer.status == 429)
    return Error(Code::kRefused, name_ + ": too many wrong tokens were tried from here; wait a minute");
  return answer;
}

}  // namespace ingot::app
