#include "adapters/acme_client.h"

#include <time.h>

#include <algorithm>
#include <charconv>

namespace ingot::adapters {

namespace {

constexpr size_t kMaxAcmeBody = 1 << 20;
constexpr int kNonceAttempts = 20;
constexpr Milliseconds kFirstPoll{250};
constexpr Milliseconds kLongestPoll{5000};
constexpr std::string_view kErrorPrefix = "urn:ietf:params:acme:error:";

// An authority's texts go to logs and terminals.
std::string Printable(std::string_view text) {
  std::string out(text.substr(0, 500));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  return out;
}

std::string TypeOf(const JsonObject& problem) {
  const std::string type = StringOr(problem, "type", "");
  return type.starts_with(kErrorPrefix) ? type.substr(kErrorPrefix.size()) : type;
}

Error Strange(const std::string& url, const std::string& what) {
  return Error(Code::kInvalid, Printable(url) + " does not answer as an ACME authority does: " + what);
}

Result<std::string> AcmeUrl(const JsonObject& object, std::string_view key, const std::string& from) {
  const std::string text = StringOr(object, key, "");
  if (text.size() > 2000 || !registry::ClientUrl::Parse(text))
    return Strange(from, std::string(key) + " is no URL");
  return text;
}

}  // namespace

std::string RenderProblem(const Json& problem) {
  if (!problem.is_object()) return "no reason given";
  const JsonObject& fields = problem.get_object();
  std::string out = Printable(TypeOf(fields));
  const std::string detail = Printable(StringOr(fields, "detail", ""));
  if (!detail.empty()) out += (out.empty() ? "" : ": ") + detail;
  if (const Json* parts = fields.if_contains("subproblems"); parts != nullptr && parts->is_array())
    for (const Json& part : parts->get_array())
      if (out.size() < 2000) out += "; " + RenderProblem(part);
  return out.empty() ? "no reason given" : out;
}

std::optional<Milliseconds> ParseRetryAfter(std::string_view text, WallTime now) {
  constexpr int64_t kDay = 24 * 3600;
  int64_t seconds = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty()) return std::nullopt;
  if (ec != std::errc() || end != text.data() + text.size()) {
    struct tm parts {};
    const std::string copy(text);
    if (::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
    const auto at = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    seconds = static_cast<int64_t>(::timegm(&parts)) - at;
  }
  return std::chrono::seconds(std::clamp<int64_t>(seconds, 0, kDay));
}

Result<AcmeClient::Reply> AcmeClient::Exchange(const std::string& url, const std::string& body) {
  registry::ClientRequest request;
  request.url = TRY(registry::ClientUrl::Parse(url));
  request.timeout = Milliseconds(30'000);
  request.cancelled = options_.cancelled;
  if (!body.empty()) {
    request.method = "POST";
    request.headers = {{"Content-Type", "application/jose+json"}};
    registry::ClientUpload upload;
    upload.size_bytes = body.size();
    upload.read = [rest = std::string_view(body)](char* buffer, size_t size) mutable -> Result<size_t> {
      const size_t n = rest.copy(buffer, size);
      rest.remove_prefix(n);
      return n;
    };
    request.upload = std::move(upload);
  }
  Reply reply;
  const registry::ClientResponse head =
      TRY(http_.Send(request, [&](const registry::ClientResponse&, std::string_view piece) -> Result<void> {
        if (reply.body.size() + piece.size() > kMaxAcmeBody) return Strange(url, "an answer without an end");
        reply.body += piece;
        return {};
      }));
  reply.status = head.status;
  reply.location = head.Header("location");
  reply.retry_after = ParseRetryAfter(head.Header("retry-after"), SystemClock().Now());
  if (const std::string_view nonce = head.Header("replay-nonce"); !nonce.empty() && nonce.size() < 1000)
    nonce_ = nonce;
  if (auto json = ParseJson(reply.body); json) reply.json = std::move(*json);
  return reply;
}

Result<void> AcmeClient::LoadDirectory() {
  if (!new_order_.empty()) return {};
  const Reply reply = TRY(Exchange(options_.directory, ""));
  if (reply.status != 200 || !reply.json.is_object())
    return Strange(options_.directory, "status " + std::to_string(reply.status) + ", and no directory");
  const JsonObject& directory = reply.json.get_object();
  new_nonce_ = TRY(AcmeUrl(directory, "newNonce", options_.directory));
  new_account_ = TRY(AcmeUrl(directory, "newAccount", options_.directory));
  new_order_ = TRY(AcmeUrl(directory, "newOrder", options_.directory));
  return {};
}

Result<std::string> AcmeClient::TakeNonce() {
  if (nonce_.empty()) TRY(Exchange(new_nonce_, ""));
  if (nonce_.empty()) return Strange(new_nonce_, "no Replay-Nonce");
  return std::exchange(nonce_, "");
}

Result<AcmeClient::Reply> AcmeClient::Post(const std::string& url, const std::string& payload) {
  retry_after_.reset();
  for (int attempt = 1;; ++attempt) {
    JsonObject header{{"nonce", TRY(TakeNonce())}, {"url", url}};
    if (account_url_.empty())
      header["jwk"] = account_.Jwk();
    else
      header["kid"] = account_url_;
    Reply reply = TRY(Exchange(url, TRY(account_.Sign(std::move(header), payload))));
    if (reply.status < 400) return reply;
    const std::string type = reply.json.is_object() ? TypeOf(reply.json.get_object()) : "";
    // RFC 8555, 6.5: the answer brings a fresh one.
    if (type == "badNonce" && attempt < kNonceAttempts) continue;
    retry_after_ = reply.retry_after;
    const std::string words = "the authority says " + RenderProblem(reply.json);
    if (reply.status == 404) return Error(Code::kNotFound, words);
    if (type == "accountDoesNotExist") account_url_.clear();
    return Error(reply.status >= 500 ? Code::kUnavailable : Code::kRefused,
                 words + " (status " + std::to_string(reply.status) + ")");
  }
}

Result<JsonObject> AcmeClient::Get(const std::string& url, std::optional<Milliseconds>* again) {
  Reply reply = TRY(Post(url, ""));
  if (!reply.json.is_object()) return Strange(url, "no JSON");
  if (again != nullptr) *again = reply.retry_after;
  return std::move(reply.json.get_object());
}

Result<void> AcmeClient::EnsureAccount() {
  TRY(LoadDirectory());
  if (!account_url_.empty()) return {};
  // One that is there already is the answer, not a second one: the key is who we are.
  JsonObject account{{"termsOfServiceAgreed", true}};
  if (!options_.email.empty()) account["contact"] = JsonArray{"mailto:" + options_.email};
  const Reply reply = TRY(Post(new_account_, RenderJson(account)));
  if (reply.location.empty()) return Strange(new_account_, "an account without a URL");
  account_url_ = reply.location;
  return {};
}

Result<std::string> AcmeClient::NewOrder(const std::string& name) {
  TRY(EnsureAccount());
  const JsonObject order{{"identifiers", JsonArray{JsonObject{{"type", "dns"}, {"value", name}}}}};
  const Reply reply = TRY(Post(new_order_, RenderJson(order)));
  if (!registry::ClientUrl::Parse(reply.location)) return Strange(new_order_, "an order without a URL");
  return reply.location;
}

// Asks until the state is neither of the two.
Result<JsonObject> AcmeClient::Await(const std::string& url, const std::string& pending,
                                     const std::string& also) {
  Milliseconds waited{0};
  for (Milliseconds pause = kFirstPoll;; pause = std::min(pause * 2, kLongestPoll)) {
    std::optional<Milliseconds> again;
    JsonObject object = TRY(Get(url, &again));
    const std::string status = StringOr(object, "status", "");
    if (status != pending && status != also) return object;
    const Milliseconds next = std::max(pause, std::min(again.value_or(pause), 4 * kLongestPoll));
    waited += next;
    if (waited > options_.patience)
      return Error(Code::kTimeout,
                   "the authority does not decide: " + Printable(url) + " is still " + status);
    if (!options_.wait(next)) return Error(Code::kCancelled, "not needed any more");
  }
}

Result<void> AcmeClient::Authorize(const std::string& url) {
  const JsonObject authorization = TRY(Get(url));
  std::string status = StringOr(authorization, "status", "");
  if (status == "valid") return {};
  std::string token;
  std::string challenge_url;
  bool answered = false;
  for (const Json& item : *TRY(GetArray(authorization, "challenges"))) {
    if (!item.is_object() || StringOr(item.get_object(), "type", "") != "http-01") continue;
    token = StringOr(item.get_object(), "token", "");
    challenge_url = TRY(AcmeUrl(item.get_object(), "url", url));
    answered = StringOr(item.get_object(), "status", "") != "pending";
  }
  if (status == "pending") {
    const bool plain =
        !token.empty() && token.size() <= 256 && std::all_of(token.begin(), token.end(), [](unsigned char c) {
          return std::isalnum(c) != 0 || c == '-' || c == '_';
        });
    if (!plain)
      return Error(Code::kRefused, "the authority offers no http-01 challenge, and no other is known here");
    published_[token] = account_.Authorization(token);
    TRY(options_.publish(published_));
    if (!answered) TRY(Post(challenge_url, "{}"));
  }
  const JsonObject decided = TRY(Await(url, "pending", "processing"));
  status = StringOr(decided, "status", "");
  if (status == "valid") return {};
  std::string why = status;
  if (const Json* challenges = decided.if_contains("challenges");
      challenges != nullptr && challenges->is_array())
    for (const Json& item : challenges->get_array())
      if (item.is_object() && item.get_object().contains("error"))
        why = RenderProblem(item.get_object().at("error"));
  return Error(Code::kNotFound, "the authority could not prove the name: " + why);
}

Result<std::string> AcmeClient::Finish(const std::string& url, const std::string& request) {
  TRY(EnsureAccount());
  published_.clear();
  const auto work = [&]() -> Result<std::string> {
    JsonObject order = TRY(Get(url));
    if (StringOr(order, "status", "") == "pending") {
      for (const Json& item : *TRY(GetArray(order, "authorizations"))) {
        if (!item.is_string() || !registry::ClientUrl::Parse(item.get_string()))
          return Strange(url, "authorizations are no URLs");
        TRY(Authorize(std::string(item.get_string())));
      }
      order = TRY(Await(url, "pending", ""));
    }
    if (StringOr(order, "status", "") == "ready") {
      const std::string finalize = TRY(AcmeUrl(order, "finalize", url));
      TRY(Post(finalize, RenderJson(JsonObject{{"csr", RenderBase64Url(request)}})));
    }
    order = TRY(Await(url, "processing", "ready"));
    if (StringOr(order, "status", "") != "valid")
      return Error(Code::kNotFound, "the authority gave the order up: " +
                                        (order.contains("error") ? RenderProblem(order.at("error"))
                                                                 : StringOr(order, "status", "")));
    Reply chain = TRY(Post(TRY(AcmeUrl(order, "certificate", url)), ""));
    if (chain.body.find("-----BEGIN CERTIFICATE-----") == std::string::npos)
      return Strange(url, "a certificate that is none");
    return std::move(chain.body);
  };
  auto done = work();
  if (!published_.empty()) {
    published_.clear();
    // It stays answered until the next order: nobody is harmed by that, so it is no failure.
    static_cast<void>(options_.publish({}).has_value());
  }
  return done;
}

}  // namespace ingot::adapters
