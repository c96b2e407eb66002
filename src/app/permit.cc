#include "app/permit.h"

namespace ingot::app {

namespace {

// The rights of which any suffices; empty: root alone. "read" is had by everybody who has a role.
std::vector<std::string> RightsFor(const std::string& method, const std::string& what) {
  if (method == "GET") return {"read"};
  if (method == "DELETE" && what.empty()) return {"destroy"};
  if (method == "DELETE" && what == "runs") return {"deploy"};
  if (method == "PUT" && what == "secrets") return {"secret", "deploy"};
  if (method == "PUT" && what == "scripts") return {"deploy"};
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
  if (rules == nullptr)
    return Error(Code::kPermission,
                 "nothing is deployed to " + environment + ", so nobody but root has a say there yet");
  const definition::User user = UserOf(request.peer);
  const std::vector<std::string> rights = RightsFor(request.method, what);
  std::string missing;
  for (const std::string& right : rights) {
    for (const auto& [role_name, role] : rules->roles)
      if (Has(role, right) && IsMemberOf(user, role)) return {};
    missing += (missing.empty() ? "" : " or ") + right;
  }
  if (rights.empty()) return Error(Code::kPermission, "this is for root alone");
  return Error(Code::kPermission, user.name + " has no role that may " + missing + " in " + environment +
                                      "; `access` of its definition says who may");
}

}  // namespace ingot::app
