// ingot token: who may come from another host.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/daemon_client.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "base/units.h"

namespace ingot::app {

namespace {

struct TokenOptions {
  std::string name;
  std::vector<std::string> in;
  std::vector<std::string> may;
  std::string lifetime;
};

std::string TokenPath(const std::string& name) {
  return "/v1/tokens/" + adapters::PercentEncode(name);
}

JsonArray ListOf(const std::vector<std::string>& texts) {
  JsonArray out;
  for (const std::string& text : texts) out.emplace_back(text);
  return out;
}

std::string Joined(const JsonObject& object, std::string_view key) {
  std::string out;
  if (const auto list = GetArray(object, key))
    for (const Json& item : **list)
      if (item.is_string()) out += (out.empty() ? "" : ",") + std::string(item.get_string());
  return out.empty() ? "-" : out;
}

int CreateToken(Invocation& invocation, const TokenOptions& options) {
  std::vector<std::string> may = options.may;
  if (may.empty() && !options.in.empty()) may = {"deploy", "rollback", "scale", "secret", "read"};
  JsonObject body{{"in", ListOf(options.in)}, {"may", ListOf(may)}};
  if (!options.lifetime.empty()) {
    auto lifetime = ParseDuration(options.lifetime);
    if (!lifetime) return Report(invocation, std::move(lifetime).error().While("reading --for"));
    body["lifetime_ms"] = lifetime->count();
  }
  const Json document = std::move(body);
  DaemonClient client(invocation.layout());
  return ShowAnswer(
      invocation, client.Call("PUT", TokenPath(options.name), &document), [](const JsonObject& token) {
        // The token alone on stdout, so that it can go into a file or a secret of a CI system.
        std::fprintf(
            stderr, "token:%s may %s in %s%s; it is shown only now\n", StringOr(token, "name", "").c_str(),
            Joined(token, "may").c_str(), Joined(token, "in").c_str(),
            StringOr(token, "expires", "").empty() ? ""
                                                   : (", until " + StringOr(token, "expires", "")).c_str());
        if (Joined(token, "may") == "-")
          std::fprintf(stderr, "what it may is for `access` of a definition to say, or for --in and --may\n");
        std::printf("%s\n", StringOr(token, "token", "").c_str());
      });
}

int ListTokens(Invocation& invocation) {
  DaemonClient client(invocation.layout());
  return ShowAnswer(invocation, client.Call("GET", "/v1/tokens"), [](const JsonObject& answer) {
    std::vector<std::vector<std::string>> table = {{"TOKEN", "MAY", "IN", "EXPIRES", "CREATED", "BY"}};
    if (const auto rows = GetArray(answer, "tokens"))
      for (const Json& item : **rows) {
        if (!item.is_object()) continue;
        const JsonObject& token = item.get_object();
        const std::string expires = StringOr(token, "expires", "never");
        table.push_back({StringOr(token, "name", ""), Joined(token, "may"), Joined(token, "in"),
                         BoolOr(token, "expired", false) ? Paint(Colour::kRed, "expired") : expires,
                         StringOr(token, "created", ""), StringOr(token, "created_by", "")});
      }
    if (table.size() == 1) return static_cast<void>(std::puts("no tokens"));
    std::fputs(RenderTable(table).c_str(), stdout);
  });
}

int RemoveToken(Invocation& invocation, const TokenOptions& options) {
  DaemonClient client(invocation.layout());
  return ShowAnswer(invocation, client.Call("DELETE", TokenPath(options.name)), [](const JsonObject& answer) {
    std::printf("token:%s may nothing any more\n", StringOr(answer, "removed", "").c_str());
  });
}

}  // namespace

void AddToken(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("token", "who may use this host's API from another one");
  verb->require_subcommand(1);
  auto options = std::make_shared<TokenOptions>();
  CLI::App* create = AddVerb(*verb, invocation, "create", "make a token and show it, once",
                             [&invocation, options] { return CreateToken(invocation, *options); });
  create->add_option("name", options->name, "for the record: token:NAME")->required();
  create->add_option("--in", options->in, "where it counts: PROJECT/ENVIRONMENT, * for any of them")
      ->type_name("PLACE");
  create
      ->add_option(
          "--may", options->may,
          "deploy, rollback, promote, scale, secret, destroy, read; or admin alone: everything, everywhere "
          "(default: all but promote and destroy)")
      ->delimiter(',')
      ->type_name("RIGHTS");
  create->add_option("--for", options->lifetime, "how long it is good (default: for ever)")->type_name("90d");
  create->footer(
      "Without --in it may what `access` of a definition lets its member token:NAME. Whoever has it gives it "
      "to\n"
      "`ingot login https://THIS-HOST:PORT --token-stdin`, or as INGOT_TOKEN. host.yaml says where the API "
      "listens.");
  AddVerb(*verb, invocation, "ls", "every token, without its secret",
          [&invocation] { return ListTokens(invocation); });
  CLI::App* remove = AddVerb(*verb, invocation, "rm", "take a token back: from now on it is nobody's",
                             [&invocation, options] { return RemoveToken(invocation, *options); });
  remove->add_option("name", options->name, "its name")->required();
}

}  // namespace ingot::app
