#include "registry/access.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/json.h"
#include "base/password.h"
#include "registry/errors.h"
#include "registry/names.h"
#include "registry/registry_state.h"

namespace ingot::registry {
namespace {

constexpr auto kRememberFor = std::chrono::minutes(5);
constexpr size_t kMostRemembered = 1024;
constexpr size_t kMostScopesAsked = 100;
constexpr std::string_view kTokenPath = "/v2/token";
constexpr std::string_view kServiceName = "ingot";

bool IsBody(const std::string& method) {
  return method == "PUT" || method == "POST" || method == "PATCH";
}

// What a request to a repository needs there.
Scope Needed(const Route& route, const std::string& method) {
  Scope scope;
  scope.repository = route.repository;
  const bool uploads = route.endpoint == Endpoint::kUploads || route.endpoint == Endpoint::kUpload;
  if (!uploads && (method == "GET" || method == "HEAD")) {
    scope.pull = true;
  } else if (!uploads && method == "DELETE") {
    scope.remove = true;
  } else {
    scope.push = true;
  }
  return scope;
}

bool TokenHas(const AccessToken& token, const Scope& needed) {
  return std::any_of(token.scopes.begin(), token.scopes.end(), [&](const Scope& scope) {
    return scope.repository == needed.repository && scope.pull >= needed.pull && scope.push >= needed.push &&
           scope.remove >= needed.remove;
  });
}

// Only what a URL's authority may have; the header is the client's word.
bool IsAuthority(std::string_view text) {
  return !text.empty() && text.size() <= 261 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == ':' || c == '[' || c == ']' || c == '_';
  });
}

}  // namespace

// A request whose password is to be checked first, away from the event loop.
class LoginExchange final : public Exchange {
 public:
  LoginExchange(Access& access, Request request, BasicLogin login, Access::Next next)
      : access_(access), request_(std::move(request)), login_(std::move(login)), next_(std::move(next)) {}

  bool Blocks() const override { return true; }
  // What it lets through may ask another registry.
  bool WaitsForOthers() const override { return !IsBody(request_.method); }
  bool WantsBody() const override { return IsBody(request_.method); }
  bool Write(std::string_view bytes, std::shared_ptr<const void> keep) override {
    Decide();
    return inner_->WantsBody() && inner_->Write(bytes, std::move(keep));
  }
  Response Finish() override {
    Decide();
    return inner_->Finish();
  }

 private:
  void Decide() {
    if (inner_) return;
    if (access_.Check(login_, request_.peer)) {
      inner_ = access_.Enter(request_, login_.user, nullptr, next_);
    } else {
      inner_ = Ready(access_.Challenge(request_, Route::Of(request_.path), ""));
    }
  }
  Access& access_;
  Request request_;
  BasicLogin login_;
  Access::Next next_;
  std::unique_ptr<Exchange> inner_;
};

Access::Access(definition::HostRegistry rules, fs::path htpasswd, const Clock& clock)
    : rules_(std::move(rules)),
      htpasswd_(std::move(htpasswd)),
      clock_(clock),
      key_(RandomBytes(32)),
      dummy_hash_(HashPassword(Hex(RandomBytes(16))).value_or("")) {}

Result<std::unique_ptr<Access>> Access::Open(definition::HostRegistry rules, fs::path htpasswd,
                                             const Clock& clock) {
  std::unique_ptr<Access> access(new Access(std::move(rules), std::move(htpasswd), clock));
  *access->users_.lock() = std::make_shared<const Htpasswd>();
  TRY(access->Refresh());
  return access;
}

Result<void> Access::Refresh() {
  if (htpasswd_.empty()) return {};
  struct stat st {};
  if (::stat(htpasswd_.c_str(), &st) != 0) return ErrnoError(errno, "look at " + htpasswd_.string());
  const FileState state{st.st_size, st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec, st.st_ino};
  if (state == file_state_) return {};
  auto bytes = ReadFile(htpasswd_, kMaxHtpasswdBytes);
  if (!bytes) return std::move(bytes).error().While("reading the users of the registry");
  auto parsed = Htpasswd::Parse(*bytes);
  if (!parsed) return Error(parsed.error().code(), htpasswd_.string() + ", " + parsed.error().message());
  *users_.lock() = std::make_shared<const Htpasswd>(*std::move(parsed));
  file_state_ = state;
  return {};
}

