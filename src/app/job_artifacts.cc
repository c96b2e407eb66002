#include "app/job_artifacts.h"

#include <fcntl.h>

namespace ingot::app {

namespace {

// "/out/a/b" as the list has it; kInternal for what could lead out of the directory.
Result<fs::path> RelativeOf(const std::string& path) {
  const fs::path relative = fs::path(path).relative_path();
  for (const fs::path& part : relative)
    if (part.empty() || part == "." || part == "..")
      return Error(Code::kInternal, "the daemon names an artifact " + path);
  if (relative.empty()) return Error(Code::kInternal, "the daemon names an artifact without a name");
  return relative;
}

Result<uint64_t> CopyFile(DaemonClient& client, const std::string& target, const std::string& path,
                          uint64_t size, const fs::path& to) {
  TRY(MakeDirectories(to.parent_path()));
  Fd file = TRY(OpenFile(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW));
  uint64_t done = 0;
  while (done < size) {
    const std::string piece = TRY(client.CallRaw(
        "GET", target + "?path=" + adapters::PercentEncode(path) + "&offset=" + std::to_string(done), ""));
    if (piece.empty()) return Error(Code::kFailed, "the artifact " + path + " ended early; copy it again");
    TRY(WriteAll(file.get(), piece));
    done += piece.size();
  }
  return done;
}

}  // namespace

Result<Json> CopyArtifacts(DaemonClient& client, const std::string& target, const fs::path& directory) {
  const Json list = TRY(client.Call("GET", target));
  const JsonObject* object = list.if_object();
  if (object == nullptr) return Error(Code::kInternal, "the daemon's answer is not an object");
  const JsonObject& about = *TRY(GetObject(*object, "about"));
  if (const std::string error = StringOr(about, "error", ""); !error.empty())
    return Error(Code::kFailed, "the artifacts could not be kept: " + error);
  auto present = ListDirectory(directory);
  if (present && !present->empty())
    return Error(Code::kExists, directory.string() + " is not empty; name a new directory");
  if (!present && present.error().code() != Code::kNotFound) return std::move(present).error();
  TRY(MakeDirectories(directory));
  uint64_t bytes = 0;
  const JsonArray& files = *TRY(GetArray(*object, "files"));
  for (const Json& item : files) {
    if (!item.is_object()) return Error(Code::kInternal, "the daemon's list of artifacts is not one");
    const std::string path = TRY(GetString(item.get_object(), "path"));
    const auto size = static_cast<uint64_t>(TRY(GetInt(item.get_object(), "size_bytes")));
    bytes += TRY(CopyFile(client, target, path, size, directory / TRY(RelativeOf(path))));
  }
  return Json(JsonObject{
      {"files", files.size()}, {"size_bytes", bytes}, {"left_out", *TRY(GetArray(about, "left_out"))}});
}

}  // namespace ingot::app
