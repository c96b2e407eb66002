#include "build/image_tests.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "base/json.h"
#include "base/units.h"
#include "build/http_probe.h"
#include "build/key.h"
#include "build/output_tail.h"

namespace ingot::build {
namespace {

using WaitClock = std::chrono::steady_clock;

constexpr Milliseconds kTestTimeout{60'000};
constexpr Milliseconds kHttpTimeout{30'000};
constexpr Milliseconds kProbeTimeout{2'000};
constexpr Milliseconds kProbeInterval{10};

std::string TestInstanceName() {
  static std::atomic<uint64_t> next{0};
  return fmt::format("t{}-{}", ::getpid(), next.fetch_add(1));
}

platform::SandboxSpec SpecOf(store::Store& store, const store::Image& image, const ImageTests& tests) {
  platform::SandboxSpec spec;
  spec.name = TestInstanceName();
  for (const store::Layer& layer : image.layers) spec.root.layers.push_back(store.LayerPath(layer.id));
  spec.root.objects = store.paths().objects;
  const oci::RunConfig& config = image.config.config;
  for (const std::string& entry : config.env) {
    const size_t equals = std::min(entry.find('='), entry.size());
    spec.process.environment[entry.substr(0, equals)] = entry.substr(std::min(entry.size(), equals + 1));
  }
  spec.process.environment.emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  spec.process.workdir = config.working_dir.empty() ? "/" : config.working_dir;
  spec.process.user = config.user;
  std::set<std::string> paths = {"/tmp", "/run", "/var/tmp"};
  paths.insert(tests.scratch.begin(), tests.scratch.end());
  paths.insert(config.volumes.begin(), config.volumes.end());
  for (const std::string& path : paths) {
    platform::Scratch scratch;
    scratch.path = path;
    spec.scratch.push_back(std::move(scratch));
  }
  return spec;
}

class TestRun {
 public:
  TestRun(platform::Sandbox& sandbox, platform::SandboxSpec spec, const oci::RunConfig& config,
          const definition::ImageTest& test, const std::function<void(BuildEvent)>& report)
      : sandbox_(sandbox), spec_(std::move(spec)), config_(config), test_(test), tail_([&](auto line) {
          BuildEvent event;
          event.kind = BuildEvent::Kind::kOutput;
          event.text = std::string(line);
          report(event);
        }) {
    spec_.output = [this](std::string_view bytes) { tail_.Write(bytes); };
  }

  Result<void> Run() { return test_.http ? Http() : Command(); }

 private:
  Result<void> Command() {
    const Milliseconds timeout = test_.timeout.value_or(kTestTimeout);
    spec_.process.args = test_.run;
    spec_.timeout = timeout;
    auto exit = sandbox_.Run(spec_);
    tail_.Flush();
    if (!exit) {
      if (exit.error().code() != Code::kTimeout) return std::move(exit).error();
      return Error(Code::kTimeout,
                   fmt::format("it did not end within {}{}", RenderDuration(timeout), tail_.Describe()));
    }
    if (*exit == 0) return {};
    return Error(Code::kFailed, fmt::format("it ended with exit code {}{}", *exit, tail_.Describe()));
  }

  Result<void> Http() {
    const Milliseconds timeout = test_.timeout.value_or(kHttpTimeout);
    std::vector<std::string> args = config_.entrypoint.value_or(std::vector<std::string>());
    const std::vector<std::string> cmd = config_.cmd.value_or(std::vector<std::string>());
    args.insert(args.end(), cmd.begin(), cmd.end());
    if (args.empty()) {
      return Error(Code::kInvalid,
                   "the image has neither ENTRYPOINT nor CMD, so there is nothing to start and ask");
    }
    spec_.process.args = std::move(args);
    spec_.timeout = timeout + kProbeTimeout;
    auto asked = sandbox_.With(spec_, [&](int network_namespace, const auto& has_ended) -> Result<void> {
      const auto deadline = WaitClock::now() + timeout;
      while (true) {
        auto status = ProbeHttp(network_namespace, test_.http->port, test_.http->path, kProbeTimeout);
        if (status && *status == test_.http->status) return {};
        if (has_ended()) return Error(Code::kFailed, "it has ended");
        if (WaitClock::now() >= deadline) {
          const std::string last =
              status ? fmt::format("answered with status {}", *status) : status.error().Render();
          return Error(Code::kFailed, fmt::format("no answer with status {} within {}; the last try: {}",
                                                  test_.http->status, RenderDuration(timeout), last));
        }
        std::this_thread::sleep_for(kProbeInterval);
      }
    });
    tail_.Flush();
    if (asked) return {};
    return Error(asked.error().code(), asked.error().Render() + tail_.Describe());
  }

  platform::Sandbox& sandbox_;
  platform::SandboxSpec spec_;
  const oci::RunConfig& config_;
  const definition::ImageTest& test_;
  OutputTail tail_;
};

}  // namespace

ImageTests TestsOf(const definition::Definition& definition, const std::string& image) {
  ImageTests tests;
  const auto found = definition.images.find(image);
  if (found != definition.images.end()) tests.tests = found->second.test;
  std::set<std::string> paths;
  for (const auto& [name, service] : definition.services) {
    if (service.image != image || !service.scratch) continue;
    for (const definition::Scratch& scratch : *service.scratch) paths.insert(scratch.path);
  }
  tests.scratch.assign(paths.begin(), paths.end());
  return tests;
}

std::string TestsKey(const ImageTests& tests) {
  KeyHasher key("tests/1");
  key.AddAll(tests.scratch).AddNumber(tests.tests.size());
  for (const definition::ImageTest& test : tests.tests) {
    key.AddAll(test.run).AddNumber(test.http ? 1 : 0);
    if (test.http) key.AddNumber(test.http->port).Add(test.http->path);
    if (test.http) key.AddNumber(static_cast<uint64_t>(test.http->status));
  }
  return key.Finish();
}

std::string TestName(const definition::ImageTest& test) {
  if (test.http) return fmt::format("http: GET :{}{}", test.http->port, test.http->path);
  return fmt::format("run: {}", fmt::join(test.run, " "));
}

Result<std::string> RunImageTests(store::Store& store, platform::Sandbox& sandbox, const oci::Digest& image,
                                  const ImageTests& tests, const std::function<void(BuildEvent)>& report) {
  const store::Image built = TRY(store.GetImage(image));
  JsonArray record;
  for (const definition::ImageTest& test : tests.tests) {
    BuildEvent event;
    event.kind = BuildEvent::Kind::kTestStarted;
    event.text = TestName(test);
    report(event);
    const auto begin = WaitClock::now();
    auto passed = TestRun(sandbox, SpecOf(store, built, tests), built.config.config, test, report).Run();
    if (!passed) {
      return Error(passed.error().code(),
                   "image test \"" + TestName(test) + "\" failed: " + passed.error().Render());
    }
    event.kind = BuildEvent::Kind::kTestPassed;
    event.took = std::chrono::duration_cast<Milliseconds>(WaitClock::now() - begin);
    report(event);
    record.push_back(JsonObject{{"test", event.text}, {"passed", true}, {"took_ms", event.took.count()}});
  }
  return RenderJson(JsonObject{{"tests", std::move(record)}});
}

}  // namespace ingot::build
