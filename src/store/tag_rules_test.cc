#include "store/tag_rules.h"

#include <thread>

#include "store/store_fixture.h"

namespace ingot::store {
namespace {

class TagRulesTest : public StoreTest {
 protected:
  oci::Digest Image(const std::string& contents) {
    auto lease = Must(store_->TakeLease("test"));
    return PutImageOf(*store_, lease, {{"a", contents}});
  }
};

TEST_F(TagRulesTest, VersionsAreImmutableUnlessARuleSaysOtherwise) {
  EXPECT_TRUE(TagRules().Immutable("shop/web", "1.0"));
  EXPECT_FALSE(TagRules().Immutable("shop/web", "latest"));
  const TagRules rules({{"scratch/*", false, {}}, {"shop/**", true, {"release-*"}}});
  EXPECT_FALSE(rules.Immutable("scratch/x", "1.0"));
  EXPECT_TRUE(rules.Immutable("shop/web", "release-7"));
  EXPECT_TRUE(rules.Immutable("shop/web", "1.0"));
  EXPECT_FALSE(rules.Immutable("shop/web", "main"));
  EXPECT_TRUE(rules.Immutable("other", "1.0"));
}

TEST_F(TagRulesTest, AnImmutableTagNeverMovesAlsoWhenDeletedInBetween) {
  const oci::Digest one = Image("one");
  const oci::Digest two = Image("two");
  Must(store_->SetTag("shop/web", "1.0", one));
  Must(store_->SetTag("shop/web", "1.0", one));
  auto moved = store_->SetTag("shop/web", "1.0", two);
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().code(), Code::kRefused);
  EXPECT_THAT(moved.error().message(), testing::HasSubstr("shop/web:1.0 is immutable"));
  EXPECT_THAT(moved.error().message(), testing::HasSubstr(one.Render()));
  EXPECT_EQ(Must(store_->GetTag("shop/web", "1.0")), one);
  EXPECT_TRUE(Must(store_->RemoveTag("shop/web", "1.0")));
  EXPECT_EQ(store_->SetTag("shop/web", "1.0", two).error().code(), Code::kRefused);
  EXPECT_EQ(store_->GetTag("shop/web", "1.0").error().code(), Code::kNotFound);
  Must(store_->SetTag("shop/web", "1.0", one));
  Must(store_->SetTag("shop/web", "latest", one));
  Must(store_->SetTag("shop/web", "latest", two));
}

TEST_F(TagRulesTest, OfTwoAtOnceOneWins) {
  const oci::Digest images[] = {Image("one"), Image("two")};
  for (int round = 0; round < 50; ++round) {
    const std::string tag = "1." + std::to_string(round);
    std::optional<Code> refused[2];
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i)
      threads.emplace_back([&, i] {
        if (auto set = store_->SetTag("shop/web", tag, images[i]); !set) refused[i] = set.error().code();
      });
    for (std::thread& thread : threads) thread.join();
    ASSERT_NE(refused[0].has_value(), refused[1].has_value());
    EXPECT_EQ(refused[0].value_or(*(refused[1] ? refused[1] : refused[0])), Code::kRefused);
    EXPECT_EQ(Must(store_->GetTag("shop/web", tag)), refused[0] ? images[1] : images[0]);
  }
}

TEST_F(TagRulesTest, ATagThatWasSetBeforeItBecameImmutableStaysWhatItIs) {
  const oci::Digest one = Image("one");
  store_->SetTagRules(TagRules({{"**", false, {}}}));
  Must(store_->SetTag("shop/web", "1.0", one));
  store_->SetTagRules(TagRules());
  EXPECT_EQ(store_->SetTag("shop/web", "1.0", Image("two")).error().code(), Code::kRefused);
}

TEST_F(TagRulesTest, AChannelIsMovedByPromotionAlone) {
  const oci::Digest one = Image("one");
  const oci::Digest two = Image("two");
  EXPECT_EQ(
      Must(store_->MoveChannel({0, "shop/web", "production", one, {}, "staging", "uid:0", "first", {}}, {})),
      1U);
  EXPECT_EQ(Must(store_->GetTag("shop/web", "production")), one);
  EXPECT_EQ(store_->SetTag("shop/web", "production", two).error().code(), Code::kRefused);
  EXPECT_EQ(store_->RemoveTag("shop/web", "production").error().code(), Code::kRefused);
  // What the gate refuses changes nothing.
  const auto closed = [](const CatalogRows&) -> Result<void> { return Error(Code::kRefused, "no"); };
  const Promotion second{0, "shop/web", "production", two, {}, "staging", "uid:0", "", {}};
  EXPECT_EQ(store_->MoveChannel(second, closed).error().message(), "no");
  EXPECT_EQ(Must(store_->GetTag("shop/web", "production")), one);
  EXPECT_EQ(Must(store_->MoveChannel(second, {})), 2U);
  EXPECT_EQ(Must(store_->GetTag("shop/web", "production")), two);
  std::vector<Promotion> promotions;
  Must(catalog_.Read([&](const CatalogRows& rows) -> Result<void> {
    promotions = TRY(rows.ListPromotions("shop/web"));
    return {};
  }));
  ASSERT_EQ(promotions.size(), 2U);
  EXPECT_EQ(promotions[0].previous, std::nullopt);
  EXPECT_EQ(promotions[1].previous, one);
  EXPECT_EQ(promotions[1].time, clock_.now);
  EXPECT_EQ(store_->MoveChannel({0, "shop/web", "x", oci::Digest::Of("none"), {}, "", "", "", {}}, {})
                .error()
                .code(),
            Code::kNotFound);
}

}  // namespace
}  // namespace ingot::store
