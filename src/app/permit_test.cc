#include "app/permit.h"

#include <gtest/gtest.h>

namespace ingot::app {
namespace {

adapters::HttpRequest Request(const std::string& method) {
  adapters::HttpRequest request;
  request.method = method;
  request.peer.name = "token:ci";
  request.peer.scope = {{"shop/staging", "lab/*"}, {"deploy", "rollback"}};
  return request;
}

Code CodeOf(const Result<void>& result) {
  return result ? Code::kInternal : result.error().code();
}

TEST(Permit, ATokenMayWhatItWasMadeForBeforeAnythingIsDeployed) {
  for (const char* what : {"rollouts", "plan", "images", "objects", "builds", "jobs", "abort"})
    EXPECT_TRUE(Permit(Request("POST"), "shop/staging", what, nullptr)) << what;
  EXPECT_TRUE(Permit(Request("GET"), "shop/staging", "history", nullptr));
  EXPECT_TRUE(Permit(Request("PUT"), "lab/any", "secrets", nullptr));
  EXPECT_EQ(CodeOf(Permit(Request("POST"), "shop/staging", "scale", nullptr)), Code::kPermission);
  EXPECT_EQ(CodeOf(Permit(Request("DELETE"), "shop/staging", "", nullptr)), Code::kPermission);
  EXPECT_EQ(CodeOf(Permit(Request("POST"), "shop/production", "rollouts", nullptr)), Code::kPermission);
  EXPECT_EQ(CodeOf(Permit(Request("GET"), "shop/production", "history", nullptr)), Code::kPermission);
  EXPECT_EQ(CodeOf(Permit(Request("GET"), "other/staging", "history", nullptr)), Code::kPermission);
  EXPECT_NE(
      Permit(Request("POST"), "shop/staging", "scale", nullptr).error().Render().find("nothing is deployed"),
      std::string::npos);
  const definition::ResolvedRules rules;
  EXPECT_NE(Permit(Request("POST"), "shop/staging", "scale", &rules)
                .error()
                .Render()
                .find("token:ci was not made for what may scale in shop/staging; `ingot token create"),
            std::string::npos);
  // Root's alone.
  EXPECT_EQ(CodeOf(Permit(Request("DELETE"), "shop/staging", "volumes", nullptr)), Code::kPermission);
  EXPECT_EQ(CodeOf(Permit(Request("POST"), "shop/staging", "volumes", nullptr)), Code::kPermission);
}

TEST(Permit, ToPromoteIsToCarryImagesAndNotToDeploy) {
  adapters::HttpRequest promoter = Request("POST");
  promoter.peer.scope.may = {"promote"};
  for (const char* what : {"images", "objects", "promotions"})
    EXPECT_TRUE(Permit(promoter, "shop/staging", what, nullptr)) << what;
  for (const char* what : {"rollouts", "plan", "builds", "rollback"})
    EXPECT_EQ(CodeOf(Permit(promoter, "shop/staging", what, nullptr)), Code::kPermission) << what;
  EXPECT_EQ(CodeOf(Permit(Request("POST"), "shop/staging", "promotions", nullptr)), Code::kPermission);
}

TEST(Permit, RolesAddToWhatATokenMay) {
  definition::ResolvedRules rules;
  rules.roles["scalers"] = {{"scale"}, {"cert:build-1", "token:ci"}};
  EXPECT_TRUE(Permit(Request("POST"), "shop/production", "scale", &rules));
  EXPECT_FALSE(Permit(Request("POST"), "shop/production", "rollouts", &rules));
  adapters::HttpRequest certificate = Request("POST");
  certificate.peer = {"cert:build-1", {}, false, {}};
  EXPECT_TRUE(Permit(certificate, "shop/production", "scale", &rules));
  EXPECT_TRUE(Permit(Request("POST"), "shop/staging", "rollouts", &rules));
  certificate.peer.name = "cert:build-2";
  EXPECT_FALSE(Permit(certificate, "shop/production", "scale", &rules));
}

TEST(Permit, WhatTheHostItselfRunsIsRootsToBegin) {
  definition::Resolved next;
  EXPECT_TRUE(PermitHostWork(next, nullptr));
  next.notify.push_back({});
  next.notify.back().webhook = "https://chat.example/hook";
  EXPECT_TRUE(PermitHostWork(next, nullptr));
  const definition::Resolved active = next;
  next.notify.back() = {};
  next.notify.back().command = {"/bin/sh", "-c", "id"};
  EXPECT_EQ(CodeOf(PermitHostWork(next, nullptr)), Code::kPermission);
  EXPECT_EQ(CodeOf(PermitHostWork(next, &active)), Code::kPermission);
  EXPECT_TRUE(PermitHostWork(next, &next));

  definition::Resolved checked;
  definition::ResolvedService web;
  web.rollout.analysis.emplace();
  web.rollout.analysis->checks.push_back({});
  web.rollout.analysis->checks.back().command = {"/usr/bin/true"};
  checked.services.push_back(web);
  EXPECT_EQ(CodeOf(PermitHostWork(checked, &active)), Code::kPermission);
  EXPECT_TRUE(PermitHostWork(checked, &checked));

  definition::Resolved scaled;
  definition::ResolvedService worker;
  worker.scale.emplace();
  worker.scale->queue.emplace();
  worker.scale->queue->source.command = {"/usr/bin/depth"};
  scaled.services.push_back(worker);
  EXPECT_EQ(CodeOf(PermitHostWork(scaled, nullptr)), Code::kPermission);

  std::vector<definition::ResolvedMigration> migrations(1);
  migrations[0].url = "postgres://db/shop";
  EXPECT_TRUE(PermitHostWork(migrations, nullptr));
  migrations[0].url = "sqlite:///var/lib/ingot/state.db";
  EXPECT_EQ(CodeOf(PermitHostWork(migrations, &active)), Code::kPermission);
}

}  // namespace
}  // namespace ingot::app
