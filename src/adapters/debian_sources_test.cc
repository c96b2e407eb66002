#include "adapters/debian_sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/debian_apt.h"

namespace ingot::adapters {
namespace {

using build::DebianSource;

const std::vector<DebianSource> kHost = {
    {"http://mirror/debian", "bookworm", {"main", "contrib"}, 0},
    {"http://mirror/debian", "bookworm-updates", {"main"}, 0},
    {"http://mirror/debian-security", "bookworm-security", {"main"}, 0},
    {"https://other/apt", "bookworm", {"stable"}, 0},
};

TEST(DebianSources, ReadsBothFormats) {
  EXPECT_EQ(
      ParseSourcesList("# no\ndeb [signed-by=/k arch=amd64] http://mirror/debian/ bookworm main contrib\n"
                       "deb-src http://mirror/debian bookworm main\ndeb broken\n"),
      (std::vector<DebianSource>{{"http://mirror/debian", "bookworm", {"main", "contrib"}, 0}}));
  EXPECT_EQ(ParseSourcesDeb822("Types: deb deb-src\n# a comment\nURIs: http://mirror/debian\n"
                               "Suites: bookworm bookworm-updates\nComponents: main\n\n"
                               "Types: deb\nEnabled: no\nURIs: http://x\nSuites: y\nComponents: main\n"),
            (std::vector<DebianSource>{{"http://mirror/debian", "bookworm", {"main"}, 0},
                                       {"http://mirror/debian", "bookworm-updates", {"main"}, 0}}));
}

TEST(DebianSources, TakesTheArchiveOfTheSuiteAndNothingElse) {
  EXPECT_EQ(SourcesFor("bookworm", "bookworm", kHost),
            (std::vector<DebianSource>{kHost[0], kHost[1], kHost[2]}));
  const auto trixie = SourcesFor("trixie", "bookworm", kHost);
  ASSERT_EQ(trixie.size(), 3u);
  EXPECT_EQ(trixie[0].uri, "http://mirror/debian");
  EXPECT_EQ(trixie[2].suite, "trixie-security");
  EXPECT_EQ(SourcesFor("trixie", "", {})[0].uri, "http://deb.debian.org/debian");
}

TEST(DebianSources, MirrorsByName) {
  const auto sources = SourcesOfMirrors("bookworm", "http://m/debian/ http://m/debian-security");
  ASSERT_TRUE(sources);
  ASSERT_EQ(sources->size(), 3u);
  EXPECT_EQ((*sources)[1].suite, "bookworm-updates");
  EXPECT_EQ((*sources)[2].suite, "bookworm-security");
  EXPECT_EQ(SourcesOfMirrors("bookworm", "m.example/debian").error().code(), Code::kInvalid);
}

TEST(DebianApt, ReadsWhatAptPrints) {
  const auto package = ParseUriLine(
      "'http://mirror/debian-security/pool/main/g/g++_12%2b1_amd64.deb' "
      "g++_1%3a12+1_amd64.deb 37596 SHA256:00ff",
      kHost);
  ASSERT_TRUE(package) << package.error().Render();
  EXPECT_EQ(package->name, "g++");
  EXPECT_EQ(package->version, "1:12+1");
  EXPECT_EQ(package->architecture, "amd64");
  EXPECT_EQ(package->source, 2u);
  EXPECT_EQ(package->path, "pool/main/g/g++_12%2b1_amd64.deb");
  EXPECT_EQ(package->size_bytes, 37596u);
  EXPECT_EQ(package->sha256, "00ff");
  for (const char* bad :
       {"", "'x", "'http://mirror/debian/p' a_1_b.deb 1 MD5Sum:0", "'http://no/p' a_1_b.deb 1 SHA256:0",
        "'http://mirror/debian/p' a_1.deb 1 SHA256:0"}) {
    EXPECT_EQ(ParseUriLine(bad, kHost).error().code(), Code::kInvalid) << bad;
  }
  EXPECT_EQ(*ParseReleaseDate("Origin: Debian\nDate: Sat, 10 Jan 2026 10:00:00 UTC\n"), 1768039200);
  EXPECT_EQ(ParseReleaseDate("Origin: Debian\n").error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace ingot::adapters
