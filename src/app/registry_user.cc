// `ingot registry user set|ls|rm`: the users of the registry's htpasswd.
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>

#include "app/host_config.h"
#include "app/registry_verbs.h"
#include "base/password.h"
#include "registry/htpasswd.h"

namespace ingot::app {

namespace {

struct UserOptions {
  std::string htpasswd;  // --htpasswd; empty: the host configuration's
  std::string name;
};

Result<fs::path> HtpasswdFile(const Invocation& invocation, const UserOptions& options) {
  if (!options.htpasswd.empty()) return fs::absolute(options.htpasswd);
  const definition::Host host = TRY(LoadHost(invocation));
  if (!host.registry.htpasswd.empty()) return HostFile(host, host.registry.htpasswd);
  return Error(Code::kInvalid, host.file +
                                   " names no file of users; add registry.htpasswd there, or name one "
                                   "with --htpasswd");
}

// No file: no users yet.
Result<registry::Htpasswd> ReadUsers(const fs::path& file) {
  auto bytes = ReadFile(file, registry::kMaxHtpasswdBytes);
  if (!bytes && bytes.error().code() == Code::kNotFound) return registry::Htpasswd();
  if (!bytes) return std::move(bytes).error();
  auto users = registry::Htpasswd::Parse(*bytes);
  if (!users) return Error(users.error().code(), file.string() + ", " + users.error().message());
  return users;
}

// Reads, changes and writes under a lock, so that two commands at once lose nothing.
Result<void> ChangeUsers(const fs::path& file,
                         const std::function<Result<void>(registry::Htpasswd&)>& change) {
  const FileLock lock = TRY(FileLock::Take(file.string() + ".lock", true));
  registry::Htpasswd users = TRY(ReadUsers(file));
  TRY(change(users));
  return WriteFileAtomic(file, users.Render(), 0600);
}

// One line of standard input; typed on a terminal, it is not shown.
Result<std::string> ReadPassword() {
  termios before{};
  const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before) == 0;
  if (terminal) {
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    std::fputs("password: ", stderr);
  }
  std::string line;
  const bool read = static_cast<bool>(std::getline(std::cin, line));
  if (terminal) {
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    std::fputc('\n', stderr);
  }
  if (!read) return Error(Code::kInvalid, "no password came on standard input");
  return line;
}

Result<void> SetUser(const Invocation& invocation, const UserOptions& options) {
  if (!registry::Htpasswd::IsUserName(options.name))
    return Error(Code::kInvalid,
                 "a user's name is printable ASCII without a space or colon, at most 128 letters, "
                 "and neither anonymous nor authenticated");
  const fs::path file = TRY(HtpasswdFile(invocation, options));
  const std::string hash = TRY(HashPassword(TRY(ReadPassword())));
  TRY(ChangeUsers(file, [&](registry::Htpasswd& users) -> Result<void> {
    users.users[options.name] = hash;
    return {};
  }));
  if (invocation.json) PrintJson(JsonObject{{"user", options.name}, {"file", file.string()}});
  return {};
}

Result<void> RemoveUser(const Invocation& invocation, const UserOptions& options) {
  const fs::path file = TRY(HtpasswdFile(invocation, options));
  TRY(ChangeUsers(file, [&](registry::Htpasswd& users) -> Result<void> {
    if (users.users.erase(options.name) > 0) return {};
    return Error(Code::kNotFound, file.string() + " has no user " + options.name);
  }));
  if (invocation.json) PrintJson(JsonObject{{"user", options.name}, {"file", file.string()}});
  return {};
}

Result<void> ListUsers(const Invocation& invocation, const UserOptions& options) {
  const fs::path file = TRY(HtpasswdFile(invocation, options));
  const registry::Htpasswd users = TRY(ReadUsers(file));
  JsonArray names;
  for (const auto& [name, hash] : users.users) {
    names.emplace_back(name);
    if (!invocation.json) std::printf("%s\n", name.c_str());
  }
  if (invocation.json) PrintJson(JsonObject{{"file", file.string()}, {"users", std::move(names)}});
  return {};
}

}  // namespace

void AddRegistryUser(CLI::App& registry, Invocation& invocation) {
  CLI::App* user = registry.add_subcommand("user", "the users that may log in to the registry");
  user->require_subcommand(1);
  auto options = std::make_shared<UserOptions>();
  const auto verb = [&](const char* name, const char* about, auto act) {
    CLI::App* added = AddVerb(*user, invocation, name, about, [&invocation, options, act] {
      const Result<void> done = act(invocation, *options);
      return done ? static_cast<int>(kDone) : Report(invocation, done.error());
    });
    AddHostOption(*added, invocation);
    added->add_option("--htpasswd", options->htpasswd, "the file (default: registry.htpasswd of host.yaml)");
    return added;
  };
  CLI::App* set = verb("set", "add a user, or change a password, which is read from standard input", SetUser);
  set->add_option("NAME", options->name, "the user")->required();
  verb("ls", "list them", ListUsers);
  CLI::App* remove = verb("rm", "remove a user", RemoveUser);
  remove->add_option("NAME", options->name, "the user")->required();
  set->footer(
      "A registry that runs takes the change within a second. Tokens that it gave out stay good until "
      "they expire.");
}

}  // namespace ingot::app
