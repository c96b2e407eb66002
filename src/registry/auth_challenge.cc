#include "registry/auth_challenge.h"

#include <algorithm>

#include "base/json.h"

namespace ingot::registry {
namespace {

constexpr size_t kMaxChallenge = 8 << 10;
constexpr size_t kMaxTokenText = 64 << 10;

bool IsTokenLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

Error NoChallenge(std::string_view why) {
  return Error(Code::kInvalid, "The header WWW-Authenticate is malformed: " + std::string(why));
}

class ChallengeReader {
 public:
  explicit ChallengeReader(std::string_view text) : rest_(text) {}

  Result<std::vector<AuthChallenge>> Read() {
    while (true) {
      SkipSpace(true);
      if (rest_.empty()) break;
      const std::string name = LowerToken();
      if (name.empty()) return NoChallenge("expected a name");
      SkipSpace(false);
      if (rest_.starts_with('=')) {
        if (challenges_.empty()) return NoChallenge("a parameter stands before any scheme");
        rest_.remove_prefix(1);
        SkipSpace(false);
        challenges_.back().parameters.insert_or_assign(name, TRY(Value()));
        continue;
      }
      challenges_.push_back({name, {}});
      SkipToken68();
    }
    return std::move(challenges_);
  }

 private:
  void SkipSpace(bool commas) {
    while (!rest_.empty() &&
           (rest_.front() == ' ' || rest_.front() == '\t' || (commas && rest_.front() == ',')))
      rest_.remove_prefix(1);
  }
  std::string LowerToken() {
    std::string out;
    while (!rest_.empty() && IsTokenLetter(rest_.front())) {
      const char c = rest_.front();
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      rest_.remove_prefix(1);
    }
    return out;
  }
  Result<std::string> Value() {
    std::string out;
    if (!rest_.starts_with('"')) {
      while (!rest_.empty() && IsTokenLetter(rest_.front())) {
        out += rest_.front();
        rest_.remove_prefix(1);
      }
      if (out.empty()) return NoChallenge("a parameter has no value");
      return out;
    }
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      out += rest_.front();
      rest_.remove_prefix(1);
    }
    if (rest_.empty()) return NoChallenge("a quotation mark is missing");
    rest_.remove_prefix(1);
    return out;
  }
  // "Negotiate abc==": a value of its own instead of parameters.
  void SkipToken68() {
    size_t n = 0;
    while (n < rest_.size() && (IsTokenLetter(rest_[n]) || rest_[n] == '/')) ++n;
    if (n == 0) return;
    while (n < rest_.size() && rest_[n] == '=') ++n;
    const size_t next = std::min(rest_.find_first_not_of(" \t", n), rest_.size());
    if (next == rest_.size() || rest_[next] == ',') rest_.remove_prefix(n);
  }

  std::string_view rest_;
  std::vector<AuthChallenge> challenges_;
};

}  // namespace

std::string AuthChallenge::Parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  return found == parameters.end() ? "" : found->second;
}

Result<std::vector<AuthChallenge>> ParseChallenges(std::string_view header) {
  if (header.size() > kMaxChallenge) return NoChallenge("it is longer than 8 KiB");
  return ChallengeReader(header).Read();
}

Result<AuthToken> ParseAuthToken(std::string_view bytes) {
  const Json json = TRY(ParseJson(bytes));
  const JsonObject* object = json.if_object();
  if (object == nullptr) return Error(Code::kInvalid, "expected a JSON object with a token");
  AuthToken token;
  token.token = StringOr(*object, "token", "");
  if (token.token.empty()) token.token = StringOr(*object, "access_token", "");
  if (token.token.empty()) return Error(Code::kInvalid, "there is no token in it");
  const auto sendable = [](char c) { return c > ' ' && c < 127; };
  if (token.token.size() > kMaxTokenText || !std::all_of(token.token.begin(), token.token.end(), sendable))
    return Error(Code::kInvalid, "its token cannot be sent in a header");
  token.expires_in_s = static_cast<int>(std::clamp<int64_t>(IntOr(*object, "expires_in", 60), 60, 86'400));
  return token;
}

}  // namespace ingot::registry
