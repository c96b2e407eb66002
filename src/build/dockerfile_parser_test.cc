#include "build/dockerfile_parser.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"

namespace ingot::build {
namespace {

fs::path CorpusDirectory() {
  const char* source = std::getenv("INGOT_SOURCE_DIR");
  return fs::path(source == nullptr ? "." : source) / "../shared/data/dockerfile-corpus";
}

std::vector<fs::path> CasesOf(const char* part) {
  std::vector<fs::path> cases;
  const fs::path directory = CorpusDirectory() / part;
  const auto names = ListDirectory(directory);
  if (!names) return cases;
  for (const std::string& name : *names) cases.push_back(directory / name);
  return cases;
}

std::string Read(const fs::path& path) {
  auto text = ReadFile(path);
  EXPECT_TRUE(text) << path;
  return std::move(text).value_or("");
}

TEST(DockerfileCorpus, GivesTheTreesOfBuildKit) {
  const std::vector<fs::path> cases = CasesOf("testfiles");
  if (cases.empty()) GTEST_SKIP() << "SKIP: no corpus";
  EXPECT_EQ(cases.size(), 33u);
  for (const fs::path& directory : cases) {
    SCOPED_TRACE(directory.filename());
    const auto syntax = ParseSyntax(Read(directory / "Dockerfile"), "Dockerfile");
    ASSERT_TRUE(syntax) << syntax.error().Render();
    EXPECT_EQ(DumpSyntax(*syntax) + "\n", Read(directory / "result"));
  }
}

TEST(DockerfileCorpus, RefusesWhatBuildKitRefuses) {
  const std::vector<fs::path> cases = CasesOf("testfiles-negative");
  if (cases.empty()) GTEST_SKIP() << "SKIP: no corpus";
  EXPECT_EQ(cases.size(), 4u);
  for (const fs::path& directory : cases) {
    SCOPED_TRACE(directory.filename());
    const auto syntax = ParseSyntax(Read(directory / "Dockerfile"), "Dockerfile");
    ASSERT_FALSE(syntax);
    EXPECT_EQ(syntax.error().code(), Code::kInvalid);
  }
}

std::string Dump(std::string_view text) {
  const auto syntax = ParseSyntax(text, "Dockerfile");
  return syntax ? DumpSyntax(*syntax) : "error: " + syntax.error().message();
}

TEST(DockerfileParser, Trees) {
  const struct {
    std::string_view text, tree;
  } cases[] = {
      {"FROM a", R"((from "a"))"},
      {"from a as b\n", R"((from "a" "as" "b"))"},
      {"\xEF\xBB\xBF"
       "FROM a\r\nRUN x\r\n",
       "(from \"a\")\n(run \"x\")"},
      // Continuation lines: comments and empty lines do not end one, two escapes in a row do.
      {"RUN a \\\n b", R"((run "a  b"))"},
      {"RUN a \\  \t\n b", R"((run "a  b"))"},
      {"RUN a\\\nb", R"((run "ab"))"},
      {"RUN a \\\n# comment\n  # indented\n\n  b", R"((run "a   b"))"},
      {"RUN a \\\\\nRUN b", "(run \"a \\\\\\\\\")\n(run \"b\")"},
      {"RUN a \\", R"((run "a"))"},
      {"  # comment\n\t RUN a", R"((run "a"))"},
      {"RUN a # no comment", R"((run "a # no comment"))"},
      {"\\\nFROM a", R"((from "a"))"},
      // The JSON form; what is not valid JSON is a shell command.
      {R"(CMD ["a", "b c"])", R"((cmd "a" "b c"))"},
      {R"(CMD [])", "(cmd)"},
      {R"(CMD ["a\u00e9\n\ud83d\ude00\ud800"])", "(cmd \"aé\\n😀\xEF\xBF\xBD\")"},
      {R"(CMD ["a",])", R"((cmd "[\"a\",]"))"},
      {R"(CMD ["a"] x)", R"((cmd "[\"a\"] x"))"},
      {R"(CMD ['a'])", R"((cmd "['a']"))"},
      {R"(RUN ["a", 1])",
       "error: Dockerfile:1: RUN: the JSON form takes strings only: [\"program\", \"argument\"]"},
      {R"(RUN [null])",
       "error: Dockerfile:1: RUN: the JSON form takes strings only: [\"program\", \"argument\"]"},
      {R"(COPY ["a b", "/c d/"])", R"((copy "a b" "/c d/"))"},
      // Flags.
      {"COPY --from=b --link a c", R"((copy ["--from=b" "--link"] "a" "c"))"},
      {"COPY --x=\"a b\" --y=c\\ d -- --e f", R"((copy ["--x=a b" "--y=c d"] "--e" "f"))"},
      {"COPY --chown=ü:ü a b", R"((copy ["--chown=ü:ü"] "a" "b"))"},
      // Names and values.
      {"ENV a b c", R"((env "a" "b c" ""))"},
      {"ENV a=b c=\"d e\" f=g\\ h i=", R"((env "a" "b" "=" "c" "\"d e\"" "=" "f" "g\\ h" "=" "i" "" "="))"},
      {"ENV a=b c",
       "error: Dockerfile:1: ENV: \"c\" has no '=': write name=value, in quotes where the value has spaces"},
      {"FROM a\nENV a", "error: Dockerfile:2: ENV a has no value: write ENV name=value"},
      {"LABEL 'a b'='c d'", R"((label "'a b'" "'c d'" "="))"},
      {"ARG a b=c d=\"e f\"", R"((arg "a" "b=c" "d=\"e f\""))"},
      // The rest.
      {"EXPOSE 80\t443/tcp", R"((expose "80" "443/tcp"))"},
      {"ONBUILD RUN a b", R"((onbuild (run "a b")))"},
      {"ONBUILD ONBUILD CMD [\"a\"]", R"((onbuild (onbuild (cmd "a"))))"},
      {"ONBUILD", "(onbuild)"},
      {"NOSUCH a b", R"((nosuch ""))"},
      {"HEALTHCHECK --retries=3 CMD [\"a\"]", R"((healthcheck ["--retries=3"] "CMD" "a"))"},
      {"HEALTHCHECK NONE", R"((healthcheck "NONE"))"},
      {"WORKDIR a b", R"((workdir "a b"))"},
      {"", "error: Dockerfile:1: the file has no instructions; it needs at least a FROM"},
      {"# only\n\n# comments\n",
       "error: Dockerfile:3: the file has no instructions; it needs at least a FROM"},
  };
  for (const auto& c : cases) EXPECT_EQ(Dump(c.text), c.tree) << c.text;
}

TEST(DockerfileParser, Directives) {
  const auto syntax =
      ParseSyntax("# syntax=docker/dockerfile:1\n#escape = `\n# check=skip=all\nRUN a `\n \\b\n", "f");
  ASSERT_TRUE(syntax) << syntax.error().message();
  EXPECT_EQ(syntax->directives.syntax, "docker/dockerfile:1");
  EXPECT_EQ(syntax->directives.check, "skip=all");
  EXPECT_EQ(syntax->directives.escape, '`');
  EXPECT_EQ(DumpSyntax(*syntax), R"((run "a  \\b"))");

  // After anything else it is a comment.
  for (const char* text : {"# comment\n# escape=`\nRUN a", "\n# escape=`\nRUN a",
                           "#other=1\n# escape=`\nRUN a", "RUN a\n# escape=`\n"}) {
    const auto late = ParseSyntax(text, "f");
    ASSERT_TRUE(late);
    EXPECT_EQ(late->directives.escape, '\\') << text;
  }
  EXPECT_EQ(Dump("# escape=`\n# ESCAPE=`\nFROM a"),
            "error: Dockerfile:2: the parser directive 'escape' is given twice");
  EXPECT_EQ(Dump("# escape=x\nFROM a"),
            "error: Dockerfile:1: the escape directive must be ` or \\, not \"x\"");
}

std::vector<Heredoc> HeredocsOf(std::string_view text) {
  const auto syntax = ParseSyntax(text, "Dockerfile");
  EXPECT_TRUE(syntax) << syntax.error().message();
  return syntax ? syntax->nodes[0].heredocs : std::vector<Heredoc>();
}

TEST(DockerfileParser, Heredocs) {
  const struct {
    std::string_view text, name, content;
    bool expand, chomp;
    unsigned file_descriptor;
  } cases[] = {
      {"RUN <<EOF\na\n\tb\nEOF\n", "EOF", "a\n\tb\n", true, false, 0},
      {"RUN <<EOF\nEOF", "EOF", "", true, false, 0},
      {"RUN <<EOF\r\na\r\nEOF\r\n", "EOF", "a\r\n", true, false, 0},
      {"RUN <<-EOF\n\ta\n\t\tEOF\n", "EOF", "\ta\n", true, true, 0},
      {"RUN <<-'EOF'\n# $a \\\nEOF\n", "EOF", "# $a \\\n", false, true, 0},
      {"RUN 3<<\"EOF\" x\na\nEOF\n", "EOF", "a\n", false, false, 3},
      {"RUN <<e'o'f\neof\n", "eof", "", false, false, 0},
      {"RUN <<e\\'f\ne'f\n", "e'f", "", true, false, 0},
      {"RUN <<'one two'\none two\n", "one two", "", false, false, 0},
      {"RUN <<$X\n$X\n", "$X", "", true, false, 0},
      {"RUN << EOF > x\nEOF\n", "EOF", "", true, false, 0},
      {"COPY <<a.txt /b\nc\na.txt\n", "a.txt", "c\n", true, false, 0},
      {"ONBUILD RUN <<EOF\na\nEOF\n", "EOF", "a\n", true, false, 0},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const std::vector<Heredoc> heredocs = HeredocsOf(c.text);
    ASSERT_EQ(heredocs.size(), 1u);
    EXPECT_EQ(heredocs[0].name, c.name);
    EXPECT_EQ(heredocs[0].content, c.content);
    EXPECT_EQ(heredocs[0].expand, c.expand);
    EXPECT_EQ(heredocs[0].chomp, c.chomp);
    EXPECT_EQ(heredocs[0].file_descriptor, c.file_descriptor);
  }
  const std::vector<Heredoc> two = HeredocsOf("COPY <<A <<B /x\nB\nA\nA\nB\n");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].content, "B\n");
  EXPECT_EQ(two[1].content, "A\n");

  for (const char* text : {"RUN \"<<EOF\"", "RUN a<<<b", "RUN a <<", "RUN [\"<<EOF\"]", "USER <<EOF",
                           "RUN a<<EOF", "RUN <<${A:-b}", "RUN it's <<EOF"}) {
    EXPECT_TRUE(HeredocsOf(text).empty()) << text;
  }
  EXPECT_EQ(Dump("FROM a\nRUN <<EOF\na\n EOF\n"),
            "error: Dockerfile:2: the heredoc <<EOF has no end: a line with only EOF is missing");
  EXPECT_EQ(ChompHeredoc("\t\ta\n b\n\tc"), "a\n b\nc");
}

