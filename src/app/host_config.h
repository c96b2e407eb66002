// The host's configuration in front of a verb: /etc/ingot/host.yaml, or what --host-config or
// INGOT_HOST_CONFIG names.
#pragma once

#include "app/invocation.h"
#include "definition/host.h"

namespace ingot::app {

// Which file it is.
fs::path HostConfigFile(const Invocation& invocation);
// Reads and checks it. No file where it is by default: every default. kNotFound when a file that was named
// does not exist; kInvalid with every problem on a line of its own.
Result<definition::Host> LoadHost(const Invocation& invocation);
// A file that the configuration names, as a path: relative ones are relative to the configuration's.
fs::path HostFile(const definition::Host& host, const std::string& name);

// The option --host-config.
void AddHostOption(CLI::App& verb, Invocation& invocation);
// `ingot validate --host [FILE]`; an empty `file` is HostConfigFile. The exit code.
int ValidateHost(const Invocation& invocation, const std::string& file);

}  // namespace ingot::app
