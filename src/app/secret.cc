// ingot secret: the values that services, jobs and checks are given, by name.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/daemon_client.h"
#include "app/hidden_input.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "base/aead.h"
#include "base/clock.h"
#include "base/units.h"

namespace ingot::app {

namespace {

constexpr size_t kLargestSecret = size_t{1} << 20;

struct SecretOptions {
  std::string name;
  std::string from_file;
  std::string version;
  bool force = false;
};

Result<std::string> SecretTarget(const Invocation& invocation, const std::string& name = "",
                                 const std::string& query = "") {
  return EnvironmentPath(TRY(ProjectName(invocation)), invocation.environment,
                         "/secrets" + (name.empty() ? "" : "/" + adapters::PercentEncode(name)) + query);
}

// Byte for byte; typed on a terminal, without the end of its line.
Result<SecretText> ReadValue(const SecretOptions& options) {
  SecretText value(options.from_file.empty() || options.from_file == "-"
                       ? TRY(ReadHidden("value of " + options.name + ": ", kLargestSecret))
                       : TRY(ReadFile(options.from_file, kLargestSecret)));
  if (value.text().empty())
    return Error(Code::kInvalid, "the value is empty; a command that was to print it may have failed");
  return value;
}

Result<Json> SetSecret(const Invocation& invocation, const SecretOptions& options) {
  const std::string target = TRY(SecretTarget(invocation, options.name));
  const SecretText value = TRY(ReadValue(options));
  DaemonClient client(invocation);
  return ParseJson(TRY(client.CallRaw("PUT", target, value.text())));
}

// What the definition here names in the place of `name`; empty: it names that, or cannot be read just now.
std::string NotNamedHere(const Invocation& invocation, const std::string& name) {
  const auto parsed = ParseProject(invocation);
  if (!parsed || !parsed->definition || parsed->definition->secrets.contains(name)) return "";
  std::vector<std::string> names;
  for (const auto& [named, source] : parsed->definition->secrets) names.push_back(named);
  const std::string nearest = Nearest(name, names);
  return invocation.file + " here names no secret " + name +
         (nearest.empty() ? "; the value is kept until its `secrets` do" : "; did you mean " + nearest + "?");
}

std::string UsersOfVersion(const JsonObject& version) {
  std::string out;
  if (const Json* revisions = version.if_contains("revisions"); revisions != nullptr && revisions->is_array())
    for (const Json& revision : revisions->get_array())
      out += (out.empty() ? "r" : ", r") + RenderJson(revision);
  if (out.empty()) out = BoolOr(version, "needed", false) ? "a run or a webhook" : "–";
  if (BoolOr(version, "active", false)) out += " (serves)";
  return out;
}

void ShowSecrets(const JsonObject& answer) {
  std::vector<std::vector<std::string>> rows{{"SECRET", "VERSION", "SET", "BY", "NEEDED BY"}};
  std::vector<std::string> problems;
  const WallTime now = SystemClock().Now();
  const Json* listed = answer.if_contains("secrets");
  if (listed == nullptr || !listed->is_array()) return;
  for (const Json& secret : listed->get_array()) {
    std::string name = StringOr(secret.as_object(), "name", "");
    for (const Json& one : secret.as_object().at("versions").as_array()) {
      const JsonObject& version = one.as_object();
      const auto set = ParseTime(StringOr(version, "set", ""));
      const std::string problem = StringOr(version, "problem", "");
      if (!problem.empty()) problems.push_back(problem);
      const std::string text = StringOr(version, "version", "");
      rows.push_back(
          {std::exchange(name, ""), problem.empty() ? text : Paint(Colour::kRed, text + " damaged"),
           set ? RenderAge(*set, now) + " ago" : "?", StringOr(version, "by", "–"), UsersOfVersion(version)});
    }
  }
  if (rows.size() == 1)
    std::puts("no secrets here; `ingot secret set NAME` keeps one");
  else
    std::fputs(RenderTable(rows).c_str(), stdout);
  for (const std::string& problem : problems)
    std::fprintf(stderr, "%s %s\n", Paint(Colour::kRed, "damaged:").c_str(), problem.c_str());
}

void ShowRemoved(const JsonObject& answer) {
  const Json* removed = answer.if_contains("removed");
  const size_t count = removed != nullptr && removed->is_array() ? removed->get_array().size() : 0;
  std::printf("%zu version%s of %s %s removed\n", count, count == 1 ? "" : "s",
              StringOr(answer, "name", "").c_str(), count == 1 ? "is" : "are");
}

int WithTarget(Invocation& invocation, const Result<std::string>& target, const char* method,
               const std::function<void(const JsonObject&)>& show) {
  if (!target) return Report(invocation, target.error());
  DaemonClient client(invocation);
  return ShowAnswer(invocation, client.Call(method, *target), show);
}

int RemoveSecret(Invocation& invocation, const SecretOptions& options) {
  std::string query;
  if (!options.version.empty()) query += "?version=" + adapters::PercentEncode(options.version);
  if (options.force) query += query.empty() ? "?force=1" : "&force=1";
  return WithTarget(invocation, SecretTarget(invocation, options.name, query), "DELETE", ShowRemoved);
}

}  // namespace

void AddSecret(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<SecretOptions>();
  CLI::App* secret = app.add_subcommand("secret", "the encrypted store of secrets");
  secret->require_subcommand(1);
  const auto add = [&](const char* name, const char* about, std::function<int()> run) {
    CLI::App* verb = AddVerb(*secret, invocation, name, about, std::move(run));
    AddProjectOptions(*verb, invocation);
    return verb;
  };
  CLI::App* set = add("set", "keep a value as the newest version", [&invocation, options] {
    const auto answer = SetSecret(invocation, *options);
    const std::string unknown = answer ? NotNamedHere(invocation, options->name) : "";
    const int code = ShowAnswer(invocation, answer, [&](const JsonObject& shown) {
      const bool changed = BoolOr(shown, "changed", true);
      std::printf("%s of %s %s version %s%s\n", StringOr(shown, "name", "").c_str(),
                  invocation.environment.c_str(),
                  changed ? "is now" : "has that value already:", StringOr(shown, "version", "").c_str(),
                  changed && unknown.empty() ? "; `ingot apply` rolls it out" : "");
    });
    if (!unknown.empty())
      std::fprintf(stderr, "%s %s\n", Paint(Colour::kYellow, "note:").c_str(), unknown.c_str());
    return code;
  });
  set->add_option("name", options->name, "as the definition's `secrets` name it")->required();
  set->add_option("--from-file", options->from_file,
                  "take the bytes of this file (default: of standard input; a terminal is asked)");
  set->footer(
      "The value is taken byte for byte, so of `echo` with the end of its line; `printf %s` has none.");

  add("ls", "names, versions, and the revisions that need them",
      [&invocation] { return WithTarget(invocation, SecretTarget(invocation), "GET", ShowSecrets); });

  CLI::App* remove = add("rm", "remove a secret, or one version of it",
                         [&invocation, options] { return RemoveSecret(invocation, *options); });
  remove->add_option("name", options->name, "of the secret")->required();
  remove->add_option("--version", options->version, "only this one");
  remove->add_flag("--force", options->force, "also what a kept revision needs");
  remove->footer("Refused while something needs it. Nothing brings it back.");

  AddVerb(*secret, invocation, "rotate-key", "seal every secret of this host by a new key", [&invocation] {
    DaemonClient client(invocation.layout());
    return ShowAnswer(invocation, client.Call("POST", "/v1/rotate-secrets-key"),
                      [](const JsonObject& answer) {
                        std::printf("%lld files are sealed by the key %s; the former one is forgotten\n",
                                    static_cast<long long>(IntOr(answer, "sealed", 0)),
                                    StringOr(answer, "key", "").c_str());
                      });
  });
}

}  // namespace ingot::app