bool Access::May(const std::string& who, const std::string& repository, Right right) const {
  const definition::RepositoryRule& rule = rules_.RuleFor(repository);
  const auto& grant = right == Right::kRead ? rule.read : right == Right::kPush ? rule.push : rule.remove;
  if (!grant) return !who.empty() || !rules_.HasAuthentication();
  return std::any_of(grant->begin(), grant->end(), [&](const std::string& name) {
    return name == "anonymous" || (!who.empty() && (name == "authenticated" || name == who));
  });
}

std::string Access::RememberedKey(const BasicLogin& login, const std::string& hash) const {
  // With the hash: a password that was changed is not remembered.
  return HmacSha256(key_, login.user + ":" + hash + ":" + login.password);
}

bool Access::IsRemembered(const BasicLogin& login) const {
  const std::shared_ptr<const Htpasswd> users = *users_.lock();
  const auto user = users->users.find(login.user);
  if (user == users->users.end()) return false;
  const std::string key = RememberedKey(login, user->second);
  auto remembered = remembered_.lock();
  const auto found = remembered->find(key);
  return found != remembered->end() && found->second > clock_.Steady();
}

bool Access::Check(const BasicLogin& login, const std::string& address) {
  const std::shared_ptr<const Htpasswd> users = *users_.lock();
  const auto user = users->users.find(login.user);
  const bool known = user != users->users.end();
  if (!PasswordMatches(login.password, known ? user->second : dummy_hash_) || !known) return false;
  failures_.GiveBack(address);
  const SteadyTime now = clock_.Steady();
  auto remembered = remembered_.lock();
  if (remembered->size() >= kMostRemembered) {
    std::erase_if(*remembered, [&](const auto& row) { return row.second <= now; });
    if (remembered->size() >= kMostRemembered) remembered->clear();
  }
  (*remembered)[RememberedKey(login, user->second)] = now + kRememberFor;
  return true;
}

std::unique_ptr<Exchange> Access::Guard(const Request& request, Next next) {
  if (request.authorization.empty()) return Enter(request, request.certificate, nullptr, next);
  if (const auto bearer = ParseBearer(request.authorization)) {
    const auto token = AccessToken::Open(*bearer, key_);
    const auto second =
        std::chrono::duration_cast<std::chrono::seconds>(clock_.Now().time_since_epoch()).count();
    if (!token || token->expires_second <= second)
      return Ready(Challenge(request, Route::Of(request.path), "invalid_token"));
    return Enter(request, token->user.empty() ? request.certificate : token->user, &*token, next);
  }
  auto login = ParseBasic(request.authorization);
  if (!login) return Ready(Challenge(request, Route::Of(request.path), "invalid_request"));
  if (IsRemembered(*login)) return Enter(request, login->user, nullptr, next);
  if (const auto wait = failures_.Take(request.peer, clock_.Steady())) {
    Response response = ErrorAnswer(ErrorCode::kTooManyRequests, "too many log-ins failed; try again later");
    response.With("Retry-After", std::to_string(wait->count()));
    return Ready(std::move(response));
  }
  return std::make_unique<LoginExchange>(*this, request, *std::move(login), std::move(next));
}

std::unique_ptr<Exchange> Access::Enter(const Request& request, const std::string& who,
                                        const AccessToken* token, const Next& next) const {
  if (request.found_who != nullptr) *request.found_who = who;
  const Route route = Route::Of(request.path);
  if (request.path == kTokenPath) {
    if (request.method != "GET")
      return Ready(ErrorAnswer(ErrorCode::kUnsupported, "tokens are got with GET"));
    return Ready(IssueToken(request, who));
  }
  if (auto refusal = Refusal(request, route, who, token)) return Ready(*std::move(refusal));
  Request known = request;
  known.who = who;
  if (route.endpoint == Endpoint::kUploads && request.Parameter("mount") &&
      !MountAllowed(request, who, token)) {
    // As if the blob were not there, which the specification answers with a new upload.
    std::erase_if(known.query,
                  [](const auto& pair) { return pair.first == "mount" || pair.first == "from"; });
  }
  return next(known);
}

