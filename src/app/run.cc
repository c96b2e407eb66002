// ingot run: one throw-away instance of an image, with our standard streams.
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <memory>

#include "adapters/crun_sandbox.h"
#include "adapters/local_instance.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/verbs.h"
#include "base/units.h"
#include "store/quarantine.h"

namespace ingot::app {

namespace {

constexpr int kTimedOut = 124;
constexpr int kNotRun = 125;
constexpr auto kForever = std::chrono::hours(24 * 365);

struct RunOptions {
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::vector<std::string> scratch;
  std::string workdir;
  std::string user;
  std::string timeout;
};

// What is sent to us is for the program: it alone decides whether it ends.
Result<Fd> TakeSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) sigaddset(&set, number);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return ErrnoError(errno, "take signals");
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoError(errno, "take signals");
  return fd;
}

Result<platform::FleetSpec> SpecOf(const RunOptions& options) {
  platform::FleetSpec spec;
  spec.arguments = options.command;
  spec.workdir = options.workdir;
  spec.user = options.user;
  for (const std::string& pair : options.environment) {
    const size_t equals = pair.find('=');
    if (equals == 0)
      return Error(Code::kInvalid, "\"" + pair + "\": expected NAME=VALUE, or NAME for our own");
    if (equals != std::string::npos) {
      spec.environment[pair.substr(0, equals)] = pair.substr(equals + 1);
    } else if (const char* own = std::getenv(pair.c_str()); own != nullptr) {
      spec.environment[pair] = own;
    }
  }
  return spec;
}

Result<int> RunImage(const Invocation& invocation, const RunOptions& options) {
  if (::geteuid() != 0)
    return Error(Code::kPermission, "an instance is mounted and given namespaces, so this needs root");
  const platform::FleetSpec fleet = TRY(SpecOf(options));
  platform::SandboxSpec spec;
  spec.timeout = options.timeout.empty() ? Milliseconds(kForever) : TRY(ParseDuration(options.timeout));
  const Layout layout = invocation.layout();
  OpenedStore opened = TRY(OpenExistingStore(layout));
  const oci::Digest digest = TRY(FindImage(*opened.store, options.image));
  // What runs is not collected, whatever becomes of the image's names.
  store::Lease lease = TRY(opened.store->TakeLease("run " + options.image));
  if (!TRY(opened.store->KeepBlob(digest, lease)))
    return Error(Code::kNotFound, options.image + " was just collected; `ingot build` makes it again");
  TRY(store::RequireWhole(*opened.store, digest));
  const store::Image image = TRY(opened.store->GetImage(digest));
  for (const store::Layer& layer : image.layers)
    spec.root.layers.push_back(opened.store->LayerPath(layer.id));
  spec.root.objects = layout.objects();
  spec.process = adapters::MergeProcess(image.config, fleet);
  if (spec.process.args.empty())
    return Error(Code::kInvalid, options.image + " has neither ENTRYPOINT nor CMD; say what to run after --");
  for (const std::string& path : options.scratch) spec.scratch.push_back({.path = path});
  spec.name = "run-" + std::to_string(::getpid());
  const Fd signals = TRY(TakeSignals());
  spec.streams = platform::SandboxSpec::Streams{STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, signals.get()};
  adapters::CrunSandbox sandbox({.run_dir = layout.run(), .root_key = layout.key()});
  return sandbox.Run(spec);
}

int Run(Invocation& invocation, const RunOptions& options) {
  auto code = RunImage(invocation, options);
  if (code) return *code;
  const int shown = Report(invocation, code.error());
  if (code.error().code() == Code::kTimeout) return kTimedOut;
  return shown == kUsage ? shown : kNotRun;
}

}  // namespace

void AddRun(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* verb =
      AddVerb(app, invocation, "run", "run a command in a throw-away instance of an image, with our streams",
              [&invocation, options] { return Run(invocation, *options); });
  verb->add_option("image", options->image, "an image of the store: web, shop/web, a digest")->required();
  verb->add_option("command", options->command, "after --: instead of the image's CMD");
  verb->add_option("-e,--env", options->environment, "NAME=VALUE, or NAME for our own value")
      ->take_all()
      ->expected(1);
  verb->add_option("--scratch", options->scratch, "a writable directory of 64 MiB")->take_all()->expected(1);
  verb->add_option("-w,--workdir", options->workdir, "where it starts; else as the image says");
  verb->add_option("-u,--user", options->user, "who it runs as; else as the image says");
  verb->add_option("--timeout", options->timeout, "after it, it is killed: 30s, 5m");
  verb->footer(
      "Isolated as a serving instance is: a read-only root, no capabilities, no network but loopback. "
      "Nothing of\n"
      "it is left. Signals go to it; its exit code is ours (128 + N when it was killed by signal N), 124 it "
      "took\n"
      "too long, 125 it could not be run.");
}

}  // namespace ingot::app
