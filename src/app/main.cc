// ingot: one program, one verb per file (verbs.h).
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/host_config.h"
#include "app/invocation.h"
#include "app/verbs.h"

namespace {

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

}  // namespace

int main(int argc, char** argv) {
  using namespace ingot::app;
  Invocation invocation;
  CLI::App app("Immutable infrastructure in one program: golden images, replaced and never modified.",
               "ingot");
  app.footer(kFooter);
  app.add_flag("--json", invocation.json, "one JSON document instead of text");
  app.add_option("--root", invocation.root_option,
                 "where everything is kept (default: $INGOT_ROOT or /var/lib/ingot)");
  AddHostOption(app, invocation);
  AddInit(app, invocation);
  AddValidate(app, invocation);
  AddSchema(app, invocation);
  AddDoctor(app, invocation);
  AddBuild(app, invocation);
  AddBuildReceived(app, invocation);
  AddLock(app, invocation);
  AddPlan(app, invocation);
  AddApply(app, invocation);
  AddStatus(app, invocation);
  AddHistory(app, invocation);
  AddRollout(app, invocation);
  AddPromote(app, invocation);
  AddRollback(app, invocation);
  AddMigrate(app, invocation);
  AddScale(app, invocation);
  AddJob(app, invocation);
  AddSecret(app, invocation);
  AddVolume(app, invocation);
  AddRun(app, invocation);
  AddDestroy(app, invocation);
  AddLogs(app, invocation);
  AddEvents(app, invocation);
  AddImages(app, invocation);
  AddGc(app, invocation);
  AddVerify(app, invocation);
  AddRegistry(app, invocation);
  AddBackup(app, invocation);
  AddRestore(app, invocation);
  AddToken(app, invocation);
  AddLogin(app, invocation);
  AddServe(app, invocation);
  AddCompletion(app, invocation);
  AddVersion(app, invocation);
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
    std::fprintf(stderr, "error: %s\n`ingot --help` lists the verbs, `ingot VERB --help` explains one\n",
                 error.what());
    return kUsage;
  }
  return invocation.run ? invocation.run() : ShowStatus(invocation);
}
