// One function per verb, each in a file of its own; main.cc lists them, and calls those that a command line
// may mean.
#pragma once

namespace CLI {
class App;
}

namespace ingot::app {

struct Invocation;

void AddInit(CLI::App& app, Invocation& invocation);
void AddValidate(CLI::App& app, Invocation& invocation);
void AddSchema(CLI::App& app, Invocation& invocation);
void AddDoctor(CLI::App& app, Invocation& invocation);
void AddBuild(CLI::App& app, Invocation& invocation);
void AddBuildReceived(CLI::App& app, Invocation& invocation);  // of the daemon; not shown
void AddLock(CLI::App& app, Invocation& invocation);
void AddPlan(CLI::App& app, Invocation& invocation);
void AddApply(CLI::App& app, Invocation& invocation);
void AddStatus(CLI::App& app, Invocation& invocation);
void AddHistory(CLI::App& app, Invocation& invocation);
void AddRollout(CLI::App& app, Invocation& invocation);
void AddPromote(CLI::App& app, Invocation& invocation);
void AddRollback(CLI::App& app, Invocation& invocation);
void AddMigrate(CLI::App& app, Invocation& invocation);
void AddScale(CLI::App& app, Invocation& invocation);
void AddJob(CLI::App& app, Invocation& invocation);
void AddSecret(CLI::App& app, Invocation& invocation);
void AddVolume(CLI::App& app, Invocation& invocation);
void AddRun(CLI::App& app, Invocation& invocation);
void AddDestroy(CLI::App& app, Invocation& invocation);
void AddLogs(CLI::App& app, Invocation& invocation);
void AddEvents(CLI::App& app, Invocation& invocation);
void AddImages(CLI::App& app, Invocation& invocation);
void AddImageTransfers(CLI::App& images, Invocation& invocation);  // push, pull, copy
void AddImagePrune(CLI::App& images, Invocation& invocation);
void AddImageWhy(CLI::App& images, Invocation& invocation);
void AddImageHistory(CLI::App& images, Invocation& invocation);
void AddImageTag(CLI::App& images, Invocation& invocation);
void AddImageArchives(CLI::App& images, Invocation& invocation);  // import, export
void AddGc(CLI::App& app, Invocation& invocation);
void AddVerify(CLI::App& app, Invocation& invocation);
void AddToken(CLI::App& app, Invocation& invocation);
void AddLogin(CLI::App& app, Invocation& invocation);  // and logout
void AddRegistry(CLI::App& app, Invocation& invocation);
void AddBackup(CLI::App& app, Invocation& invocation);
void AddRestore(CLI::App& app, Invocation& invocation);
void AddServe(CLI::App& app, Invocation& invocation);
void AddCompletion(CLI::App& app, Invocation& invocation);
void AddVersion(CLI::App& app, Invocation& invocation);

// The status of the project here: what `ingot` without a verb shows.
int ShowStatus(Invocation& invocation);

}  // namespace ingot::app
