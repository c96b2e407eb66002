#include "build/dockerignore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::build {
namespace {

DockerIgnore Make(std::string_view text) {
  auto ignore = DockerIgnore::Parse(text);
  EXPECT_TRUE(ignore) << ignore.error().message();
  return ignore ? *ignore : DockerIgnore();
}

// By a walk from the root, as a builder does it.
bool ExcludesByWalk(const DockerIgnore& ignore, std::string_view path) {
  DockerIgnore::State state = DockerIgnore::Root();
  for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    state = ignore.Descend(path.substr(0, slash), state);
  }
  return ignore.Descend(path, state).excluded;
}

TEST(DockerIgnore, Table) {
  const struct {
    std::string_view patterns, path;
    bool excluded;
  } cases[] = {
      {"", "a", false},
      {"a", "a", true},
      {"a", "b", false},
      {"a", "a/b", true},  // below an excluded directory
      {"a", "b/a", false},
      {"a", "ab", false},
      {"/a", "a", true},
      {"./a/", "a", true},
      {"a/../b", "b", true},
      {"  a  ", "a", true},
      {"a\r\nb\r\n", "b", true},
      {"\xEF\xBB\xBF"
       "a",
       "a", true},
      {"#a", "#a", false},
      {" #a", "#a", true},  // only the first column begins a comment
      {"a b", "a b", true},
      // One name.
      {"*", "a", true},
      {"*", ".a", true},
      {"*", "a/b", true},
      {"*.md", "x.md", true},
      {"*.md", "d/x.md", false},
      {"*/*.md", "d/x.md", true},
      {"a*", "abc", true},
      {"a*c", "abbc", true},
      {"a*c", "ab/c", false},
      {"?", "a", true},
      {"?", "ab", false},
      {"?", "é", true},
      {"a?c", "a/c", false},
      {"[a-c]x", "bx", true},
      {"[a-c]x", "dx", false},
      {"[^a-c]x", "dx", true},
      {"[^a-c]x", "bx", false},
      {"[\\]]", "]", true},
      {"\\*", "*", true},
      {"\\*", "a", false},
      {"a.b", "axb", false},
      {"a+(b)|{c}$", "a+(b)|{c}$", true},
      {"^a", "^a", true},
      // Across names.
      {"**", "a/b", true},
      {"**", "a", true},
      {"**/a", "a", true},
      {"**/a", "x/y/a", true},
      {"**/a", "x/ya", false},
      {"**/a", "a/b", true},
      {"**a", "xa", true},
      {"**a", "x/ya", true},
      {"**/*.o", "x.o", true},
      {"**/*.o", "x/y.o", true},
      {"**/*.o", "x/y.oo", false},
      {"a/**", "a/b/c", true},
      {"a/**", "a", false},
      {"a/**/b", "a/b", true},
      {"a/**/b", "a/x/y/b", true},
      {"a/**/b", "a/x/yb", false},
      {"a/**/b", "ab", false},
      {"a**/b", "a/b", true},
      {"a**/b", "ab", true},
      {"a**/b", "ax/b", true},
      {"**/a/**", "x/a/y", true},
      {"**/a/**", "x/a", false},
      {"**/[ab]/*", "x/b/c", true},
      // Taken back; the last match wins.
      {"*\n!a", "a", false},
      {"*\n!a", "b", true},
      {"*\n!a", "a/b", false},
      {"!a\n*", "a", true},
      {"a\n!a/b", "a/b", false},
      {"a\n!a/b", "a/c", true},
      {"a\n!a/b", "a/b/c", false},
      {"a\n!a/b\na/b/c", "a/b/c", true},
      {"a\n!a/b\na", "a/b", true},
      {"*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true},
      {"*.md\n!README*.md\nREADME-secret.md", "README.md", false},
      {"! a\na\n! a", "a", false},
      {"**\n!**/*.go", "x/y.go", false},
      {"**\n!**/*.go", "x/y.c", true},
  };
  for (const auto& c : cases) {
    const DockerIgnore ignore = Make(c.patterns);
    EXPECT_EQ(ignore.Excludes(c.path), c.excluded) << c.patterns << " on " << c.path;
    EXPECT_EQ(ExcludesByWalk(ignore, c.path), c.excluded) << c.patterns << " on " << c.path << ", walking";
  }
}

TEST(DockerIgnore, SaysWhichDirectoriesNeedNoWalk) {
  const struct {
    std::string_view patterns, directory;
    bool needed;
  } cases[] = {
      {"a", "a", false},
      {"*\n!src", "node_modules", false},
      {"*\n!src/main.c", "src", true},
      {"*\n!src/main.c", "src/deep", false},
      {"*\n!src/*/x", "src/deep", true},
      {"*\n!src/*/x", "src/deep/deeper", false},
      {"*\n!src/*/x", "other", false},
      {"*\n!**/x", "any/where", true},
      {"*\n!*.md", "dir", false},
      {"*\n!srcs/x", "src", false},
      {"*\n!src/**", "src", true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Make(c.patterns).MayContainIncluded(c.directory), c.needed)
        << c.patterns << " in " << c.directory;
  }
}

TEST(DockerIgnore, RefusesBadPatternsWithTheirLine) {
  const auto message = [](std::string_view text, std::string_view name = ".dockerignore") {
    const auto parsed = DockerIgnore::Parse(text, name);
    return parsed ? std::string() : parsed.error().message();
  };
  EXPECT_EQ(message("a\n# c\n[", "web/Dockerfile.dockerignore"),
            "web/Dockerfile.dockerignore:3: \"[\" is not a valid pattern: a '[' without its ']', or an empty "
            "range");
  EXPECT_EQ(message("[]"),
            ".dockerignore:1: \"[]\" is not a valid pattern: a '[' without its ']', or an empty range");
  EXPECT_EQ(message("[a-]"),
            ".dockerignore:1: \"[a-]\" is not a valid pattern: a '[' without its ']', or an empty range");
  EXPECT_EQ(message("a\\"),
            ".dockerignore:1: \"a\\\\\" is not a valid pattern: there is nothing behind the last '\\'");
  EXPECT_EQ(message("!/"), ".dockerignore:1: a pattern is missing behind '!'");
  EXPECT_EQ(message("\n!\n"), ".dockerignore:2: a pattern is missing behind '!'");
  EXPECT_EQ(message(std::string(1 << 20, '\n') + "a"), ".dockerignore:1: the file is larger than 1 MiB");
  EXPECT_NE(message(std::string(5000, 'a')).find("it is longer than 4096 bytes"), std::string::npos);
}

TEST(DockerIgnore, IsLinearInTheWorstCase) {
  std::string pattern;
  for (int i = 0; i < 500; ++i) pattern += "*a";
  const DockerIgnore ignore = Make(pattern + "\n**/" + pattern + "b");
  EXPECT_FALSE(ignore.Excludes(std::string(400, 'a') + "c"));
}

TEST(DockerIgnore, Candidates) {
  EXPECT_THAT(IgnoreFileCandidates("docker/api.Dockerfile"),
              testing::ElementsAre("docker/api.Dockerfile.dockerignore", ".dockerignore"));
}

TEST(GlobMatch, AsGo) {
  const struct {
    std::string_view pattern, name;
    bool matches;
  } cases[] = {
      {"abc", "abc", true},
      {"*", "abc", true},
      {"*c", "abc", true},
      {"a*", "a", true},
      {"a*", "ab/c", false},
      {"a*/b", "abc/b", true},
      {"a*/b", "a/c/b", false},
      {"a*b*c*d*e*/f", "axbxcxdxe/f", true},
      {"ab[c]", "abc", true},
      {"ab[b-d]", "abc", true},
      {"ab[e-g]", "abc", false},
      {"ab[^c]", "abc", false},
      {"ab[^b-d]", "abc", false},
      {"ab[^e-g]", "abc", true},
      {"a\\*b", "a*b", true},
      {"a\\*b", "ab", false},
      {"a?b", "a☺b", true},
      {"a[^a]b", "a☺b", true},
      {"a???b", "a☺b", false},
      {"[a-ζ]*", "α", true},
      {"*[a-ζ]", "A", false},
      {"a?b", "a/b", false},
      {"a*b", "a/b", false},
      {"[\\]a]", "]", true},
      {"[\\-]", "-", true},
      {"[x\\-]", "-", true},
      {"[x\\-]", "z", false},
      {"**", "a/b", false},
      {"**/b", "a/b", true},
      {"*x", "xxx", true},
      {"", "", true},
      {"", "a", false},
      {"]", "]", true},
  };
  for (const auto& c : cases) {
    const auto matches = GlobMatch(c.pattern, c.name);
    ASSERT_TRUE(matches) << c.pattern;
    EXPECT_EQ(*matches, c.matches) << c.pattern << " on " << c.name;
  }
  for (const char* bad : {"[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\"}) {
    const auto matches = GlobMatch(bad, "a");
    ASSERT_FALSE(matches) << bad;
    EXPECT_EQ(matches.error().code(), Code::kInvalid);
  }
  EXPECT_TRUE(HasGlob("a[b"));
  EXPECT_FALSE(HasGlob("a-b.c"));
}

}  // namespace
}  // namespace ingot::build
