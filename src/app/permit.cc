#include "app/permit.h"

#include <algorithm>
#include <set>

#include "base/glob.h"

namespace ingot::app {

namespace {

// The rights of which any suffices; empty: root alone. "read" is had by everybody who has a role.
std::vector<std::string> RightsFor(const std::string& method, const std::string& what) {
  if (method == "GET") return {"read"};
  if (method == "DELETE" && what.empty()) return {"destroy"};
  if (method == "DELETE" && what == "runs") return {"deploy"};
  if (method == "DELETE" && what == "secrets") return {"secret"};
  if (method == "PUT" && what == "secrets") return {"secret", "deploy"};
  if (method == "PUT" && what == "scripts") return {"deploy"};
  // What is built here runs here, as what is deployed.
  if (method == "POST" && what == "builds") return {"deploy"};
  // Who promotes carries images, from here and to here.
  if (method == "POST" && (what == "images" || what == "objects")) return {"deploy", "promote"};
  if (method == "POST" && what == "promotions") return {"promote"};
  if (method != "POST") return {};
  if (what == "approve") return {"read"};
  if (what == "abort" || what == "pause" || what == "resume" || what == "advance")
    return {"deploy", "rollback"};
  // To plan and to look at ledgers is to connect to databases that the caller names.
  if (what == "rollouts" || what == "plan" || what == "migrations" || what == "jobs" || what == "verified")
    return {"deploy"};
  if (what == "rollback" || what == "scale") return {what};
  return {};
}

// What the token itself may, wherever that counts.
bool InScope(const adapters::PeerScope& scope, const std::string& environment,
             const std::vector<std::string>& rights) {
  const auto is_there = [&](const std::string& place) { return GlobMatches(place, environment); };
  if (std::none_of(scope.in.begin(), scope.in.end(), is_there)) return false;
  return std::any_of(rights.begin(), rights.end(), [&](const std::string& right) {
    return right == "read" || std::find(scope.may.begin(), scope.may.end(), right) != scope.may.end();
  });
}

std::string CommandLine(const std::vector<std::string>& command) {
  std::string out;
  for (const std::string& word : command) out += (out.empty() ? "" : " ") + word;
  return out;
}

// Each as it is shown; equal ones are the same work.
std::set<std::string> HostWorkOf(const std::vector<definition::ResolvedMigration>& migrations) {
  std::set<std::string> out;
  for (const auto& migration : migrations)
    if (migration.engine() == migrate::Engine::kSqlite) out.insert("migrations of " + migration.url);
  return out;
}

std::set<std::string> HostWorkOf(const definition::Resolved& resolved) {
  std::set<std::string> out = HostWorkOf(resolved.migrations);
  const auto add = [&](const std::vector<std::string>& command) {
    if (!command.empty()) out.insert("the command " + CommandLine(command));
  };
  for (const auto& notify : resolved.notify) add(notify.command);
  for (const auto& service : resolved.services) {
    if (service.rollout.analysis)
      for (const auto& check : service.rollout.analysis->checks) add(check.command);
    if (service.scale && service.scale->queue) add(service.scale->queue->source.command);
  }
  return out;
}

Result<void> RefuseNew(const std::set<std::string>& next, const definition::Resolved* active) {
  const std::set<std::string> known = active == nullptr ? std::set<std::string>() : HostWorkOf(*active);
  for (const std::string& work : next)
    if (!known.contains(work))
      return Error(Code::kPermission, work +
                                          " would run as root on the host itself, and not in an instance: "
                                          "root deploys it first, or a token with --may admin");
  return {};
}

bool Has(const definition::ResolvedRole& role, const std::string& right) {
  return right == "read" || role.May(right);
}

}  // namespace

definition::User UserOf(const adapters::SocketPeer& peer) {
  return {peer.name, peer.groups, peer.root};
}

Result<void> Permit(const adapters::HttpRequest& request, const std::string& environment,
                    const std::string& what, const definition::ResolvedRules* rules) {
  if (request.peer.root) return {};
  const std::vector<std::string> rights = RightsFor(request.method, what);
  if (InScope(request.peer.scope, environment, rights)) return {};
  if (rules == nullptr)
    return Error(Code::kPermission,
                 "nothing is deployed to " + environment +
                     ", so nobody but root, and who has a token for it, has a say there yet; `ingot "
                     "token create NAME --in " +
                     environment + "` makes one");
  const definition::User user = UserOf(request.peer);
  std::string missing;
  for (const std::string& right : rights) {
    for (const auto& [role_name, role] : rules->roles)
      if (Has(role, right) && IsMemberOf(user, role)) return {};
    missing += (missing.empty() ? "" : " or ") + right;
  }
  if (rights.empty()) return Error(Code::kPermission, "this is for root alone");
  const std::string what_is_missing = " may " + missing + " in " + environment;
  if (!request.peer.scope.in.empty())
    return Error(Code::kPermission, user.name + " was not made for what" + what_is_missing +
                                        "; `ingot token create NAME --in " + environment + " --may " +
                                        rights.front() + "` on the host makes one that was");
  return Error(Code::kPermission, user.name + " has no role that" + what_is_missing +
                                      "; `access` of its definition says who may");
}

Result<void> PermitHostWork(const definition::Resolved& next, const definition::Resolved* active) {
  return RefuseNew(HostWorkOf(next), active);
}

Result<void> PermitHostWork(const std::vector<definition::ResolvedMigration>& next,
                            const definition::Resolved* active) {
  return RefuseNew(HostWorkOf(next), active);
}

}  // namespace ingot::app
