#include "plan/secrets.h"

#include <set>

namespace ingot::plan {

std::vector<platform::SecretRef> SecretsOf(const definition::Resolved& resolved) {
  std::set<std::pair<std::string, std::string>> found;
  const auto add = [&](const std::string& name, const std::string& version) {
    if (!name.empty()) found.emplace(name, version);
  };
  const auto add_service = [&](const definition::ResolvedService& service) {
    for (const auto& [name, version] : service.secrets) add(name, version);
    if (service.rollout.analysis)
      for (const definition::ResolvedCheck& check : service.rollout.analysis->checks)
        add(check.secret, check.secret_version);
    if (service.scale && service.scale->queue)
      add(service.scale->queue->source.secret, service.scale->queue->source.secret_version);
  };
  for (const definition::ResolvedService& service : resolved.services) add_service(service);
  for (const definition::ResolvedJob& job : resolved.jobs) add_service(job.instance);
  for (const definition::ResolvedMigration& migration : resolved.migrations)
    add(migration.secret, migration.secret_version);
  for (const definition::ResolvedNotify& notify : resolved.notify) add(notify.secret, notify.secret_version);
  std::vector<platform::SecretRef> out;
  for (const auto& [name, version] : found) out.push_back({name, version});
  return out;
}

}  // namespace ingot::plan
