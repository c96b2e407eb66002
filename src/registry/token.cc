#include "registry/token.h"

#include <algorithm>
#include <charconv>

#include "base/password.h"
#include "oci/base64.h"
#include "registry/names.h"

namespace ingot::registry {
namespace {

constexpr size_t kMostScopes = 100;
constexpr size_t kSignatureLetters = 44;  // of 32 bytes

bool StartsWithWord(std::string_view text, std::string_view word) {
  return text.size() > word.size() && text[word.size()] == ' ' &&
         std::equal(word.begin(), word.end(), text.begin(),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
}

// The words between spaces.
std::string_view TakeWord(std::string_view& text, char end) {
  const std::string_view word = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

std::string_view CutSpaces(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

}  // namespace

std::optional<Scope> Scope::Parse(std::string_view text) {
  const size_t first = text.find(':');
  const size_t last = text.rfind(':');
  if (first == std::string_view::npos || last == first || text.substr(0, first) != "repository")
    return std::nullopt;
  Scope scope;
  scope.repository = text.substr(first + 1, last - first - 1);
  if (!IsRepositoryName(scope.repository)) return std::nullopt;
  std::string_view actions = text.substr(last + 1);
  while (!actions.empty()) {
    const std::string_view action = TakeWord(actions, ',');
    scope.pull |= action == "pull" || action == "*";
    scope.push |= action == "push" || action == "*";
    scope.remove |= action == "delete" || action == "*";
  }
  return scope;
}

std::string Scope::Render() const {
  std::string actions = pull ? "pull" : "";
  if (push) actions += actions.empty() ? "push" : ",push";
  if (remove) actions += actions.empty() ? "delete" : ",delete";
  return "repository:" + repository + ":" + actions;
}

// SIGNATURE.BASE64(EXPIRES SP USER LF SCOPE LF …), one word of letters that a header may carry.
std::string AccessToken::Sign(std::string_view key) const {
  std::string text = std::to_string(expires_second) + " " + user;
  for (const Scope& scope : scopes) text += "\n" + scope.Render();
  return oci::RenderBase64(HmacSha256(key, text)) + "." + oci::RenderBase64(text);
}

std::optional<AccessToken> AccessToken::Open(std::string_view text, std::string_view key) {
  if (text.size() <= kSignatureLetters || text[kSignatureLetters] != '.') return std::nullopt;
  const auto signature = oci::ParseBase64(text.substr(0, kSignatureLetters));
  const auto body = oci::ParseBase64(text.substr(kSignatureLetters + 1));
  if (!signature || !body || !SameBytes(*signature, HmacSha256(key, *body))) return std::nullopt;
  // From here on it is what Sign wrote.
  std::string_view rest = *body;
  std::string_view head = TakeWord(rest, '\n');
  const std::string_view expires = TakeWord(head, ' ');
  AccessToken token;
  std::from_chars(expires.data(), expires.data() + expires.size(), token.expires_second);
  token.user = head;
  while (!rest.empty() && token.scopes.size() < kMostScopes)
    if (auto scope = Scope::Parse(TakeWord(rest, '\n'))) token.scopes.push_back(*std::move(scope));
  return token;
}

std::optional<BasicLogin> ParseBasic(std::string_view authorization) {
  if (!StartsWithWord(authorization, "basic")) return std::nullopt;
  const auto text = oci::ParseBase64(CutSpaces(authorization.substr(5)));
  if (!text) return std::nullopt;
  const size_t colon = text->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return BasicLogin{text->substr(0, colon), text->substr(colon + 1)};
}

std::optional<std::string_view> ParseBearer(std::string_view authorization) {
  if (!StartsWithWord(authorization, "bearer")) return std::nullopt;
  return CutSpaces(authorization.substr(6));
}

}  // namespace ingot::registry
