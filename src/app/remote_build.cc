#include "app/remote_build.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <set>

#include "app/build_json.h"
#include "app/build_paths.h"
#include "app/build_view.h"
#include "app/image_push.h"
#include "app/parcel.h"
#include "app/terminal.h"
#include "base/units.h"
#include "build/context.h"
#include "build/image_inputs.h"
#include "store/sealed_layer.h"

namespace ingot::app {

namespace {

constexpr size_t kMostDefinitionBytes = 4 << 20;

// Context indexes: so that a file is read again only when it has changed. Losing them costs time only.
fs::path IndexFolder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fs::path(cache) / "ingot" / "context";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return fs::path(home) / ".cache" / "ingot" / "context";
  return "/dev/null/context";  // nowhere: a folder of /tmp could be somebody else's
}

struct ProjectFiles {
  store::Tree tree;
  struct Source {
    fs::path file;
    uint64_t size_bytes = 0;
  };
  std::map<store::ObjectId, Source> contents;
};

Result<void> AddContext(const Project& project, const BuildPaths& paths, ProjectFiles& files) {
  build::Context context =
      TRY(build::Context::Scan(project.directory / paths.context, IndexFolder(), paths.dockerfile));
  const std::string prefix = paths.context.empty() ? "" : paths.context + "/";
  if (!paths.context.empty()) TRY(files.tree.Put(paths.context, store::Node::Directory()));
  for (const auto& [path, entry] : context.entries()) {
    using Type = build::ContextEntry::Type;
    if (entry.type == Type::kDirectory) {
      TRY(files.tree.Put(prefix + path, store::Node::Directory()));
    } else if (entry.type == Type::kSymlink) {
      TRY(files.tree.Put(prefix + path, store::Node::Symlink(entry.target)));
    } else if (entry.type == Type::kFile) {
      const store::ObjectId id = TRY(context.Measure(path));
      TRY(files.tree.Put(prefix + path,
                         store::Node::Regular(id, entry.size_bytes, entry.executable ? 0755 : 0644)));
      if (!id.empty()) files.contents[id] = {context.directory() / path, entry.size_bytes};
    }
  }
  // It only saves time: a folder that may not be written is none.
  static_cast<void>(context.SaveIndex().has_value());
  return {};
}

// The Dockerfile and .dockerignore are read though they may be ignored themselves.
Result<void> AddRead(const Project& project, const std::string& path, ProjectFiles& files) {
  if (const store::Node* known = files.tree.Find(path);
      known != nullptr && known->type == store::NodeType::kRegular)
    return {};
  auto file = OpenFile(project.directory / path, 0);
  if (!file && file.error().code() == Code::kNotFound) return {};
  if (!file) return std::move(file).error();
  TRY(RefuseLinks(project.directory, path));
  const store::ObjectId::Measured measured = TRY(store::ObjectId::OfFile(file->get()));
  TRY(files.tree.Put(path, store::Node::Regular(measured.id, measured.size_bytes, 0644)));
  if (!measured.id.empty()) files.contents[measured.id] = {project.directory / path, measured.size_bytes};
  return {};
}

Result<ProjectFiles> CollectFiles(const Project& project, const BuildRequest& request) {
  ProjectFiles files;
  const auto inputs = TRY(build::ReadImageInputs(project.definition, project.directory, request.images));
  std::vector<BuildPaths> all;
  for (const auto& [name, input] : inputs)
    if (input.image->build) all.push_back(TRY(BuildPathsOf(project.definition, name)));
  for (const BuildPaths& paths : all) {
    TRY(RefuseLinks(project.directory, paths.context));
    TRY(AddContext(project, paths, files));
  }
  for (const BuildPaths& paths : all)
    for (const std::string& path : paths.reads) TRY(AddRead(project, path, files));
  return files;
}

// The variables that the definition names, and no others: they go to another host.
JsonObject VariablesOf(std::string_view text) {
  JsonObject out;
  for (size_t at = text.find("${"); at != std::string_view::npos; at = text.find("${", at + 2)) {
    const std::string_view rest = text.substr(at + 2);
    const std::string name(rest.substr(
        0, rest.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")));
    const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
    if (value != nullptr) out[name] = value;
  }
  return out;
}

Result<Json> DocumentOf(const Invocation& invocation, const Project& project, const BuildRequest& request) {
  const std::string text = TRY(ReadFile(invocation.file, kMostDefinitionBytes));
  JsonArray images;
  for (const std::string& image : request.images) images.emplace_back(image);
  JsonObject document{{"version", 1},
                      {"definition", text},
                      {"variables", VariablesOf(text)},
                      {"git_sha", nullptr},
                      {"lock", nullptr},
                      {"images", std::move(images)},
                      {"locked", request.locked},
                      {"no_cache", request.no_cache},
                      {"source_date_epoch_s", nullptr}};
  if (text.find("${git.") != std::string::npos)
    if (const auto git = LookAtGit(project.directory); git && !git->commit.empty())
      document["git_sha"] = git->commit;
  const build::LockFile lock = TRY(build::LockFile::Load(project.directory));
  if (lock != build::LockFile{}) document["lock"] = lock.Render();
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH"); epoch != nullptr)
    document["source_date_epoch_s"] = std::strtoll(epoch, nullptr, 10);
  return Json(std::move(document));
}

struct Outcome {
  std::map<std::string, build::BuiltImage> images;
  std::string lock;
  bool complete = false;
};

Result<void> OnBuildLine(std::string_view line, BuildView& view, Outcome& outcome) {
  const Json json = TRY(ParseJson(line));
  if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
  const JsonObject& object = json.get_object();
  if (const Json* event = object.if_contains("event")) {
    view.On(TRY(BuildEventFromJson(*event)));
  } else if (const std::string note = StringOr(object, "note", ""); !note.empty()) {
    view.Note(note);
  } else if (object.contains("images")) {
    for (const auto& image : *TRY(GetObject(object, "images")))
      outcome.images.emplace(std::string(image.key()), TRY(BuiltImageFromJson(image.value())));
    outcome.lock = StringOr(object, "lock", "");
    outcome.complete = true;
  }
  return {};
}

}  // namespace

Result<bool> BuildsThere(const std::string& option) {
  if (option.empty()) return ::geteuid() != 0;
  if (option == "here" || option == "host") return option == "host";
  return Error(Code::kInvalid, "--build-on " + option + ": expected here or host");
}

Result<std::map<std::string, build::BuiltImage>> BuildThere(const Invocation& invocation,
                                                            DaemonClient& client, const Project& project,
                                                            const BuildRequest& request) {
  const std::string& name = project.definition.project;
  const ProjectFiles files = TRY(CollectFiles(project, request));
  std::set<store::ObjectId> named;
  for (const auto& [id, source] : files.contents) named.insert(id);
  const std::set<store::ObjectId> lacking = TRY(LackingThere(client, name, invocation.environment, named));
  OutgoingParcel parcel(TRY(DocumentOf(invocation, project, request)));
  for (const store::ObjectId& id : lacking) {
    const auto found = files.contents.find(id);
    if (found == files.contents.end())
      return Error(Code::kInternal, "the host asks for a file that there is not");
    parcel.AddObject(id, found->second.size_bytes, [file = found->second.file] {
      return OpenFile(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    });
  }
  parcel.AddTree(kProjectTree, TRY(store::RenderSealed(files.tree)));
  BuildView view(!request.show_progress);
  if (!lacking.empty())
    view.Note("sending " + std::to_string(lacking.size()) + " files, " + RenderSize(parcel.size_bytes()));
  Outcome outcome;
  std::optional<Error> misread;
  TRY(client.Send(EnvironmentPath(name, invocation.environment, "/builds"), parcel.size_bytes(),
                  parcel.Source(), [&](std::string_view line) {
                    auto understood = OnBuildLine(line, view, outcome);
                    if (understood) return true;
                    misread = std::move(understood).error().While("reading what the host says");
                    return false;
                  }));
  if (misread) return std::move(*misread);
  if (!outcome.complete)
    return Error(Code::kUnavailable,
                 "the connection ended before the build; what was built there is in its cache, so "
                 "another attempt goes on from it");
  if (!outcome.lock.empty()) {
    const build::LockFile lock = TRY(build::LockFile::Parse(outcome.lock));
    // A bare Save would also write where nothing has changed.
    if (lock != TRY(build::LockFile::Load(project.directory))) TRY(lock.Save(project.directory));
  }
  return std::move(outcome.images);
}

}  // namespace ingot::app
