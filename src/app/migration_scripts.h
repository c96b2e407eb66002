// The migration scripts of the project in front of a verb.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/daemon_client.h"
#include "app/project.h"
#include "definition/problem.h"
#include "migrate/script.h"

namespace ingot::app {

struct LocalScripts {
  std::map<std::string, std::vector<migrate::Script>> scripts;  // by name of the migration, sorted by version
  std::map<std::string, std::string> texts;                     // by checksum
  std::vector<definition::Problem> findings;                    // of the parser and the lint, in all of them
};

// kInvalid with every name that is none and every version twice; kNotFound for a folder that is not there.
Result<LocalScripts> ReadScripts(const definition::Definition& definition, const fs::path& directory);
// Gives them to the daemon.
Result<void> SendScripts(DaemonClient& client, const std::string& project, const std::string& environment,
                         const LocalScripts& scripts);

}  // namespace ingot::app
