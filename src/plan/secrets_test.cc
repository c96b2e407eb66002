#include "plan/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/json.h"

namespace ingot::plan {
namespace {

using platform::SecretRef;
using testing::ElementsAre;

// What the document itself says: each `secret` is {NAME: VERSION}, and each `secrets` has some.
void Collect(const Json& json, std::set<std::pair<std::string, std::string>>& found) {
  if (json.is_array())
    for (const Json& item : json.get_array()) Collect(item, found);
  if (!json.is_object()) return;
  for (const auto& member : json.get_object()) {
    const bool names = member.key() == "secret" || member.key() == "secrets";
    if (!names || !member.value().is_object()) {
      Collect(member.value(), found);
      continue;
    }
    for (const auto& one : member.value().get_object())
      found.emplace(std::string(one.key()), std::string(one.value().as_string()));
  }
}

TEST(SecretsOfARevision, AreThoseOfEveryPlaceThatNamesOne) {
  definition::Resolved resolved;
  definition::ResolvedService service;
  service.name = "web";
  service.secrets = {{"in_service", "1"}, {"twice", "2"}};
  definition::ResolvedCheck check;
  check.kind = definition::ResolvedCheck::Kind::kHttp;
  check.secret = "in_check";
  check.secret_version = "3";
  service.rollout.strategy = definition::Strategy::kCanary;
  service.rollout.analysis.emplace().checks.push_back(check);
  check.kind = definition::ResolvedCheck::Kind::kPrometheus;
  check.secret = "in_queue";
  check.secret_version = "4";
  service.scale.emplace().queue.emplace().source = check;
  resolved.services.push_back(service);
  resolved.jobs.emplace_back().instance.secrets = {{"in_job", "5"}, {"twice", "2"}};
  definition::ResolvedMigration migration;
  migration.secret = "in_migration";
  migration.secret_version = "6";
  resolved.migrations.push_back(migration);
  resolved.migrations.emplace_back();  // one without
  resolved.notify.push_back({"https://hooks.example", {}, {}, "in_notify", "7"});
  EXPECT_THAT(SecretsOf(resolved),
              ElementsAre(SecretRef{"in_check", "3"}, SecretRef{"in_job", "5"},
                          SecretRef{"in_migration", "6"}, SecretRef{"in_notify", "7"},
                          SecretRef{"in_queue", "4"}, SecretRef{"in_service", "1"}, SecretRef{"twice", "2"}));
  // And no place of the document is forgotten.
  std::set<std::pair<std::string, std::string>> written;
  Collect(definition::ToJson(resolved), written);
  std::set<std::pair<std::string, std::string>> found;
  for (const SecretRef& ref : SecretsOf(resolved)) found.emplace(ref.name, ref.version);
  EXPECT_EQ(found, written);
}

}  // namespace
}  // namespace ingot::plan
