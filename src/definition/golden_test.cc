// tests/golden/definition/NAME.yaml → NAME.json (what it resolves to, per environment) or NAME.err (its
// problems). INGOT_ACCEPT=1 writes what is found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "definition/parse.h"
#include "definition/resolve.h"
#include "definition/resolved.h"
#include "definition/unsupported.h"

namespace ingot::definition {
namespace {

fs::path GoldenDirectory() {
  const char* source = std::getenv("INGOT_SOURCE_DIR");
  return fs::path(source != nullptr ? source : ".") / "tests/golden/definition";
}

Variables GoldenVariables() {
  return {{{"LEVEL", "debug"}, {"REPLICAS", "4"}, {"EMPTY", ""}}, "0123456789abcdef0123456789abcdef01234567"};
}

std::string ResolveAll(const Definition& definition) {
  JsonObject out;
  for (const auto& environment : definition.environments) {
    ResolveInput input;
    input.environment = environment.first;
    input.commit = *GoldenVariables().git_sha;
    for (const auto& image : definition.images)
      input.image_digests[image.first] = oci::Digest::Of(image.first);
    for (const auto& secret : definition.secrets) input.secret_versions[secret.first] = "1";
    const Result<Resolved> resolved = Resolve(definition, input);
    if (!resolved) return resolved.error().Render();
    JsonObject fleets;
    for (const ResolvedService& service : resolved->services)
      fleets[service.name] = FleetDigest(service).Render();
    JsonArray unsupported;
    for (const Unsupported& block : NotYetSupported(definition, environment.first))
      unsupported.emplace_back(RenderUnsupported(definition, block));
    out[environment.first] = JsonObject{{"resolved", ToJson(*resolved)},
                                        {"fleets", std::move(fleets)},
                                        {"revision", RevisionDigest(*resolved).Render()},
                                        {"not_yet_supported", std::move(unsupported)}};
    // What was written is read back the same.
    const Result<Resolved> back = ResolvedFromJson(ToJson(*resolved));
    EXPECT_TRUE(back.has_value()) << back.error().Render();
    if (back) {
      EXPECT_EQ(*back, *resolved);
    }
  }
  return RenderPretty(out) + "\n";
}

void Compare(const fs::path& file, const std::string& found) {
  if (std::getenv("INGOT_ACCEPT") != nullptr) {
    ASSERT_TRUE(WriteFileAtomic(file, found, 0644, Durability::kNone).has_value());
    return;
  }
  const Result<std::string> expected = ReadFile(file);
  ASSERT_TRUE(expected.has_value()) << expected.error().Render() << "; INGOT_ACCEPT=1 writes it";
  EXPECT_EQ(found, *expected) << file << "; INGOT_ACCEPT=1 accepts it";
}

TEST(DefinitionGolden, Files) {
  const Result<std::vector<std::string>> names = ListDirectory(GoldenDirectory());
  ASSERT_TRUE(names.has_value()) << names.error().Render();
  int seen = 0;
  for (const std::string& name : *names) {
    if (!name.ends_with(".yaml")) continue;
    SCOPED_TRACE(name);
    ++seen;
    const fs::path file = GoldenDirectory() / name;
    const Parsed parsed = ParseAll(ReadFile(file).value_or(""), name, GoldenVariables());
    std::string problems;
    for (const Problem& problem : parsed.problems) problems += problem.Render() + "\n";
    const bool bad = name.starts_with("bad-");
    EXPECT_EQ(parsed.definition.has_value(), !bad) << problems;
    if (parsed.definition && !bad)
      Compare(fs::path(file).replace_extension(".json"), ResolveAll(*parsed.definition));
    if (bad) Compare(fs::path(file).replace_extension(".err"), problems);
  }
  EXPECT_GE(seen, 6);
}

}  // namespace
}  // namespace ingot::definition