std::optional<Response> Access::Refusal(const Request& request, const Route& route, const std::string& who,
                                        const AccessToken* token) const {
  if (route.endpoint == Endpoint::kUnknown) return std::nullopt;  // 404 for everybody
  if (route.endpoint == Endpoint::kBase) {
    // Where a client finds out how to log in, and whether it is.
    if (token != nullptr || !who.empty() || !rules_.HasAuthentication()) return std::nullopt;
    return Challenge(request, route, "");
  }
  if (!IsRepositoryName(route.repository)) return std::nullopt;  // 400 for everybody
  const Scope needed = Needed(route, request.method);
  const Right right = needed.pull ? Right::kRead : needed.push ? Right::kPush : Right::kRemove;
  if (!May(who, route.repository, right)) {
    if (who.empty() && rules_.HasAuthentication()) return Challenge(request, route, "");
    return ErrorAnswer(ErrorCode::kDenied, (who.empty() ? "nobody" : who) + " may not do this in " +
                                               route.repository + " (the host's rules)");
  }
  if (token != nullptr && !TokenHas(*token, needed)) return Challenge(request, route, "insufficient_scope");
  return std::nullopt;
}

bool Access::MountAllowed(const Request& request, const std::string& who, const AccessToken* token) const {
  // From anywhere would be from where it may not read, too.
  const std::string from = request.Parameter("from").value_or("");
  Scope needed;
  needed.repository = from;
  needed.pull = true;
  return IsRepositoryName(from) && May(who, from, Right::kRead) &&
         (token == nullptr || TokenHas(*token, needed));
}

Response Access::Challenge(const Request& request, const Route& route, std::string_view error) const {
  Response response = ErrorAnswer(ErrorCode::kUnauthorized, "log in first, with what may do this");
  const std::string authority = IsAuthority(request.host) ? request.host : "localhost";
  std::string challenge = std::string("Bearer realm=\"") + (request.tls ? "https" : "http") + "://" +
                          authority + std::string(kTokenPath) + "\",service=\"" + std::string(kServiceName) +
                          "\"";
  if (IsRepositoryName(route.repository)) {
    Scope scope = Needed(route, request.method);
    scope.pull |= scope.push;  // who pushes looks first
    challenge += ",scope=\"" + scope.Render();
    if (const auto from = request.Parameter("from"); from && IsRepositoryName(*from))
      challenge += " repository:" + *from + ":pull";
    challenge += "\"";
  }
  if (!error.empty()) challenge += ",error=\"" + std::string(error) + "\"";
  response.With("WWW-Authenticate", std::move(challenge));
  return response;
}

Response Access::IssueToken(const Request& request, const std::string& who) const {
  AccessToken token;
  token.user = who;
  size_t asked = 0;
  for (const auto& [key, value] : request.query) {
    if (key != "scope") continue;
    std::string_view rest = value;
    while (!rest.empty() && asked < kMostScopesAsked) {
      ++asked;
      const std::string_view one = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), one.size() + 1));
      auto scope = Scope::Parse(one);
      if (!scope) continue;
      scope->pull = scope->pull && May(who, scope->repository, Right::kRead);
      scope->push = scope->push && May(who, scope->repository, Right::kPush);
      scope->remove = scope->remove && May(who, scope->repository, Right::kRemove);
      if (!scope->Empty()) token.scopes.push_back(*std::move(scope));
    }
  }
  const auto now = clock_.Now();
  const auto lifetime = std::chrono::ceil<std::chrono::seconds>(rules_.token_lifetime);
  token.expires_second =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() + lifetime.count();
  const std::string text = token.Sign(key_);
  Response response;
  response.With("Content-Type", "application/json").With("Cache-Control", "no-store").text =
      RenderJson(JsonObject{{"token", text},
                            {"access_token", text},
                            {"expires_in", lifetime.count()},
                            {"issued_at", RenderTime(now)}});
  return response;
}

}  // namespace ingot::registry
