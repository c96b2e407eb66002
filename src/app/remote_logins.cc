#include "app/remote_logins.h"

#include <sys/stat.h>

#include <cstdlib>

#include "base/json.h"

namespace ingot::app {

namespace {

constexpr size_t kMostLoginBytes = 4 << 20;
constexpr size_t kMostAuthorityBytes = 1 << 20;

std::string EnvironmentOr(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// An empty object when there is no file.
Result<JsonObject> ReadHosts(const fs::path& file) {
  struct stat st {};
  if (::stat(file.c_str(), &st) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return JsonObject();
    return ErrnoError(errno, "look at " + file.string());
  }
  if ((st.st_mode & 077) != 0)
    return Error(
        Code::kPermission,
        file.string() + " holds tokens and others may read it; `chmod 600` it, and log in anew if they did");
  const Json json = TRY(ParseJson(TRY(ReadFile(file, kMostLoginBytes))));
  const auto hosts = [&]() -> Result<JsonObject> {
    if (!json.is_object()) return Error(Code::kInvalid, "expected an object");
    if (TRY(GetInt(json.get_object(), "version")) != 1)
      return Error(Code::kInvalid, "it is of another version of ingot");
    return *TRY(GetObject(json.get_object(), "hosts"));
  };
  auto out = hosts();
  if (!out) return std::move(out).error().While("reading " + file.string());
  return out;
}

Result<void> WriteHosts(const fs::path& file, JsonObject hosts) {
  TRY(MakeDirectories(file.parent_path(), 0700));
  return WriteFileAtomic(file, RenderPretty(JsonObject{{"version", 1}, {"hosts", std::move(hosts)}}) + "\n",
                         0600);
}

}  // namespace

Result<registry::ClientUrl> ParseRemoteUrl(std::string_view text) {
  auto url = registry::ClientUrl::Parse(text);
  if (!url) return std::move(url).error().While("reading the host's URL");
  if (url->scheme != "https" || url->target != "/")
    return Error(
        Code::kInvalid,
        "\"" + std::string(text) + "\": expected the URL of a host's API such as https://host.example:7443");
  return url;
}

Result<RemoteLogins> RemoteLogins::Open() {
  std::string folder = EnvironmentOr("XDG_CONFIG_HOME");
  if (!folder.starts_with('/')) {
    const std::string home = EnvironmentOr("HOME");
    if (home.empty())
      return Error(Code::kNotFound,
                   "neither XDG_CONFIG_HOME nor HOME says where log-ins are kept; set one, or give "
                   "the token as INGOT_TOKEN");
    folder = home + "/.config";
  }
  return RemoteLogins(fs::path(folder) / "ingot" / "hosts.json");
}

Result<std::optional<RemoteLogin>> RemoteLogins::Find(const std::string& url) const {
  const JsonObject hosts = TRY(ReadHosts(file_));
  const Json* found = hosts.if_contains(url);
  if (found == nullptr || !found->is_object()) return std::optional<RemoteLogin>();
  RemoteLogin login;
  login.token = StringOr(found->get_object(), "token", "");
  login.ca = StringOr(found->get_object(), "ca", "");
  login.certificate = StringOr(found->get_object(), "certificate", "");
  login.key = StringOr(found->get_object(), "key", "");
  return std::optional<RemoteLogin>(std::move(login));
}

Result<void> RemoteLogins::Set(const std::string& url, const RemoteLogin& login) const {
  TRY(MakeDirectories(file_.parent_path(), 0700));
  const FileLock lock = TRY(FileLock::Take(file_.string() + ".lock", true));
  JsonObject hosts = TRY(ReadHosts(file_));
  JsonObject row;
  if (!login.token.empty()) row["token"] = login.token;
  if (!login.ca.empty()) row["ca"] = login.ca;
  if (!login.certificate.empty()) row["certificate"] = login.certificate.string();
  if (!login.key.empty()) row["key"] = login.key.string();
  hosts[url] = std::move(row);
  return WriteHosts(file_, std::move(hosts));
}

Result<bool> RemoteLogins::Remove(const std::string& url) const {
  std::error_code failed;
  if (!fs::exists(file_, failed)) return false;
  const FileLock lock = TRY(FileLock::Take(file_.string() + ".lock", true));
  JsonObject hosts = TRY(ReadHosts(file_));
  if (hosts.erase(url) == 0) return false;
  TRY(WriteHosts(file_, std::move(hosts)));
  return true;
}

Result<RemoteLogin> LoginFor(const std::string& url) {
  RemoteLogin login;
  if (auto logins = RemoteLogins::Open(); logins) {
    if (auto found = TRY(logins->Find(url))) login = *std::move(found);
  }
  if (const std::string token = EnvironmentOr("INGOT_TOKEN"); !token.empty()) login.token = token;
  while (!login.token.empty() && (login.token.back() == '\n' || login.token.back() == ' '))
    login.token.pop_back();
  for (const char c : login.token)
    if (c <= ' ' || c > '~')
      return Error(Code::kInvalid, "INGOT_TOKEN is no token: it has a space or a letter that none has");
  if (const std::string ca = EnvironmentOr("INGOT_CA"); !ca.empty()) {
    auto bytes = ReadFile(ca, kMostAuthorityBytes);
    if (!bytes) return std::move(bytes).error().While("reading INGOT_CA");
    login.ca = *std::move(bytes);
  }
  if (const std::string certificate = EnvironmentOr("INGOT_CLIENT_CERT"); !certificate.empty()) {
    login.certificate = certificate;
    login.key = EnvironmentOr("INGOT_CLIENT_KEY");
    if (login.key.empty()) return Error(Code::kInvalid, "INGOT_CLIENT_CERT needs INGOT_CLIENT_KEY beside it");
  }
  for (const fs::path& file : {login.certificate, login.key}) {
    if (file.empty()) continue;
    if (auto opened = OpenFile(file, 0); !opened)
      return std::move(opened).error().While("reading the client certificate for " + url);
  }
  return login;
}

}  // namespace ingot::app
