#include "base/json.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(Json, CanonicalSortsKeysByBytesAndHasNoSpace) {
  const Json value = *ParseJson(R"( {"b": [1, {"z": null, "A": true}], "a\u00e9": "x\ny", "a": -7} )");
  EXPECT_EQ(RenderCanonical(value), "{\"a\":-7,\"a\u00e9\":\"x\\ny\",\"b\":[1,{\"A\":true,\"z\":null}]}");
  EXPECT_EQ(RenderCanonical(*ParseJson(RenderCanonical(value))), RenderCanonical(value));
}

TEST(Json, PrettyAndPlainKeepTheOrder) {
  const Json value = *ParseJson(R"({"b":[],"a":{"c":1}})");
  EXPECT_EQ(RenderJson(value), R"({"b":[],"a":{"c":1}})");
  EXPECT_EQ(RenderPretty(value), "{\n  \"b\": [],\n  \"a\": {\n    \"c\": 1\n  }\n}");
}

TEST(Json, WhatIsNotOneDocumentIsRefusedWithItsPlace) {
  EXPECT_EQ(ParseJson("{} {}").error().message(), "not JSON: extra text at byte 3");
  EXPECT_EQ(ParseJson("[1,]").error().code(), Code::kInvalid);
  EXPECT_EQ(ParseJson("").error().code(), Code::kInvalid);
  EXPECT_EQ(ParseJson("{\"a\":").error().code(), Code::kInvalid);
}

TEST(Json, DepthIsBounded) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseJson(nested(64)));
  EXPECT_EQ(ParseJson(nested(65)).error().code(), Code::kInvalid);
  EXPECT_EQ(ParseJson(std::string(1 << 20, '[')).error().code(), Code::kInvalid);
}

TEST(Json, MembersAreTakenByTypeAndErrorsNameThem) {
  const Json value = *ParseJson(R"({"s":"x","n":3,"b":false,"big":18446744073709551615,"l":[1]})");
  const JsonObject& object = value.get_object();
  EXPECT_EQ(*GetString(object, "s"), "x");
  EXPECT_EQ(*GetInt(object, "n"), 3);
  EXPECT_FALSE(*GetBool(object, "b"));
  EXPECT_EQ((*GetArray(object, "l"))->size(), 1u);
  EXPECT_EQ(GetString(object, "n").error().message(), "n: expected a string");
  EXPECT_EQ(GetInt(object, "big").error().message(), "big: expected an integer");
  EXPECT_EQ(GetObject(object, "missing").error().message(), "missing: expected an object");
  EXPECT_EQ(StringOr(object, "n", "otherwise"), "otherwise");
  EXPECT_EQ(IntOr(object, "s", 9), 9);
  EXPECT_TRUE(BoolOr(object, "s", true));
}

}  // namespace
}  // namespace ingot
