// The part of the API that makes and takes back tokens. Root's alone: the caller has been looked at.
#include "app/api.h"

namespace ingot::app {

namespace {

Result<std::vector<std::string>> TextsIn(const JsonObject& object, std::string_view key) {
  std::vector<std::string> out;
  if (!object.contains(key)) return out;
  for (const Json& item : *TRY(GetArray(object, key))) {
    if (!item.is_string()) return Error(Code::kInvalid, std::string(key) + ": expected a list of text");
    out.emplace_back(item.get_string());
  }
  return out;
}

}  // namespace

Result<Json> Api::Tokens(const Request& request, const std::string& name) {
  ApiTokens& tokens = daemon_.tokens();
  if (request.method == "GET" && name.empty()) {
    JsonArray rows;
    const WallTime now = SystemClock().Now();
    for (const ApiToken& token : tokens.List()) {
      Json row = ToJson(token);
      row.get_object()["expired"] = token.expires && *token.expires <= now;
      rows.push_back(std::move(row));
    }
    return Json(JsonObject{{"tokens", std::move(rows)}});
  }
  if (request.method == "PUT" && !name.empty()) {
    const Json body = TRY(ParseJson(request.body));
    if (!body.is_object()) return Error(Code::kInvalid, "expected an object");
    ApiToken token;
    token.name = name;
    token.in = TRY(TextsIn(body.get_object(), "in"));
    token.may = TRY(TextsIn(body.get_object(), "may"));
    token.created_by = request.peer.name;
    std::optional<Milliseconds> lifetime;
    if (body.get_object().contains("lifetime_ms"))
      lifetime = Milliseconds(TRY(GetInt(body.get_object(), "lifetime_ms")));
    const std::string text = TRY(tokens.Create(token, lifetime));
    Json answer(nullptr);
    for (const ApiToken& made : tokens.List())
      if (made.name == name) answer = ToJson(made);
    if (!answer.is_object())
      return Error(Code::kConflict, "the token " + name + " was removed while it was made");
    audit::Draft draft{"", "", "token.created", request.peer.name, answer.as_object()};
    if (auto recorded = daemon_.events().Append({std::move(draft)}); !recorded) {
      // What is not on the record is not given away.
      TRY(tokens.Remove(name));
      return std::move(recorded).error().While("recording that the token was made");
    }
    answer.as_object()["token"] = text;
    return answer;
  }
  if (request.method == "DELETE" && !name.empty()) {
    TRY(tokens.Remove(name));
    TRY(daemon_.events().Append({{"", "", "token.removed", request.peer.name, JsonObject{{"name", name}}}}));
    return Json(JsonObject{{"removed", name}});
  }
  return Error(Code::kNotFound, "the API has no " + request.method + " " + request.path);
}

}  // namespace ingot::app
