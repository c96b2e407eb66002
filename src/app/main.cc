// ingot: one program, one verb per file (verbs.h).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string_view>
#include <vector>

#include "app/host_config.h"
#include "app/invocation.h"
#include "app/verbs.h"
#include "base/units.h"

namespace {

using namespace ingot::app;

constexpr const char* kFooter =
    "A first release, as root:\n"
    "  ingot init                # writes ingot.yaml for the Dockerfile here\n"
    "  ingot serve &             # the daemon\n"
    "  ingot apply               # build, test, plan, ask, roll out\n"
    "  ingot status              # what serves; change something and apply again\n"
    "  ingot rollback            # one routing write\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 usage or invalid definition, 3 plan found changes, 4 refused, 5 "
    "reverted.\n"
    "`ingot VERB --help` explains a verb.";

// In the order of `ingot --help`; a verb of two names twice.
struct Verb {
  std::string_view name;
  void (*add)(CLI::App&, Invocation&);
};
constexpr Verb kVerbs[] = {
    {"init", AddInit},
    {"validate", AddValidate},
    {"schema", AddSchema},
    {"doctor", AddDoctor},
    {"build", AddBuild},
    {"build-received", AddBuildReceived},
    {"lock", AddLock},
    {"plan", AddPlan},
    {"diff", AddPlan},
    {"apply", AddApply},
    {"status", AddStatus},
    {"history", AddHistory},
    {"rollout", AddRollout},
    {"promote", AddPromote},
    {"rollback", AddRollback},
    {"migrate", AddMigrate},
    {"scale", AddScale},
    {"job", AddJob},
    {"secret", AddSecret},
    {"volume", AddVolume},
    {"run", AddRun},
    {"destroy", AddDestroy},
    {"logs", AddLogs},
    {"events", AddEvents},
    {"images", AddImages},
    {"gc", AddGc},
    {"verify", AddVerify},
    {"registry", AddRegistry},
    {"backup", AddBackup},
    {"restore", AddRestore},
    {"token", AddToken},
    {"login", AddLogin},
    {"logout", AddLogin},
    {"serve", AddServe},
    {"completion", AddCompletion},
    {"version", AddVersion},
};

// Setting all of them up is a millisecond of each call, of which a rollback has ten: only those are that a
// word of the command line may mean. All, where none is named (help, a mistake) or where they are listed.
void AddVerbs(CLI::App& app, Invocation& invocation, const std::vector<std::string_view>& words) {
  const auto said = [&](std::string_view name) {
    return std::find(words.begin(), words.end(), name) != words.end();
  };
  const auto named = [&](const Verb& verb) { return said(verb.name); };
  const bool all = std::none_of(std::begin(kVerbs), std::end(kVerbs), named) || said("completion");
  void (*last)(CLI::App&, Invocation&) = nullptr;
  for (const Verb& verb : kVerbs) {
    if (verb.add != last && (all || named(verb))) {
      verb.add(app, invocation);
      last = verb.add;
    }
  }
}

// What a word that is no verb was meant to be: "; did you mean `ingot apply`?", or "".
std::string VerbMeant(const CLI::App& app) {
  const std::vector<std::string> unknown = app.remaining();
  if (unknown.empty()) return "";
  std::vector<std::string> verbs;
  for (const Verb& verb : kVerbs) verbs.emplace_back(verb.name);
  const std::string nearest = ingot::Nearest(unknown.front(), verbs);
  return nearest.empty() ? "" : "; did you mean `ingot " + nearest + "`?";
}

}  // namespace

int main(int argc, char** argv) {
  Invocation invocation;
  CLI::App app("Immutable infrastructure in one program: golden images, replaced and never modified.",
               "ingot");
  app.footer(kFooter);
  app.add_flag("--json", invocation.json, "one JSON document instead of text");
  app.add_option("--root", invocation.root_option,
                 "where everything is kept (default: $INGOT_ROOT or /var/lib/ingot)");
  AddHostOption(app, invocation);
  AddVerbs(app, invocation, {argv + 1, argv + argc});
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "error: %s%s\n`ingot --help` lists the verbs, `ingot VERB --help` explains one\n",
                 error.what(), VerbMeant(app).c_str());
    return kUsage;
  }
  return invocation.run ? invocation.run() : ShowStatus(invocation);
}
