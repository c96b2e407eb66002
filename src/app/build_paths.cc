#include "app/build_paths.h"

#include "build/dockerignore.h"
#include "store/tree.h"

namespace ingot::app {

namespace {

// "./web/" → "web"; nullopt: it leads out.
Result<std::string> Within(const definition::Definition& definition, const std::string& image,
                           const fs::path& path) {
  std::string text = path.lexically_normal().string();
  while (text.ends_with('/')) text.pop_back();
  if (text == ".") text.clear();
  if (auto valid = store::ValidatePath(text); valid && !path.is_absolute()) return text;
  return Error(Code::kInvalid,
               definition.Locate("images." + image + ".build") + ": images." + image +
                   ".build: " + path.string() +
                   " is not below the project; what is built on another host has to be, or build here "
                   "with --build-on here");
}

}  // namespace

Result<BuildPaths> BuildPathsOf(const definition::Definition& definition, const std::string& image) {
  const definition::Build& build = *definition.images.at(image).build;
  BuildPaths paths;
  paths.context = TRY(Within(definition, image, fs::path(build.context)));
  paths.dockerfile = build.dockerfile;
  paths.reads.push_back(TRY(Within(definition, image, fs::path(build.context) / build.dockerfile)));
  for (const std::string& name : build::IgnoreFileCandidates(build.dockerfile))
    paths.reads.push_back(TRY(Within(definition, image, fs::path(build.context) / name)));
  return paths;
}

Result<void> RefuseLinks(const fs::path& project, const std::string& path) {
  fs::path at = project;
  for (const fs::path& part : fs::path(path)) {
    at /= part;
    std::error_code failed;
    const fs::file_status status = fs::symlink_status(at, failed);
    if (status.type() == fs::file_type::not_found) return {};
    if (failed) return ErrnoError(failed.value(), "look at " + at.string());
    if (status.type() == fs::file_type::symlink)
      return Error(Code::kInvalid,
                   path + ": " + part.string() +
                       " is a symbolic link; what is built on another host is read from no link");
  }
  return {};
}

}  // namespace ingot::app
