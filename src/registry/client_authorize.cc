// Client's log-in: after a 401, a password or a token for the next try.
#include "oci/base64.h"
#include "registry/client.h"
#include "registry/remote_error.h"

namespace ingot::registry {
namespace {

constexpr size_t kMaxTokenAnswer = 1 << 20;

std::string BasicOf(const Credential& credential) {
  return "Basic " + oci::RenderBase64(credential.username + ":" + credential.password);
}

const AuthChallenge* FindScheme(const std::vector<AuthChallenge>& challenges, std::string_view scheme) {
  for (const AuthChallenge& challenge : challenges)
    if (challenge.scheme == scheme) return &challenge;
  return nullptr;
}

}  // namespace

Result<void> Client::Authorize(const Target& target, const ClientResponse& head) {
  const std::string& name = target.endpoint.name;
  std::vector<AuthChallenge> challenges;
  const auto [begin, end] = head.headers.equal_range("www-authenticate");
  for (auto header = begin; header != end; ++header) {
    auto parsed = ParseChallenges(header->second);
    if (!parsed) return std::move(parsed).error().While(name);
    challenges.insert(challenges.end(), parsed->begin(), parsed->end());
  }
  std::optional<Credential> credential;
  if (find_) {
    auto found = find_(name, target.repository);
    if (!found) return std::move(found).error().While("finding the log-in for " + name);
    credential = std::move(*found);
  }
  Session session;
  session.known = credential.has_value();
  if (const AuthChallenge* bearer = FindScheme(challenges, "bearer")) {
    session.authorization = "Bearer " + TRY(FetchToken(target, *bearer, credential, session));
  } else if (FindScheme(challenges, "basic") != nullptr) {
    if (credential && !credential->username.empty()) session.authorization = BasicOf(*credential);
    session.expires = SteadyTime::max();
  } else {
    return Error(Code::kUnsupported,
                 name +
                     ": 401: it asks for a way to log in that is not known here; known are "
                     "Bearer and Basic");
  }
  // Nobody and nothing to show: the next 401 is the answer.
  sessions_.lock()->insert_or_assign(target.SessionKey(), std::move(session));
  return {};
}

Result<std::string> Client::FetchToken(const Target& target, const AuthChallenge& challenge,
                                       const std::optional<Credential>& credential, Session& session) {
  const std::string& name = target.endpoint.name;
  auto realm = ClientUrl::Parse(challenge.Parameter("realm"));
  if (!realm) return std::move(realm).error().While(name + ": reading the realm of its tokens");
  TRY(RequireSecure(*realm, name + ": the realm of its tokens"));
  if (realm->IsLoopback() && !target.endpoint.base.IsLoopback())
    return Error(Code::kRefused, name + ": it sends us to this host itself for a token; nothing was taken");
  const std::string service = challenge.Parameter("service");
  std::vector<std::string> scopes = {"repository:" + target.repository + ":pull" +
                                     (target.push ? ",push" : "")};
  if (!target.mount_from.empty()) scopes.push_back("repository:" + target.mount_from + ":pull");
  ClientRequest request;
  request.url = *realm;
  request.cancelled = target.cancelled;
  std::string query = service.empty() ? "" : "service=" + EncodeQueryValue(service) + "&";
  if (credential && !credential->identity_token.empty()) {
    // OAuth's scopes are one value with spaces.
    std::string all;
    for (const std::string& scope : scopes) all += (all.empty() ? "" : " ") + scope;
    request.form = "grant_type=refresh_token&client_id=ingot&" + query + "scope=" + EncodeQueryValue(all) +
                   "&refresh_token=" + EncodeQueryValue(credential->identity_token);
  } else {
    for (const std::string& scope : scopes)
      query += (query.empty() || query.ends_with('&') ? "scope=" : "&scope=") + EncodeQueryValue(scope);
    request.url.target += (request.url.target.find('?') == std::string::npos ? "?" : "&") + query;
    if (credential) request.headers.emplace_back("Authorization", BasicOf(*credential));
  }
  for (int attempt = 1;; ++attempt) {
    std::string bytes;
    auto answer = http_.Send(request, [&](const ClientResponse&, std::string_view piece) -> Result<void> {
      if (bytes.size() + piece.size() > kMaxTokenAnswer)
        return Error(Code::kInvalid, name + ": its token is larger than 1 MiB");
      bytes += piece;
      return {};
    });
    if (answer && answer->status == 200) {
      auto token = ParseAuthToken(bytes);
      if (!token)
        return std::move(token).error().While(name + ": reading the answer of " + realm->Authority());
      // A little less than it says: it is on the way for a while.
      session.expires = clock_.Steady() + std::chrono::seconds(token->expires_in_s - 10);
      return token->token;
    }
    Error error = answer ? Error(Code::kUnavailable, "") : answer.error();
    if (answer) {
      std::string said = DescribeRemoteError(bytes);
      if (!said.empty()) said = " (" + said + ")";
      const bool login = answer->status == 401 || answer->status == 403;
      const bool later = answer->status == 429 || answer->status >= 500;
      error = Error(login   ? Code::kPermission
                    : later ? Code::kUnavailable
                            : Code::kFailed,
                    name + ": " + std::to_string(answer->status) + ": " + realm->Authority() +
                        " gives no token for " + target.repository + said +
                        (login ? "; log in with `docker login " + name +
                                     "` or `skopeo login --authfile ~/.docker/config.json " + name + "`"
                               : ""));
    }
    if (!WaitForRetry(attempt, options_.attempts, error,
                      answer ? std::string(answer->Header("retry-after")) : "", target.cancelled))
      return error;
  }
}

}  // namespace ingot::registry
