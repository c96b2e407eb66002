#include "adapters/check_measurer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "registry/fake_client_http.h"

namespace ingot::adapters {
namespace {

using definition::Condition;
using definition::ResolvedCheck;
using registry::FakeAnswer;
using registry::FakeClientHttp;
using rollout::Measurement;
using rollout::Outcome;
using ::testing::HasSubstr;

const CheckTarget kTarget{{"shop", "local"}, {7, 2}, 9, "web"};

class CheckMeasurerTest : public ::testing::Test {
 protected:
  Measurement Measure(const ResolvedCheck& check) {
    CheckMeasurer measurer(http_, [](const platform::EnvironmentId&, const platform::SecretRef& ref) {
      return Result<std::string>(ref.version);
    });
    return measurer.Measure(kTarget, check, cancelled_);
  }
  static ResolvedCheck Query() {
    ResolvedCheck check;
    check.name = "errors";
    check.kind = ResolvedCheck::Kind::kPrometheus;
    check.url = "http://127.0.0.1:9090/";
    check.query = "a{b=\"c d\"} / 2";
    check.condition = {Condition::Op::kLess, 0.01};
    check.timeout = Milliseconds(2'500);
    return check;
  }
  static ResolvedCheck Shell(const std::string& script) {
    ResolvedCheck check;
    check.name = "judge";
    check.command = {"/bin/sh", "-c", script};
    check.timeout = Milliseconds(60'000);
    return check;
  }

  Result<FakeAnswer> answer_ = FakeAnswer{};
  FakeClientHttp http_{[this](const registry::ClientRequest&) { return answer_; }};
  std::atomic<bool> cancelled_ = false;
};

TEST_F(CheckMeasurerTest, APrometheusIsAskedAndItsNumberCompared) {
  answer_->body = R"({"status":"success","data":{"resultType":"scalar","result":[1,"0.0099"]}})";
  EXPECT_EQ(Measure(Query()), (Measurement{Outcome::kSuccess, "0.0099", ""}));
  answer_->body = R"({"status":"success","data":{"resultType":"scalar","result":[1,"0.01"]}})";
  EXPECT_EQ(Measure(Query()), (Measurement{Outcome::kFailure, "0.01", ""}));
  const auto request = http_.requests().at(0);
  EXPECT_EQ(request.url.Render(), "http://127.0.0.1:9090/api/v1/query");
  EXPECT_EQ(request.form, "query=a%7Bb%3D%22c%20d%22%7D%20%2F%202&timeout=2500ms");
  EXPECT_EQ(request.timeout, Milliseconds(2'500));
  EXPECT_EQ(registry::HeaderOf(request, "Authorization"), "");
}

TEST_F(CheckMeasurerTest, APrometheusWithoutANumberIsInconclusive) {
  answer_->body = R"({"status":"success","data":{"resultType":"vector","result":[]}})";
  EXPECT_EQ(Measure(Query()),
            (Measurement{Outcome::kInconclusive, "", "the answer is empty: no series fits the query"}));
  answer_ = FakeAnswer{503, {}, "starting", {}};
  EXPECT_EQ(Measure(Query()), (Measurement{Outcome::kInconclusive, "", "it answered with status 503"}));
  answer_ = Error(Code::kTimeout, "127.0.0.1:9090: it gave no whole answer within 2500ms");
  EXPECT_EQ(Measure(Query()).outcome, Outcome::kInconclusive);
  EXPECT_THAT(Measure(Query()).message, HasSubstr("no answer: 127.0.0.1:9090: it gave no whole answer"));
  answer_ = FakeAnswer{200, {}, std::string(3 << 20, ' '), {}};
  EXPECT_THAT(Measure(Query()).message, HasSubstr("longer than 1 MiB"));
}

TEST_F(CheckMeasurerTest, ARequestIsAuthorisedByItsSecret) {
  EXPECT_EQ(AuthorizationOf("token.x\n"), "Bearer token.x");
  EXPECT_EQ(AuthorizationOf("Aladdin:open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  ResolvedCheck check = Query();
  check.secret = "prometheus";
  check.secret_version = "s3cret";
  Measure(check);
  EXPECT_EQ(registry::HeaderOf(http_.requests().at(0), "Authorization"), "Bearer s3cret");
  check.secret_version = "a\r\nX";
  const Measurement refused = Measure(check);
  EXPECT_EQ(refused.outcome, Outcome::kInconclusive);
  EXPECT_THAT(refused.message, HasSubstr("the secret prometheus is neither a token nor USER:PASSWORD"));
  // Nobody reads it on the way.
  check.secret_version = "s3cret";
  check.url = "http://prometheus.example:9090";
  EXPECT_EQ(Measure(check).outcome, Outcome::kInconclusive);
  EXPECT_EQ(http_.requests().size(), 1u);
}

TEST_F(CheckMeasurerTest, AStatusIsJudged) {
  ResolvedCheck check;
  check.kind = ResolvedCheck::Kind::kHttp;
  check.url = "https://judge.example/verdict?of=web";
  check.timeout = Milliseconds(1'000);
  answer_->body = "\n all is well\nmore";
  answer_->status = 204;
  EXPECT_EQ(Measure(check), (Measurement{Outcome::kSuccess, "status 204", "all is well"}));
  check.status = 200;
  EXPECT_EQ(Measure(check).outcome, Outcome::kFailure);
  answer_ = FakeAnswer{503, {}, "g\x01\xff\n", {}};
  EXPECT_EQ(Measure(check), (Measurement{Outcome::kFailure, "status 503", "g??"}));
  // Who says his status and then never ends has said it.
  answer_ = FakeAnswer{200, {}, std::string(3 << 20, 'x'), {}};
  EXPECT_EQ(Measure(check).outcome, Outcome::kSuccess);
  answer_ = Error(Code::kUnavailable, "judge.example: nobody accepts a connection");
  EXPECT_EQ(Measure(check), (Measurement{Outcome::kInconclusive, "",
                                         "no answer: judge.example: nobody accepts a connection"}));
}

TEST_F(CheckMeasurerTest, ACommandIsJudgedByItsExitCode) {
  EXPECT_EQ(Measure(Shell("echo measuring; echo fine")),
            (Measurement{Outcome::kSuccess, "exit code 0", "fine"}));
  EXPECT_EQ(Measure(Shell("echo too slow >&2; exit 1")),
            (Measurement{Outcome::kFailure, "exit code 1", "too slow"}));
  EXPECT_EQ(
      Measure(Shell("echo lost; exit 2")),
      (Measurement{Outcome::kInconclusive, "", "it ended with exit code 2, which is neither 0 nor 1: lost"}));
  EXPECT_THAT(Measure(Shell("kill -9 $$")).message, HasSubstr("killed by signal 9"));
  ResolvedCheck missing;
  missing.command = {"/nowhere/judge"};
  missing.timeout = Milliseconds(1'000);
  EXPECT_EQ(Measure(missing).outcome, Outcome::kInconclusive);
  EXPECT_THAT(Measure(missing).message, HasSubstr("it cannot be run: there is no program /nowhere/judge"));
}

TEST_F(CheckMeasurerTest, ACommandKnowsWhatItJudges) {
  EXPECT_EQ(Measure(Shell("echo $INGOT_PROJECT $INGOT_ENVIRONMENT $INGOT_SERVICE $INGOT_REVISION "
                          "$INGOT_ROLLOUT $INGOT_STEP $INGOT_CHECK $PWD"))
                .message,
            "shop local web 9 7 2 judge /");
}

TEST_F(CheckMeasurerTest, ANumberIsThatOfAPrometheusOrOfTheLastLine) {
  CheckMeasurer measurer(http_, [](const auto&, const auto&) { return Result<std::string>(""); });
  const CheckTarget target{{"shop", "local"}, {}, 0, "web"};
  const auto number = [&](const ResolvedCheck& check) {
    return measurer.MeasureNumber(target, check, cancelled_);
  };
  answer_->body = R"({"status":"success","data":{"resultType":"scalar","result":[1,"190.5"]}})";
  EXPECT_EQ(number(Query()).value(), 190.5);
  answer_ = FakeAnswer{503, {}, "starting", {}};
  EXPECT_EQ(number(Query()).error().message(), "it answered with status 503");
  EXPECT_EQ(number(Shell("echo counting; echo 1e3")).value(), 1000);
  EXPECT_EQ(number(Shell("echo ${INGOT_SERVICE}-${INGOT_ROLLOUT-none}")).error().message(),
            "it printed no number but \"web-none\"");
  EXPECT_FALSE(number(Shell("true")));
  EXPECT_FALSE(number(Shell("echo 5 jobs")));
  EXPECT_FALSE(number(Shell("echo nan")));
  // A number of one that has failed is none.
  EXPECT_EQ(number(Shell("echo 7; exit 1")).error().message(), "it ended with exit code 1: 7");
}

TEST_F(CheckMeasurerTest, ACommandThatHangsIsInconclusiveAndIsEnded) {
  ResolvedCheck check = Shell("sleep 1000");
  check.timeout = Milliseconds(200);
  EXPECT_EQ(Measure(check), (Measurement{Outcome::kInconclusive, "", "it did not end within 200ms"}));
  check.timeout = std::chrono::minutes(10);
  std::thread later([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    cancelled_ = true;
  });
  EXPECT_EQ(Measure(check).outcome, Outcome::kInconclusive);
  later.join();
}

}  // namespace
}  // namespace ingot::adapters
