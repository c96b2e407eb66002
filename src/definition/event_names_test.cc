#include "definition/event_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>

#include "base/file.h"

namespace ingot::definition {
namespace {

TEST(EventNames, AreThoseOfTheDocument) {
  const char* source = std::getenv("INGOT_SOURCE_DIR");
  const auto text = ReadFile(fs::path(source != nullptr ? source : ".") / "docs/formats/events.md");
  ASSERT_TRUE(text) << text.error().Render();
  // Rows such as | `instance.starting`, `instance.stopping` | … | and | `rollout.planned preparing …` | … |
  std::vector<std::string> found;
  const std::regex row("^\\| (`[a-z]+\\.[^|]*) \\|");
  const std::regex quoted("`([a-z]+)\\.([a-z_ ]+)`");
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    const std::string line = text->substr(begin, end - begin);
    begin = end + 1;
    std::smatch cell;
    if (!std::regex_search(line, cell, row)) continue;
    const std::string names = cell[1];
    for (std::sregex_iterator it(names.begin(), names.end(), quoted), none; it != none; ++it) {
      std::istringstream words((*it)[2]);
      for (std::string word; words >> word;) found.push_back((*it)[1].str() + "." + word);
    }
  }
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(EventNames()));
}

TEST(EventNames, AFamilyMeansAllOfIt) {
  EXPECT_TRUE(IsEventName("rollout"));
  EXPECT_TRUE(IsEventName("rollout.reverted"));
  EXPECT_FALSE(IsEventName("rollout.revert"));
  EXPECT_FALSE(IsEventName("roll"));
  EXPECT_FALSE(IsEventName(""));
  EXPECT_TRUE(IsAskedFor("rollout", "rollout.reverted"));
  EXPECT_FALSE(IsAskedFor("rollout.re", "rollout.reverted"));
}

}  // namespace
}  // namespace ingot::definition
