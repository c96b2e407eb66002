#include "app/api_tokens.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

#include "base/sha256.h"
#include "definition/scalars.h"

namespace ingot::app {

namespace {

constexpr std::string_view kTokenPrefix = "ingot_";  // for who searches files for secrets
constexpr size_t kMostTokens = 1'000;
constexpr size_t kMostPlaces = 100;
constexpr std::array<std::string_view, 7> kTokenRights{"deploy",   "destroy", "promote", "read",
                                                       "rollback", "scale",   "secret"};

// Takes as long wherever they differ.
bool SameDigits(std::string_view a, std::string_view b) {
  unsigned char different = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    different |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  return different == 0;
}

Json TextList(const std::vector<std::string>& texts) {
  JsonArray out;
  for (const std::string& text : texts) out.emplace_back(text);
  return out;
}

bool IsPlace(std::string_view text) {
  if (text == "**") return true;
  const size_t slash = text.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == text.size() || text.size() > 100)
    return false;
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-*?/") == std::string_view::npos &&
         text.find('/', slash + 1) == std::string_view::npos;
}

Result<void> CheckToken(ApiToken& token) {
  if (!definition::IsTokenName(token.name))
    return Error(Code::kInvalid,
                 "\"" + token.name +
                     "\" is no name of a token: expected lower-case letters, digits, - _ and ., at "
                     "most 63");
  std::sort(token.may.begin(), token.may.end());
  token.may.erase(std::unique(token.may.begin(), token.may.end()), token.may.end());
  const bool admin = std::find(token.may.begin(), token.may.end(), "admin") != token.may.end();
  if (admin && (token.may.size() > 1 || !token.in.empty()))
    return Error(Code::kInvalid, "admin may everything, everywhere: it stands alone");
  for (const std::string& right : token.may)
    if (!admin && std::find(kTokenRights.begin(), kTokenRights.end(), right) == kTokenRights.end())
      return Error(Code::kInvalid,
                   "\"" + right +
                       "\" is nothing that a token may: expected deploy, rollback, promote, scale, secret, "
                       "destroy, read, or admin alone");
  if (token.in.size() > kMostPlaces)
    return Error(Code::kInvalid,
                 "more than the " + std::to_string(kMostPlaces) + " places that a token may have");
  for (const std::string& place : token.in)
    if (!IsPlace(place))
      return Error(Code::kInvalid,
                   "\"" + place + "\" is no place: expected PROJECT/ENVIRONMENT, with * for any of them");
  if (!admin && token.may.empty() != token.in.empty())
    return Error(Code::kInvalid,
                 token.may.empty() ? "what may it do there? Say --may" : "where may it do that? Say --in");
  return {};
}

Json ToFile(const ApiToken& token) {
  Json json = ToJson(token);
  json.get_object()["sha256"] = token.hash;
  return json;
}

Result<std::vector<std::string>> TextsOf(const JsonObject& object, std::string_view key) {
  std::vector<std::string> out;
  for (const Json& item : *TRY(GetArray(object, key))) {
    if (!item.is_string()) return Error(Code::kInvalid, std::string(key) + ": expected text");
    out.emplace_back(item.get_string());
  }
  return out;
}

Result<ApiToken> FromFile(const Json& json) {
  if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
  const JsonObject& object = json.get_object();
  ApiToken token;
  token.name = TRY(GetString(object, "name"));
  token.hash = TRY(GetString(object, "sha256"));
  if (token.hash.size() != 64) return Error(Code::kInvalid, "sha256: expected 64 digits");
  token.in = TRY(TextsOf(object, "in"));
  token.may = TRY(TextsOf(object, "may"));
  token.created = TRY(ParseTime(TRY(GetString(object, "created"))));
  token.created_by = TRY(GetString(object, "created_by"));
  if (const std::string expires = StringOr(object, "expires", ""); !expires.empty())
    token.expires = TRY(ParseTime(expires));
  TRY(CheckToken(token));
  return token;
}

Result<std::string> NewToken() {
  std::array<char, 32> bytes;
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = ::getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "get random bytes for a token");
    have += static_cast<size_t>(n);
  }
  return std::string(kTokenPrefix) + Hex(std::string_view(bytes.data(), bytes.size()));
}

}  // namespace

