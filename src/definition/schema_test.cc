#include "definition/schema.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/units.h"
#include "definition/defaults.h"
#include "definition/parse.h"

namespace ingot::definition {
namespace {

// Follows a schema as an editor would, and asks the parser about each place where it has keys.
class Walk {
 public:
  explicit Walk(Json schema) : schema_(std::move(schema)) {}

  void Run() { At(schema_, "@"); }
  size_t blocks() const { return blocks_; }
  size_t keys() const { return keys_; }

 private:
  static std::string Fill(std::string around, const std::string& value) {
    return around.replace(around.find('@'), 1, value);
  }

  // `around` is a YAML flow document with @ where a value of this schema stands.
  void At(const Json& schema, const std::string& around) {
    const JsonObject& object = schema.as_object();
    if (const Json* ref = object.if_contains("$ref")) {
      const std::string name = std::string(ref->get_string()).substr(std::string("#/$defs/").size());
      At(schema_.at("$defs").at(name), around);
    }
    if (const Json* any = object.if_contains("anyOf"))
      for (const Json& one : any->as_array()) At(one, around);
    if (const Json* items = object.if_contains("items")) At(*items, Fill(around, "[@]"));
    if (const Json* values = object.if_contains("additionalProperties");
        values != nullptr && values->is_object())
      At(*values, Fill(around, "{n: @}"));
    if (const Json* properties = object.if_contains("properties")) Block(properties->as_object(), around);
  }

  void Block(const JsonObject& properties, const std::string& around) {
    ++blocks_;
    std::set<std::string> in_schema;
    for (const auto& property : properties) {
      in_schema.insert(property.key());
      EXPECT_NE(property.value().as_object().if_contains("description"), nullptr)
          << around << " " << property.key();
      ++keys_;
      // Known to the parser: whatever else it says about this document, the key is not unknown.
      EXPECT_EQ(Complaint(Fill(around, "{" + std::string(property.key()) + ": ~}")), "") << around;
      At(property.value(), Fill(around, "{" + std::string(property.key()) + ": @}"));
    }
    // And known to the schema: the parser lists all its keys when it is far from any.
    std::string complaint = Complaint(Fill(around, "{qqqqqqqqqqqqqqqqqqqqqqqqq: ~}"));
    ASSERT_NE(complaint, "") << around;
    complaint = complaint.substr(complaint.find("; expected ") + 11);
    std::set<std::string> in_parser;
    for (size_t start = 0; start < complaint.size();) {
      const size_t end = std::min(complaint.find_first_of(", ", start), complaint.size());
      const std::string word = complaint.substr(start, end - start);
      if (!word.empty() && word != "or") in_parser.insert(word);
      start = end + 1;
    }
    EXPECT_EQ(in_parser, in_schema) << around;
  }

  static std::string Complaint(const std::string& yaml) {
    for (const Problem& problem : ParseAll(yaml, "f", {}).problems)
      if (problem.message.find("unknown key") != std::string::npos) return problem.message;
    return "";
  }

  Json schema_;
  size_t blocks_ = 0;
  size_t keys_ = 0;
};

Json Schema() {
  const Result<Json> schema = ParseJson(JsonSchema());
  EXPECT_TRUE(schema.has_value());
  return *schema;
}

TEST(Schema, HasTheKeysOfTheParserAndNoOthers) {
  Walk walk(Schema());
  walk.Run();
  EXPECT_EQ(walk.blocks(), 64u);
  EXPECT_EQ(walk.keys(), 347u);
}

// docs/formats/definition.md has a table for every block, with a row for every key and its description.
TEST(Schema, IsWhatTheDocumentSays) {
  const char* source = std::getenv("INGOT_SOURCE_DIR");
  const Result<std::string> document =
      ReadFile(fs::path(source != nullptr ? source : ".") / "docs/formats/definition.md");
  ASSERT_TRUE(document.has_value()) << document.error().Render();
  const Json schema = Schema();
  for (const auto& block : schema.at("$defs").as_object()) {
    if (block.key() == "service_override") continue;  // a service; the document says so
    const std::string heading = "\n### " + std::string(block.key()) + "\n";
    const size_t start = document->find(heading);
    ASSERT_NE(start, std::string::npos) << heading;
    const std::string section = document->substr(start, document->find("\n### ", start + 1) - start);
    size_t rows = 0;
    for (size_t row = section.find("\n| `"); row != std::string::npos; row = section.find("\n| `", row + 1))
      ++rows;
    const JsonObject& properties = block.value().at("properties").as_object();
    EXPECT_EQ(rows, properties.size()) << heading;
    for (const auto& property : properties) {
      const size_t row = section.find("\n| `" + std::string(property.key()) + "` |");
      ASSERT_NE(row, std::string::npos) << heading << property.key();
      const std::string line = section.substr(row + 1, section.find('\n', row + 1) - row - 1);
      const std::string meaning(property.value().at("description").get_string());
      EXPECT_TRUE(line.ends_with("| " + meaning + " |")) << line << " should mean: " << meaning;
    }
  }
}

TEST(Schema, StatesTheDefaultsThatResolveApplies) {
  const Json schema = Schema();
  const auto stated = [&](const char* block, const char* key) {
    return RenderJson(schema.at("$defs").at(block).at("properties").at(key).at("default"));
  };
  const auto duration = [&](const char* block, const char* key) {
    const std::string text = stated(block, key);
    return ParseDuration(text.substr(1, text.size() - 2)).value_or(Milliseconds(-1));
  };
  EXPECT_EQ(stated("service", "replicas"), std::to_string(kDefaultReplicas));
  EXPECT_EQ(stated("service", "kind"), "\"service\"");
  EXPECT_EQ(duration("service", "stop_grace_period"), kDefaultGrace);
  EXPECT_EQ(duration("ready", "interval"), kDefaultReadyInterval);
  EXPECT_EQ(duration("ready", "timeout"), kDefaultProbeTimeout);
  EXPECT_EQ(duration("ready", "deadline"), kDefaultDeadline);
  EXPECT_EQ(stated("ready", "passes"), std::to_string(kDefaultPasses));
  EXPECT_EQ(duration("live", "interval"), kDefaultLiveInterval);
  EXPECT_EQ(stated("live", "fails"), std::to_string(kDefaultFails));
  EXPECT_EQ(duration("rollout", "keep_old"), kDefaultKeepOld);
  EXPECT_EQ(duration("rollout", "drain"), kDefaultDrain);
  EXPECT_EQ(stated("shadow", "share"), "\"" + std::to_string(kDefaultShadowShare) + "%\"");
  EXPECT_EQ(stated("shadow", "differences"), "\"" + std::to_string(kDefaultShadowDifferences / 100) + "%\"");
  EXPECT_EQ(stated("shadow", "errors"), "\"" + std::to_string(kDefaultShadowErrors / 100) + "%\"");
  EXPECT_EQ(stated("shadow", "least"), std::to_string(kDefaultShadowLeast));
  EXPECT_EQ(duration("shadow", "timeout"), kDefaultShadowTimeout);
  EXPECT_EQ(duration("image_test", "timeout"), kDefaultTestTimeout);
  EXPECT_EQ(stated("scratch", "size"), "\"" + std::to_string(kDefaultScratchBytes >> 20) + "MiB\"");
}

}  // namespace
}  // namespace ingot::definition
