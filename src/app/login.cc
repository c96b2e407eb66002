// ingot login, ingot logout: what this user shows another host.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>

#include "app/daemon_client.h"
#include "app/remote_host.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

struct LoginOptions {
  std::string url;
  std::string ca;
  std::string certificate;
  std::string key;
  bool token_stdin = false;
};

Result<std::string> ReadToken(bool from_stdin) {
  std::string token;
  if (from_stdin) {
    std::getline(std::cin, token);
  } else {
    if (::isatty(STDIN_FILENO) != 1)
      return Error(Code::kInvalid,
                   "there is no terminal to ask for the token on; give it with --token-stdin");
    // getpass(3) turns echo off and reads from the terminal itself.
    const char* typed = ::getpass("token: ");
    token = typed == nullptr ? "" : typed;
  }
  while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.empty() || token.size() > 1'000 ||
      token.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") !=
          std::string::npos)
    return Error(Code::kInvalid, "that is no token; root of the host makes one with `ingot token create`");
  return token;
}

// kInvalid unless the host lets us in with it.
Result<std::string> WhoAmI(const std::string& url, const RemoteLogin& login) {
  const auto host = TRY(RemoteHost::Open(url, login));
  const adapters::HttpAnswer answer = TRY(host->Call("GET", "/v1/version", "", {}));
  auto json = ParseJson(answer.body);
  if (answer.status != 200 || !json || !json->is_object() || !json->get_object().contains("api"))
    return Error(Code::kUnavailable, host->url() + ": no Ingot host answers there");
  if (IntOr(json->get_object(), "api", 0) != 1)
    return Error(Code::kUnsupported,
                 host->url() + " speaks version " + std::to_string(IntOr(json->get_object(), "api", 0)) +
                     " of the API, this program 1; use the same version of ingot on both");
  return StringOr(json->get_object(), "you", "?");
}

Result<Json> LogIn(const LoginOptions& options) {
  const registry::ClientUrl parsed = TRY(ParseRemoteUrl(options.url));
  const std::string url = "https://" + parsed.Authority();
  const RemoteLogins logins = TRY(RemoteLogins::Open());
  RemoteLogin login;
  if (!options.ca.empty()) {
    auto bytes = ReadFile(options.ca, 1 << 20);
    if (!bytes) return std::move(bytes).error().While("reading --ca");
    if (bytes->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
      return Error(Code::kInvalid, options.ca + " has no certificate in PEM");
    login.ca = *std::move(bytes);
  }
  if (options.certificate.empty() != options.key.empty())
    return Error(Code::kInvalid, "--certificate and --key belong together");
  if (!options.certificate.empty()) {
    login.certificate = fs::absolute(options.certificate);
    login.key = fs::absolute(options.key);
    for (const fs::path& file : {login.certificate, login.key}) TRY(ReadFile(file, 1 << 20));
  }
  if (options.token_stdin || options.certificate.empty()) login.token = TRY(ReadToken(options.token_stdin));
  const std::string who = TRY(WhoAmI(url, login));
  TRY(logins.Set(url, login));
  return Json(JsonObject{{"host", url}, {"you", who}, {"file", logins.file().string()}});
}

int Login(Invocation& invocation, const LoginOptions& options) {
  return ShowAnswer(invocation, LogIn(options), [](const JsonObject& answer) {
    std::printf("%s knows you as %s\n", StringOr(answer, "host", "").c_str(),
                StringOr(answer, "you", "").c_str());
  });
}

Result<Json> LogOut(const std::string& text) {
  const registry::ClientUrl parsed = TRY(ParseRemoteUrl(text));
  const std::string url = "https://" + parsed.Authority();
  const bool removed = TRY(TRY(RemoteLogins::Open()).Remove(url));
  return Json(JsonObject{{"host", url}, {"removed", removed}});
}

int Logout(Invocation& invocation, const LoginOptions& options) {
  return ShowAnswer(invocation, LogOut(options.url), [](const JsonObject& answer) {
    std::printf(BoolOr(answer, "removed", false)
                    ? "forgot what was kept for %s; the token is good until `ingot token rm` there\n"
                    : "nothing was kept for %s\n",
                StringOr(answer, "host", "").c_str());
  });
}

}  // namespace

void AddLogin(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<LoginOptions>();
  CLI::App* login = AddVerb(app, invocation, "login", "keep a token or certificate for another host",
                            [&invocation, options] { return Login(invocation, *options); });
  login->add_option("url", options->url, "its API: https://HOST:PORT")->required();
  login->add_flag("--token-stdin", options->token_stdin, "read the token from standard input, do not ask");
  login
      ->add_option("--ca", options->ca,
                   "PEM: whom its certificate is believed by (default: the system's authorities)")
      ->type_name("FILE");
  login->add_option("--certificate", options->certificate, "PEM: a client certificate in place of a token")
      ->type_name("FILE");
  login->add_option("--key", options->key, "PEM: its private key")->type_name("FILE");
  login->footer(
      "The host is asked first; what it does not know is not kept. In a CI job no log-in is needed: "
      "INGOT_TOKEN,\n"
      "INGOT_CA, INGOT_CLIENT_CERT and INGOT_CLIENT_KEY say the same.");
  CLI::App* logout = AddVerb(app, invocation, "logout", "forget what is kept for another host",
                             [&invocation, options] { return Logout(invocation, *options); });
  logout->add_option("url", options->url, "its API: https://HOST:PORT")->required();
}

}  // namespace ingot::app
