#include "adapters/registry_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/json.h"
#include "store/store_fixture.h"

namespace ingot::adapters {
namespace {

using store::Must;
using testing::HasSubstr;
using testing::Not;

RegistryVisit Visit(std::string method, std::string path, int status) {
  RegistryVisit visit;
  visit.peer = "127.0.0.1";
  visit.method = std::move(method);
  visit.path = std::move(path);
  visit.status = status;
  visit.elapsed = std::chrono::milliseconds(2);
  return visit;
}

std::string MetricsOf(const RegistryWatch& watch) {
  PrometheusText text;
  watch.Describe(text);
  return std::move(text).Take();
}

TEST(RegistryWatchTest, CountsByWhatIsBounded) {
  auto watch = Must(RegistryWatch::Open({}));
  watch->Note(Visit("GET", "/v2/a/manifests/1", 200));
  watch->Note(Visit("GET", "/v2/b/manifests/2", 200));
  watch->Note(Visit("BREW", "/tea", 404));
  watch->Connected();
  const std::string text = MetricsOf(*watch);
  EXPECT_THAT(text, HasSubstr("requests_total{method=\"GET\",endpoint=\"manifest\",status=\"200\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("requests_total{method=\"other\",endpoint=\"other\",status=\"404\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("seconds_bucket{le=\"0.001\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("seconds_bucket{le=\"0.005\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("connections 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("BREW")));
}

TEST(RegistryWatchTest, EveryLineIsJsonWhateverTheClientSends) {
  auto directory = Must(TempDirectory::Make("/tmp", "watch-"));
  const fs::path log = directory.path() / "deep" / "access.log";
  {
    auto watch = Must(RegistryWatch::Open({.log = log}));
    RegistryVisit visit = Visit("PUT", "/v2/\"\\\n\xff" + std::string(5000, 'x'), 201);
    visit.who = "cert:a \"b\"";
    watch->Note(visit);
  }
  const std::string text = Must(ReadFile(log));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const Json line = Must(ParseJson(text));
  EXPECT_EQ(StringOr(line.as_object(), "user", ""), "cert:a \"b\"");
  EXPECT_EQ(StringOr(line.as_object(), "path", "").substr(0, 8), "/v2/\"\\??");
  EXPECT_EQ(StringOr(line.as_object(), "path", "").size(), 1024u);
  EXPECT_EQ(IntOr(line.as_object(), "status", 0), 201);
}

TEST(RegistryWatchTest, IsRenamedWhenItIsLongAndFollowsWhoRenamesIt) {
  auto directory = Must(TempDirectory::Make("/tmp", "watch-"));
  const fs::path log = directory.path() / "access.log";
  for (int i = 0; i < 5; ++i) {
    auto watch = Must(RegistryWatch::Open({.log = log, .log_bytes = 300, .logs_kept = 2}));
    watch->Note(Visit("GET", "/v2/turn/manifests/" + std::to_string(i), 200));
  }
  EXPECT_EQ(Must(ListDirectory(directory.path())),
            (std::vector<std::string>{"access.log", "access.log.1", "access.log.2"}));
  EXPECT_THAT(Must(ReadFile(log)), HasSubstr("manifests/4"));
  EXPECT_THAT(Must(ReadFile(directory.path() / "access.log.2")), HasSubstr("manifests/2"));

  auto watch = Must(RegistryWatch::Open({.log = log}));
  fs::rename(log, directory.path() / "elsewhere");
  watch->Note(Visit("GET", "/v2/after/manifests/1", 200));
  watch.reset();
  EXPECT_THAT(Must(ReadFile(log)), HasSubstr("after"));
}

TEST(RegistryWatchTest, ReadsAreLeftOutBeforeAnythingElse) {
  auto directory = Must(TempDirectory::Make("/tmp", "watch-"));
  const fs::path log = directory.path() / "access.log";
  const std::string path(1000, 'p');
  constexpr int kReads = 10'000;
  {
    auto watch = Must(RegistryWatch::Open({.log = log, .log_bytes = uint64_t{1} << 30}));
    for (int i = 0; i < kReads; ++i) watch->Note(Visit("GET", path, 200));
    for (int i = 0; i < 100; ++i) watch->Note(Visit("PUT", path, 201));
  }
  const std::string text = Must(ReadFile(log));
  size_t puts = 0;
  for (size_t at = text.find("\"PUT\""); at != std::string::npos; at = text.find("\"PUT\"", at + 1)) ++puts;
  EXPECT_EQ(puts, 100u);
}

TEST(RegistryWatchTest, AFolderThatCannotBeMadeIsAnError) {
  auto directory = Must(TempDirectory::Make("/tmp", "watch-"));
  Must(WriteFileAtomic(directory.path() / "file", "x"));
  EXPECT_FALSE(RegistryWatch::Open({.log = directory.path() / "file" / "access.log"}).has_value());
}

}  // namespace
}  // namespace ingot::adapters