TEST(DockerfileParser, LineNumbers) {
  const auto syntax = ParseSyntax("\n# c\nFROM a\nRUN b \\\n\n c\nRUN <<E\n\nE\n\nCMD d", "Dockerfile");
  ASSERT_TRUE(syntax);
  const std::pair<int, int> expected[] = {{3, 3}, {4, 6}, {7, 9}, {11, 11}};
  ASSERT_EQ(syntax->nodes.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(syntax->nodes[i].line, expected[i].first);
    EXPECT_EQ(syntax->nodes[i].end_line, expected[i].second);
  }
  EXPECT_EQ(syntax->nodes[1].original, "RUN b  c");
}

TEST(DockerfileParser, BoundsHostileInput) {
  EXPECT_EQ(Dump("RUN " + std::string(kMaxDockerfileLineBytes - 4, 'a') + "\n").size(),
            kMaxDockerfileLineBytes + 4);
  EXPECT_EQ(Dump("FROM a\nRUN " + std::string(kMaxDockerfileLineBytes - 3, 'a')),
            "error: Dockerfile:2: the line is longer than 65535 bytes");
  EXPECT_EQ(Dump(std::string(kMaxDockerfileBytes + 1, '\n')),
            "error: Dockerfile:1: the file has 4194305 bytes, more than the 4194304 that are allowed");
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += "ONBUILD ";
  EXPECT_EQ(Dump(nested + "RUN a"), "error: Dockerfile:1: ONBUILD is nested too deeply");
}

}  // namespace
}  // namespace ingot::build
