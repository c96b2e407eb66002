#include "build/word_expansion.h"

#include <gtest/gtest.h>

namespace ingot::build {
namespace {

Variables Sample() {
  return Variables::FromEnv({"HOME=/root", "NAME=web", "EMPTY=", "SPACED=a  b", "PATHLIKE=/usr/lib/x.tar.gz",
                             "STARS=a*b*c", "WIDE=añb", "K=é"});
}

std::string Expand(std::string_view word, const ExpansionOptions& options = {}) {
  auto result = ExpandWord(word, Sample(), options);
  return result ? *result : "error: " + result.error().message();
}

TEST(WordExpansion, Table) {
  const struct {
    std::string_view word, result;
  } cases[] = {
      // Quotes and escapes.
      {"plain", "plain"},
      {"a'b'c", "abc"},
      {"a\"b\"c", "abc"},
      {"a\\'b", "a'b"},
      {"a\\b", "ab"},
      {"\"a\\b\"", "a\\b"},
      {"\"a\\\\b\"", "a\\b"},
      {"\"a\\\"b\"", "a\"b"},
      {"'a\\b'", "a\\b"},
      {"'a\\'", "a\\"},
      {"a\\", "a"},
      {"a\\\\", "a\\"},
      {"'\"'", "\""},
      {"\"'\"", "'"},
      {"a b", "a b"},
      {"$.", "$."},
      {"a$", "a$"},
      {"é'é'", "éé"},
      // Plain variables.
      {"$HOME", "/root"},
      {"x$HOME/y", "x/root/y"},
      {"${HOME}y", "/rooty"},
      {"$HOMEY", ""},
      {"$UNSET.", "."},
      {"\\$HOME", "$HOME"},
      {"\\\\$HOME", "\\/root"},
      {"\"$HOME\"", "/root"},
      {"\"\\$HOME\"", "$HOME"},
      {"'$HOME'", "$HOME"},
      {"\\${HOME}", "${HOME}"},
      {"$1x", "x"},
      {"$12", ""},
      {"$@@", "@"},
      {"${@}", ""},
      {"$$", ""},
      {"$K", "é"},
      {"${HOME}}", "/root}"},
      // Defaults and alternatives, nested.
      {"${UNSET:-d}", "d"},
      {"${EMPTY:-d}", "d"},
      {"${EMPTY-d}", ""},
      {"${UNSET-d}", "d"},
      {"${NAME:-d}", "web"},
      {"${NAME:+a}", "a"},
      {"${EMPTY:+a}", ""},
      {"${EMPTY+a}", "a"},
      {"${UNSET+a}", ""},
      {"${UNSET:-$HOME}", "/root"},
      {"${UNSET:-${EMPTY:-${NAME}}}", "web"},
      {"${UNSET:-a b}", "a b"},
      {"${UNSET:-\"}\"}", "}"},
      {"${UNSET:-\\}}", "}"},
      {"${UNSET:-{x}", "{x"},
      {"${UNSET:-\\${HOME}z}", "${HOMEz}"},
      {"${1:-a}", "a"},
      {"${-:-a}", "a"},
      {"a${NAME:+-${NAME}}.gz", "a-web.gz"},
      // Demands.
      {"${NAME?x}", "web"},
      {"${NAME:?x}", "web"},
      {"${EMPTY?x}", ""},
      // Prefixes and suffixes.
      {"${PATHLIKE#/}", "usr/lib/x.tar.gz"},
      {"${PATHLIKE#*/}", "usr/lib/x.tar.gz"},
      {"${PATHLIKE##*/}", "x.tar.gz"},
      {"${PATHLIKE%.*}", "/usr/lib/x.tar"},
      {"${PATHLIKE%%.*}", "/usr/lib/x"},
      {"${PATHLIKE%/*}", "/usr/lib"},
      {"${PATHLIKE%%/*}", ""},
      {"${PATHLIKE#nope}", "/usr/lib/x.tar.gz"},
      {"${PATHLIKE#}", "/usr/lib/x.tar.gz"},
      {"${PATHLIKE##*}", ""},
      {"${PATHLIKE#*}", "/usr/lib/x.tar.gz"},
      {"${PATHLIKE%*}", "/usr/lib/x.tar.gz"},
      {"${STARS#a\\*}", "b*c"},
      {"${STARS%%\\**}", "a"},
      {"${STARS%\\**}", "a*b"},
      {"${WIDE#a?}", "b"},
      {"${WIDE%?b}", "a"},
      {"${UNSET#a}", ""},
      {"${NAME#$NAME}", ""},
      {"${NAME%'b'}", "we"},
      // Replacements.
      {"${PATHLIKE/\\//_}", "_usr/lib/x.tar.gz"},
      {"${PATHLIKE//\\//_}", "_usr_lib_x.tar.gz"},
      {"${PATHLIKE/.*/}", "/usr/lib/x"},
      {"${NAME/e/EE}", "wEEb"},
      {"${NAME/?/x}", "xeb"},
      {"${NAME//?/x}", "xxx"},
      {"${NAME//*/x}", "x"},
      {"${NAME/nope/x}", "web"},
      {"${NAME/$NAME/$HOME}", "/root"},
      {"${NAME/$EMPTY/x}", "xweb"},
      {"${NAME//$EMPTY/-}", "-w-e-b-"},
      {"${NAME///}", "web"},
      {"${UNSET/a/b}", ""},
      {"${STARS//\\*/\\$1}", "a\\$1b\\$1c"},
      {"${WIDE/ñ/n}", "anb"},
      // Not substitutions.
      {"a<b", "a<b"},
      {"a<<b", "a<<b"},
      // Errors.
      {"a'b", "error: cannot expand \"a'b\": a single quote is not closed"},
      {"\"a", "error: cannot expand \"\\\"a\": a double quote is not closed"},
      {"\"a\\\"", "error: cannot expand \"\\\"a\\\\\\\"\": a double quote is not closed"},
      {"${", "error: cannot expand \"${\": '}' is missing in ${…}"},
      {"${HOME",
       "error: cannot expand \"${HOME\": '' after ${HOME is not known; known are :- - :+ + :? ? # ## % %% / "
       "//"},
      {"${HOME:-x", "error: cannot expand \"${HOME:-x\": '}' is missing in ${…}"},
      {"${}", "error: cannot expand \"${}\": '${' must be followed by the name of a variable"},
      {"${:-x}", "error: cannot expand \"${:-x}\": '${' must be followed by the name of a variable"},
      {"${{x}}", "error: cannot expand \"${{x}}\": '${' must be followed by the name of a variable"},
      {"${.}",
       "error: cannot expand \"${.}\": '.' after ${ is not known; known are :- - :+ + :? ? # ## % %% / //"},
      {"${HOME:=x}",
       "error: cannot expand \"${HOME:=x}\": ':=' after ${HOME is not known; known are :- - :+ + :? ? # ## % "
       "%% / //"},
      {"${HOME:#x}",
       "error: cannot expand \"${HOME:#x}\": ':#' after ${HOME is not known; known are :- - :+ + :? ? # ## % "
       "%% / //"},
      {"${UNSET?}", "error: cannot expand \"${UNSET?}\": UNSET must be set"},
      {"${EMPTY:?}", "error: cannot expand \"${EMPTY:?}\": EMPTY must be set to something"},
      {"${UNSET:?give $NAME}", "error: cannot expand \"${UNSET:?give $NAME}\": UNSET: give web"},
      {"${NAME#\\x}",
       "error: cannot expand \"${NAME#\\\\x}\": in the pattern \"\\\\x\" a backslash must be followed by one "
       "of * ? \\ } /"},
      {"${NAME/a}", "error: cannot expand \"${NAME/a}\": '/' is missing in ${…}"},
  };
  for (const auto& c : cases) EXPECT_EQ(Expand(c.word), c.result) << c.word;
}

TEST(WordExpansion, OtherEscapeCharacter) {
  const ExpansionOptions backtick{.escape = '`'};
  EXPECT_EQ(Expand("C:\\a`$HOME", backtick), "C:\\a$HOME");
  EXPECT_EQ(Expand("\"`\"\\\"", backtick), "\"\\");
}

TEST(WordExpansion, Options) {
  EXPECT_EQ(Expand("'a' \"b\"", {.keep_quotes = true}), "'a' \"b\"");
  EXPECT_EQ(Expand("a\\b", {.keep_escapes = true}), "a\\b");
  EXPECT_EQ(Expand("it's \"$NAME\" \\$x", {.ignore_quotes = true}), "it's \"web\" $x");
  EXPECT_EQ(Expand("$UNSET ${UNSET} ${UNSET:-d} ${UNSET//a/b} $NAME", {.keep_unset = true}),
            "$UNSET ${UNSET} ${UNSET:-d} ${UNSET//a/b} web");
}

TEST(WordExpansion, SplitsAfterExpansion) {
  const struct {
    std::string_view word;
    std::vector<std::string> words;
  } cases[] = {
      {"a b", {"a", "b"}},
      {"  a\t b  ", {"a", "b"}},
      {"a\\ b", {"a b"}},
      {"'a b' c", {"a b", "c"}},
      {"x${SPACED}y", {"xa", "by"}},
      {"x\"${SPACED}\"y", {"xa  by"}},
      {"1${UNSET:-2} 3", {"12", "3"}},
      {"'' a", {"a"}},
      {"$UNSET", {}},
      {"<< EOF b", {"<< EOF", "b"}},
      {"a\xC2\xA0"
       "b",
       {"a", "b"}},
  };
  for (const auto& c : cases) {
    const auto words = ExpandWords(c.word, Sample());
    ASSERT_TRUE(words) << c.word;
    EXPECT_EQ(*words, c.words) << c.word;
  }
}

TEST(WordExpansion, BoundsHostileInput) {
  Variables big;
  big.Set("X", std::string(1 << 19, 'x'));
  const auto doubled = ExpandWord("$X$X$X", big);
  ASSERT_FALSE(doubled);
  EXPECT_EQ(doubled.error().message(),
            "cannot expand \"$X$X$X\": the result is larger than 1 MiB; shorten the variables it is made of");
  EXPECT_EQ(ExpandWord("${X//x/xxxx}", big).error().message(),
            "cannot expand \"${X//x/xxxx}\": the result of a replacement is too large");
  EXPECT_EQ(ExpandWord("${X#*a*b*c*d*e*f}", big).error().code(), Code::kInvalid);

  std::string nested;
  for (int i = 0; i < 100; ++i) nested += "${A:-";
  const auto deep = ExpandWord(nested, big);
  ASSERT_FALSE(deep);
  EXPECT_NE(deep.error().message().find("more than 64 nested substitutions"), std::string::npos);

  // The pattern that makes backtracking matchers exponential.
  Variables evil;
  evil.Set("X", std::string(20000, 'a'));
  EXPECT_EQ(*ExpandWord("${X##*a*a*a*a*a*a*a*a*b}", evil), std::string(20000, 'a'));
}

TEST(Variables, KeepsTheOrderOfFirstSetting) {
  Variables variables = Variables::FromEnv({"A=1", "B=2=3", "C"});
  variables.Set("A", "4");
  variables.Set("D", "");
  EXPECT_EQ(variables.ToEnv(), (std::vector<std::string>{"A=4", "B=2=3", "C=", "D="}));
  EXPECT_EQ(variables.Find("E"), nullptr);
  EXPECT_EQ(*variables.Find("B"), "2=3");
}

}  // namespace
}  // namespace ingot::build
