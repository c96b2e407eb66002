#include "app/migration_scripts.h"

#include <cstdlib>

#include "base/sha256.h"
#include "definition/endpoint_url.h"
#include "migrate/lint.h"

namespace ingot::app {

namespace {

migrate::Engine EngineOf(const definition::Definition& definition, const definition::Migration& migration) {
  const auto url = definition::EndpointUrl::Parse(definition.endpoints.at(migration.endpoint).url);
  return url && url->scheme == "sqlite" ? migrate::Engine::kSqlite : migrate::Engine::kPostgres;
}

void Look(const migrate::Script& script, const std::string& text, migrate::Engine engine, LocalScripts& out) {
  const auto parsed = migrate::ParseScript(text, engine);
  if (!parsed) {
    // "line N: …"
    const std::string& message = parsed.error().message();
    const int line = message.starts_with("line ") ? std::atoi(message.c_str() + 5) : 1;
    out.findings.push_back({script.file, line, 1, message});
    return;
  }
  for (const migrate::Finding& finding : migrate::Lint(*parsed, script.stage, engine))
    out.findings.push_back({script.file, finding.line, 1,
                            finding.rule + ": " + finding.why +
                                "; or accept it with a comment `-- ingot: allow " + finding.rule + "`"});
}

}  // namespace

Result<LocalScripts> ReadScripts(const definition::Definition& definition, const fs::path& directory) {
  LocalScripts out;
  for (const auto& [name, migration] : definition.migrations) {
    if (migration.scripts.empty()) continue;
    const std::string at = definition.Locate("migrations." + name + ".scripts");
    auto files = ListDirectory(directory / migration.scripts);
    if (!files) return std::move(files).error().While(at + ": migrations." + name + ".scripts");
    std::vector<migrate::Script> scripts;
    std::string mistakes;
    const auto mistake = [&](const std::string& message) {
      mistakes += (mistakes.empty() ? "" : "\n       ") + message;
    };
    for (const std::string& file : *files) {
      if (!file.ends_with(".sql")) continue;
      auto script = migrate::ParseScriptName(file);
      if (!script) {
        mistake(migration.scripts + "/" + script.error().message());
        continue;
      }
      std::string text = TRY(ReadFile(directory / migration.scripts / file, migrate::kMaxScriptBytes));
      script->file = migration.scripts + "/" + file;
      script->checksum = Sha256Hex(text);
      Look(*script, text, EngineOf(definition, migration), out);
      out.texts[script->checksum] = std::move(text);
      scripts.push_back(std::move(*script));
    }
    if (auto sorted = migrate::SortScripts(scripts); !sorted) mistake(sorted.error().message());
    if (scripts.size() > migrate::kMaxScripts)
      mistake(at + ": more than " + std::to_string(migrate::kMaxScripts) + " scripts");
    if (!mistakes.empty()) return Error(Code::kInvalid, mistakes);
    out.scripts[name] = std::move(scripts);
  }
  return out;
}

Result<void> SendScripts(DaemonClient& client, const std::string& project, const std::string& environment,
                         const LocalScripts& scripts) {
  for (const auto& [checksum, text] : scripts.texts)
    TRY(client.CallRaw("PUT", EnvironmentPath(project, environment, "/scripts/" + checksum), text));
  return {};
}

}  // namespace ingot::app
