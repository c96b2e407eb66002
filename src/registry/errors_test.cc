#include "registry/errors.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace ingot::registry {
namespace {

TEST(ErrorAnswerTest, IsADocumentWhateverAClientHasSent) {
  const Response answer =
      ErrorAnswer(ErrorCode::kDigestInvalid, std::string("\"sha512:\xb7\0\n\xc3\xa4\"", 14));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.Header("Content-Type"), "application/json");
  const auto json = ParseJson(answer.text);
  ASSERT_TRUE(json) << answer.text;
  EXPECT_EQ(json->at("errors").at(0).at("code"), "DIGEST_INVALID");
  EXPECT_EQ(json->at("errors").at(0).at("message"), "\"sha512:?? ??\"");
  EXPECT_LT(ErrorAnswer(ErrorCode::kNameInvalid, std::string(100'000, 'x')).text.size(), 2000U);
}

}  // namespace
}  // namespace ingot::registry
