// Which variables an instruction sees, and what it looks like once they are put in.
//
//   global scope   ARG before the first FROM, and the predefined platform arguments; seen by FROM and
//   --platform only stage scope    ENV of the base image, then ARG and ENV of the stage, in order; a later
//   one wins. An ARG without a
//                  default takes the build argument, else the global value. A stage built FROM another stage
//                  begins with everything that stage had, arguments included.
// ADD, COPY, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR and the defaults of ARG are expanded; RUN,
// CMD, ENTRYPOINT, HEALTHCHECK and SHELL are not (a shell does that at run time), and --from is refused with
// a variable.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "build/dockerfile.h"
#include "build/word_expansion.h"

namespace ingot::build {

// What a build gets from outside.
struct BuildInputs {
  std::map<std::string, std::string, std::less<>> arguments = {};  // `args` of the definition, --build-arg
  std::string build_platform = "linux/amd64";                      // os/arch[/variant]
  std::string target_platform = "linux/amd64";
  std::string target_stage = {};  // "" = the last one; the value of TARGETSTAGE is then "default"
};

class GlobalScope {
 public:
  // kInvalid "file:line: …" when a default cannot be expanded.
  static Result<GlobalScope> Make(const Dockerfile& dockerfile, const BuildInputs& inputs);

  // Stage::from and Stage::platform with variables put in. kInvalid when the name comes out empty.
  Result<std::string> ExpandFrom(const Stage& stage) const;
  Result<std::string> ExpandPlatform(const Stage& stage) const;  // "" when the stage has none
  const Variables& variables() const { return variables_; }

 private:
  friend class StageScope;
  Variables variables_;
  std::set<std::string> used_;  // build arguments that an ARG asked for
  BuildInputs inputs_;
  std::string file_name_;
  char escape_ = '\\';
};

class StageScope {
 public:
  // A stage on an image: `base_env` is the Env of its configuration ("NAME=value"). `global` is copied.
  StageScope(const GlobalScope& global, const std::vector<std::string>& base_env);
  // A stage on a stage: copy that stage's scope after its last instruction.
  StageScope(const StageScope&) = default;
  StageScope& operator=(const StageScope&) = default;
  StageScope(StageScope&&) = default;
  StageScope& operator=(StageScope&&) = default;

  // The instruction with variables put in and checked (EXPOSE ports, --chmod, …); ENV and ARG take effect on
  // what follows. ARG comes back with default_value = the value in force (nullopt: unset). Call once per
  // instruction, in order. kInvalid or kUnsupported "file:line: …"; the scope is of no use then.
  Result<Instruction> Apply(const Instruction& instruction);

  // For the image configuration: ENV only, the base image's first.
  const Variables& env() const { return env_; }
  // For RUN: ENV and ARG together. Part of the RUN's cache key.
  const Variables& run_variables() const { return all_; }
  // For RUN besides: HTTP_PROXY, HTTPS_PROXY, FTP_PROXY, NO_PROXY, ALL_PROXY (and lower case) as given by
  // build arguments, which need no ARG. Not part of the cache key, and in no image.
  std::vector<std::string> ProxyEnv() const;
  // Build arguments that no ARG applied so far has asked for, the proxies not counted; the builder warns of
  // those that no stage used.
  std::set<std::string> UnusedArguments() const;

 private:
  Result<void> ApplyArg(ArgInstruction* arg);
  Result<void> ApplyEnv(const EnvInstruction& env);
  Result<void> Set(std::string_view name, const std::string& value);

  GlobalScope global_;
  Variables env_;
  Variables all_;
  std::set<std::string> used_;
  size_t bytes_ = 0;  // of all_, which is bounded
};

}  // namespace ingot::build
