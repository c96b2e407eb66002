#include "build/image_config_steps.h"

#include "build/links.h"

namespace ingot::build {
namespace {

constexpr std::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

void SetVariable(std::vector<std::string>& env, const std::string& key, const std::string& value) {
  const std::string start = key + "=";
  for (std::string& entry : env) {
    if (entry.starts_with(start)) {
      entry = start + value;
      return;
    }
  }
  env.push_back(start + value);
}

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

}  // namespace

oci::RunConfig ScratchConfig() {
  oci::RunConfig config;
  config.env.push_back("PATH=" + std::string(kPath));
  return config;
}

ConfigSteps::ConfigSteps(oci::RunConfig base) : config_(std::move(base)) {
  config_.on_build.clear();
}

std::string AbsolutePath(std::string_view working_dir, std::string_view path) {
  if (path.starts_with('/')) return "/" + CleanPath(path);
  return "/" + CleanPath(std::string(working_dir) + "/" + std::string(path));
}

void ConfigSteps::Apply(const Instruction& instruction) {
  const std::vector<std::string>& shell = config_.shell.empty() ? DefaultShell() : config_.shell;
  std::visit(Overloaded{
                 [&](const EnvInstruction& env) {
                   for (const KeyValue& pair : env.variables) SetVariable(config_.env, pair.key, pair.value);
                 },
                 [&](const LabelInstruction& label) {
                   for (const KeyValue& pair : label.labels) config_.labels[pair.key] = pair.value;
                 },
                 [&](const CmdInstruction& cmd) {
                   config_.cmd = ResolveCommand(cmd.command, shell);
                   cmd_given_ = true;
                 },
                 [&](const EntrypointInstruction& entrypoint) {
                   config_.entrypoint = ResolveCommand(entrypoint.command, shell);
                   // A CMD of the base was meant for the base's entry point.
                   if (!cmd_given_) config_.cmd.reset();
                 },
                 [&](const WorkdirInstruction& workdir) {
                   config_.working_dir = AbsolutePath(config_.working_dir, workdir.path);
                 },
                 [&](const UserInstruction& user) { config_.user = user.user; },
                 [&](const ExposeInstruction& expose) {
                   config_.exposed_ports.insert(expose.ports.begin(), expose.ports.end());
                 },
                 [&](const VolumeInstruction& volume) {
                   config_.volumes.insert(volume.paths.begin(), volume.paths.end());
                 },
                 [&](const StopSignalInstruction& signal) { config_.stop_signal = signal.signal; },
                 [&](const ShellInstruction& with) { config_.shell = with.shell; },
                 [&](const HealthcheckInstruction& check) {
                   oci::Healthcheck health;
                   health.test = check.test;
                   health.interval_ns = check.interval.count();
                   health.timeout_ns = check.timeout.count();
                   health.start_period_ns = check.start_period.count();
                   health.retries = check.retries;
                   config_.healthcheck = std::move(health);
                 },
                 [](const auto&) {},
             },
             instruction.body);
}

}  // namespace ingot::build
