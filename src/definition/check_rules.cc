#include <algorithm>

#include "definition/check.h"
#include "definition/place.h"

namespace ingot::definition {

namespace {

bool Has(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

void CheckApprover(const Definition& definition, const Place& place, const std::string& path,
                   const std::string& role) {
  if (!Has(definition.access.at(role).may, "approve"))  // CheckNames has looked that it is there
    place.Fail(path, role + " may not approve; expected a role with may: [approve]");
}

void CheckApprovers(const Definition& definition, const Place& place, const std::string& path,
                    const Service& service) {
  if (!service.rollout || !service.rollout->steps) return;
  for (size_t i = 0; i < service.rollout->steps->size(); ++i)
    if (const std::string& role = (*service.rollout->steps)[i].approve; !role.empty())
      CheckApprover(definition, place, path + ".rollout.steps[" + std::to_string(i) + "].approve", role);
}

}  // namespace

void CheckRules(const Definition& definition, Problems& problems) {
  const Place place(definition, problems);
  for (const auto& [name, service] : definition.services)
    CheckApprovers(definition, place, "services." + name, service);
  for (const auto& [name, environment] : definition.environments) {
    const std::string path = "environments." + name;
    if (name == "local" && !environment.host.empty())
      place.Fail(path + ".host", "local is this host; expected another environment for another host");
    for (const auto& [service, over] : environment.services)
      CheckApprovers(definition, place, path + ".services." + service, over);
    if (!environment.approval) continue;
    const std::string& role = environment.approval->role;
    CheckApprover(definition, place, path + ".approval", role);
    const std::vector<std::string>& in = definition.access.at(role).in;
    if (!in.empty() && !Has(in, name))
      place.Fail(path + ".approval",
                 role + " does not count in " + name + "; expected " + name + " in access." + role + ".in");
  }
}

}  // namespace ingot::definition
