#include "platform/fleet.h"

#include <gtest/gtest.h>

#include "platform/fleet_json.h"
#include "platform/ids.h"

namespace ingot::platform {
namespace {

TEST(Ids, RenderAndParseAreInverses) {
  for (const char* text : {"shop/local/web@3f2a9c0d1e2b/17", "a-b/prod-1/x@000000000000/1"}) {
    auto id = InstanceId::Parse(text);
    ASSERT_TRUE(id) << id.error().Render();
    EXPECT_EQ(id->Render(), text);
    auto again = InstanceId::ParseFileName(id->FileName());
    ASSERT_TRUE(again) << again.error().Render();
    EXPECT_EQ(*again, *id);
  }
}

TEST(Ids, RefusesWhatCouldLeaveItsFolder) {
  for (const char* text :
       {"../local/web@3f2a9c0d1e2b/17", "shop/local/web@3f2a9c0d1e2b/01", "shop/local/web@3f2a/1",
        "shop/lo.cal/web@3f2a9c0d1e2b/1", "shop/local/@3f2a9c0d1e2b/1", "", "///"}) {
    auto id = InstanceId::Parse(text);
    ASSERT_FALSE(id) << text;
    EXPECT_EQ(id.error().code(), Code::kInvalid);
  }
}

FleetSpec Sample() {
  FleetSpec fleet;
  fleet.id = FleetId(EnvironmentId("shop", "local"), "web", "3f2a9c0d1e2b");
  fleet.image = oci::Digest::Of("x");
  fleet.args = {"/app", "--port", "80"};
  fleet.environment = {{"LOG_LEVEL", "info"}};
  fleet.ports = {{"http", 8080, Protocol::kHttp}, {"raw", 9, Protocol::kTcp}};
  fleet.uses = {{"db", true, "db.internal", {{"tcp", 5432, Protocol::kTcp}}}};
  fleet.ready.kind = Probe::Kind::kHttp;
  fleet.ready.port = 8080;
  fleet.ready.path = "/healthz";
  fleet.live.kind = Probe::Kind::kRun;
  fleet.live.command = {"/check"};
  fleet.limits = {500, 128u << 20, 100};
  fleet.scratch = {{"/tmp", 1 << 20, true}};
  fleet.secrets = {{"session_key", "v1"}};
  fleet.capabilities = {"NET_BIND_SERVICE"};
  fleet.stop_signal = "SIGQUIT";
  return fleet;
}

TEST(FleetJson, RoundTrips) {
  const FleetSpec fleet = Sample();
  auto back = FleetFromJson(ToJson(fleet));
  ASSERT_TRUE(back) << back.error().Render();
  EXPECT_EQ(*back, fleet);
}

TEST(FleetJson, NamesWhatIsMissing) {
  Json json = ToJson(Sample());
  json.as_object().erase("image");
  auto back = FleetFromJson(json);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().message(), "image: expected a string");
}

}  // namespace
}  // namespace ingot::platform