Json ToJson(const ApiToken& token) {
  return JsonObject{{"name", token.name},
                    {"in", TextList(token.in)},
                    {"may", TextList(token.may)},
                    {"created", RenderTime(token.created)},
                    {"created_by", token.created_by},
                    {"expires", token.expires ? Json(RenderTime(*token.expires)) : Json(nullptr)}};
}

Result<std::unique_ptr<ApiTokens>> ApiTokens::Open(fs::path file, const Clock& clock) {
  std::unique_ptr<ApiTokens> made(new ApiTokens(std::move(file), clock));
  auto bytes = ReadFile(made->file_, 16 << 20);
  if (!bytes && bytes.error().code() == Code::kNotFound) return made;
  if (!bytes) return std::move(bytes).error();
  const auto read = [&]() -> Result<void> {
    const Json json = TRY(ParseJson(*bytes));
    if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
    if (TRY(GetInt(json.get_object(), "version")) != 1)
      return Error(Code::kInvalid, "it is of another version");
    auto tokens = made->tokens_.lock();
    for (const Json& item : *TRY(GetArray(json.get_object(), "tokens")))
      tokens->push_back(TRY(FromFile(item)));
    return {};
  };
  if (auto done = read(); !done)
    return Error(Code::kCorrupt, made->file_.string() + " cannot be read: " + done.error().Render() +
                                     "; remove it, and make the tokens anew");
  return made;
}

Result<void> ApiTokens::Save(const std::vector<ApiToken>& tokens) const {
  JsonArray rows;
  for (const ApiToken& token : tokens) rows.push_back(ToFile(token));
  return WriteFileAtomic(file_, RenderPretty(JsonObject{{"version", 1}, {"tokens", std::move(rows)}}) + "\n",
                         0600);
}

Result<std::string> ApiTokens::Create(ApiToken wanted, std::optional<Milliseconds> lifetime) {
  TRY(CheckToken(wanted));
  if (lifetime && (*lifetime <= Milliseconds(0) || *lifetime > std::chrono::hours(24 * 3650)))
    return Error(Code::kInvalid, "a token is good for up to ten years");
  const std::string token = TRY(NewToken());
  wanted.hash = Sha256Hex(token);
  wanted.created = clock_.Now();
  if (lifetime) wanted.expires = wanted.created + *lifetime;
  auto tokens = tokens_.lock();
  std::vector<ApiToken> next;
  for (const ApiToken& known : *tokens) {
    if (known.name != wanted.name) {
      next.push_back(known);
    } else if (!known.expires || *known.expires > clock_.Now()) {
      return Error(Code::kExists,
                   "there is a token " + wanted.name + "; remove it first, or choose another name");
    }
  }
  if (next.size() >= kMostTokens)
    return Error(Code::kRefused, "there are " + std::to_string(kMostTokens) + " tokens; remove some first");
  next.push_back(std::move(wanted));
  std::sort(next.begin(), next.end(), [](const ApiToken& a, const ApiToken& b) { return a.name < b.name; });
  TRY(Save(next));
  unsaved_ = false;
  *tokens = std::move(next);
  return token;
}

Result<void> ApiTokens::Remove(const std::string& name) {
  auto tokens = tokens_.lock();
  std::vector<ApiToken> next = *tokens;
  const bool none = std::erase_if(next, [&](const ApiToken& token) { return token.name == name; }) == 0;
  if (none && !unsaved_)
    return Error(Code::kNotFound, "there is no token " + name + "; `ingot token ls` lists them");
  // Not good any more even if the disk does not take it: whoever removes it wants that first.
  *tokens = next;
  auto saved = Save(next);
  // So that it can be said again: the file would bring it back with the next daemon.
  unsaved_ = !saved;
  return saved;
}

std::vector<ApiToken> ApiTokens::List() {
  return *tokens_.lock();
}

std::optional<ApiToken> ApiTokens::Find(std::string_view token) {
  const std::string hash = Sha256Hex(token);
  const WallTime now = clock_.Now();
  std::optional<ApiToken> found;
  auto tokens = tokens_.lock();
  for (const ApiToken& known : *tokens)
    if (SameDigits(known.hash, hash) && (!known.expires || *known.expires > now)) found = known;
  return found;
}

}  // namespace ingot::app
