#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/init_from.h"
#include "app/invocation.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "base/file.h"
#include "definition/example.h"

namespace ingot::app {

namespace {

// "compose.yaml:7: services.web.networks: why", each on one line.
std::string Line(const std::string& file, const definition::ComposeNote& note) {
  std::string out = note.path + ": " + note.why;
  if (note.line > 0) out.insert(0, file + ":" + std::to_string(note.line) + ": ");
  for (char& c : out)
    if (c == '\n' || c == '\r') c = ' ';
  return out;
}

int InitFrom(Invocation& invocation, const std::string& from, const std::string& project) {
  const fs::path file = fs::absolute(invocation.file);
  const fs::path source = fs::absolute(from);
  std::error_code ec;
  if (!fs::equivalent(file.parent_path(), source.parent_path(), ec))
    return Report(invocation,
                  Error(Code::kInvalid, "the paths in " + from +
                                            " are relative to its folder, so the definition has to "
                                            "be there, too: -f " +
                                            (source.parent_path() / "ingot.yaml").string()));
  auto imported = DefinitionFrom(source, project);
  if (!imported) return Report(invocation, imported.error());
  const std::string name = source.filename().string();
  std::string text = imported->definition;
  if (!imported->notes.empty()) text += "\n# Not as in " + name + ":\n";
  for (const definition::ComposeNote& note : imported->notes) text += "# - " + Line(name, note) + "\n";
  if (auto written = WriteFileAtomic(file, text); !written) return Report(invocation, written.error());
  if (invocation.json) {
    JsonArray notes;
    for (const definition::ComposeNote& note : imported->notes)
      notes.push_back(JsonObject{{"path", note.path}, {"line", note.line}, {"why", note.why}});
    PrintJson(JsonObject{{"file", invocation.file},
                         {"project", project},
                         {"services", imported->services},
                         {"notes", std::move(notes)}});
    return kDone;
  }
  std::printf("wrote %s: %zu services from %s\n", invocation.file.c_str(), imported->services, name.c_str());
  for (const definition::ComposeNote& note : imported->notes)
    std::printf("%s %s\n", Paint(Colour::kYellow, "note:").c_str(), Line(name, note).c_str());
  std::printf("next: read it, then ingot validate, then as root: ingot serve & and ingot apply\n");
  return kDone;
}

int Init(Invocation& invocation, const std::string& name, const std::string& from) {
  const fs::path file = invocation.file;
  std::error_code ec;
  if (fs::exists(file, ec))
    return Report(invocation, Error(Code::kExists, file.string() + " exists; `ingot validate` checks it"));
  const std::string project =
      definition::NameFrom(name.empty() ? fs::absolute(file, ec).parent_path().filename().string() : name);
  if (!from.empty()) return InitFrom(invocation, from, project);
  if (auto written = WriteFileAtomic(file, definition::StarterDefinition(project)); !written)
    return Report(invocation, written.error());
  if (invocation.json) {
    PrintJson(JsonObject{{"file", file.string()}, {"project", project}});
    return kDone;
  }
  std::printf("wrote %s for project %s\n", file.c_str(), project.c_str());
  if (!fs::exists(file.parent_path() / "Dockerfile", ec))
    std::printf("%s it builds from ./Dockerfile, which is not there yet\n",
                Paint(Colour::kYellow, "note:").c_str());
  std::printf("next: ingot validate, then as root: ingot serve & and ingot apply\n");
  return kDone;
}

}  // namespace

void AddInit(CLI::App& app, Invocation& invocation) {
  auto name = std::make_shared<std::string>();
  auto from = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, invocation, "init", "write a first ingot.yaml for what is here",
                           [&invocation, name, from] { return Init(invocation, *name, *from); });
  verb->add_option("--from", *from, "a Compose file or a Dockerfile that it is made from");
  verb->add_option("name", *name, "the project's name (default: from the directory)");
  verb->add_option("-f,--file", invocation.file, "the definition to write")->capture_default_str();
}

}  // namespace ingot::app
