#include "adapters/prometheus_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace ingot::adapters {
namespace {

using ::testing::HasSubstr;

std::string Success(const std::string& type, const std::string& result) {
  return R"({"status":"success","data":{"resultType":")" + type + R"(","result":)" + result + "}}";
}

TEST(PrometheusAnswer, IsTheNumberOfAScalarOrOfOneSample) {
  EXPECT_EQ(*ParsePrometheusAnswer(200, Success("scalar", R"([1435781451.781,"1"])")), 1);
  EXPECT_EQ(*ParsePrometheusAnswer(
                200, Success("vector", R"([{"metric":{"job":"a"},"value":[1435781451,"0.25"]}])")),
            0.25);
  EXPECT_EQ(*ParsePrometheusAnswer(200, Success("scalar", R"([1,"1.5e-7"])")), 1.5e-7);
  EXPECT_TRUE(std::isinf(*ParsePrometheusAnswer(200, Success("scalar", R"([1,"+Inf"])"))));
  EXPECT_LT(*ParsePrometheusAnswer(200, Success("scalar", R"([1,"-Inf"])")), 0);
}

TEST(PrometheusAnswer, WithoutOneNumberSaysWhy) {
  const auto why = [](int status, const std::string& body, Code code) {
    const auto number = ParsePrometheusAnswer(status, body);
    EXPECT_FALSE(number) << body;
    if (number) return std::string();
    EXPECT_EQ(number.error().code(), code) << body;
    return number.error().message();
  };
  EXPECT_EQ(why(200, Success("vector", "[]"), Code::kNotFound),
            "the answer is empty: no series fits the query");
  EXPECT_THAT(why(200, Success("vector", R"([{"value":[1,"1"]},{"value":[1,"2"]}])"), Code::kConflict),
              HasSubstr("has 2 samples, expected one"));
  EXPECT_THAT(why(200, Success("vector", R"([{"value":[1,"NaN"]}])"), Code::kNotFound),
              HasSubstr("is NaN, often 0 divided by 0"));
  EXPECT_THAT(why(200, Success("vector", R"([{"metric":{},"histogram":[1,{}]}])"), Code::kUnsupported),
              HasSubstr("histogram"));
  EXPECT_THAT(why(200, Success("matrix", "[]"), Code::kUnsupported), HasSubstr("is a matrix"));
  EXPECT_THAT(why(200, Success("string", R"([1,"x"])"), Code::kUnsupported), HasSubstr("is a string"));
  EXPECT_EQ(
      why(400, R"({"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end"})",
          Code::kRefused),
      "it refused the query: bad_data: 1:5: parse error: unexpected end");
  EXPECT_EQ(why(502, "<html>Bad Gateway</html>", Code::kUnavailable), "it answered with status 502");
  for (const char* body : {"", "null", "[]", "{}", "<html>", R"({"status":"success"})",
                           R"({"status":"success","data":{"resultType":"scalar","result":{}}})",
                           R"({"status":"success","data":{"resultType":"scalar","result":[1,2]}})",
                           R"({"status":"success","data":{"resultType":"scalar","result":[1,"1x"]}})",
                           R"({"status":"success","data":{"resultType":"scalar","result":[1,""]}})",
                           R"({"status":"success","data":{"resultType":"vector","result":[1]}})",
                           R"({"status":"success","data":{"resultType":"vector","result":[{}]}})",
                           R"({"status":"success","data":{"resultType":"other","result":[]}})"})
    EXPECT_THAT(why(200, body, Code::kInvalid), HasSubstr("is no answer of a Prometheus"));
}

}  // namespace
}  // namespace ingot::adapters
