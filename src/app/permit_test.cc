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
  // Root's alone.
  EXPECT_EQ(CodeOf(Permit(Request("DELETE"), "shop/staging", "volumes", nullptr)), Code::kPermission);
  EXPECT_EQ(CodeOf(Permit(Request("POST"), "shop/staging", "volumes", nullptr)), Code::kPermission);
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

}  // namespace
}  // namespace ingot::app
