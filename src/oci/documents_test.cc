// Manifests, indexes, configurations and descriptors: exact bytes, exact errors, the specification's schemas.
#include <gmock/gmock.h>

#include <cstdlib>

#include "base/file.h"
#include "base/subprocess.h"
#include "oci/base64.h"
#include "oci/image_config.h"
#include "oci/index.h"
#include "oci/manifest.h"

namespace ingot::oci {
namespace {

using testing::HasSubstr;

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

Digest D(const std::string& text) {
  return *Digest::Parse(text);
}

Manifest FullManifest() {
  Manifest manifest;
  manifest.artifact_type = "application/x.thing";
  manifest.config.media_type = kConfigType;
  manifest.config.digest = D(kA);
  manifest.config.size_bytes = 7;
  Descriptor layer;
  layer.media_type = kLayerTarType;
  layer.digest = D(kB);
  layer.size_bytes = (uint64_t{1} << 63) - 1;
  layer.urls = {"https://a.example/x"};
  layer.annotations = {{"k", "v"}};
  Descriptor small;
  small.media_type = kEmptyType;
  small.digest = Digest::Of("{}");
  small.size_bytes = 2;
  small.data = "{}";
  manifest.layers = {layer, small};
  manifest.subject = manifest.config;
  manifest.annotations = {{"b", "2"}, {"a", "1\n\"ü"}};
  return manifest;
}

ImageConfig FullConfig() {
  ImageConfig config;
  config.created = "2024-05-01T12:00:00.5+02:00";
  config.author = "me";
  config.architecture = "arm64";
  config.os = "linux";
  config.os_version = "1";
  config.os_features = {"f"};
  config.variant = "v8";
  config.config.user = "1000:1000";
  config.config.exposed_ports = {"8080/tcp", "53/udp"};
  config.config.env = {"B=2", "A=1=1"};
  config.config.entrypoint = std::vector<std::string>{};
  config.config.cmd = {{"a", ""}};
  config.config.volumes = {"/data"};
  config.config.working_dir = "/w";
  config.config.labels = {{"l", ""}};
  config.config.stop_signal = "SIGQUIT";
  config.config.healthcheck = Healthcheck{{"CMD", "true"}, 1'000'000'000, 2, 3, 4};
  config.config.shell = {"/bin/sh", "-c"};
  config.config.on_build = {"RUN x"};
  config.diff_ids = {D(kA), D(kB)};
  config.history = {{"2024-05-01T12:00:00Z", "me", "COPY . .", "c", false}, {"", "", "ENV", "", true}};
  return config;
}

TEST(ManifestTest, RendersTheSameBytesAlways) {
  Manifest manifest;
  manifest.config.media_type = kConfigType;
  manifest.config.digest = D(kA);
  manifest.config.size_bytes = 7;
  manifest.annotations = {{"b", "2"}, {"a", "1"}};
  Descriptor layer;
  layer.media_type = kLayerTarType;
  layer.digest = D(kB);
  layer.size_bytes = 10'240;
  manifest.layers = {layer};
  EXPECT_EQ(manifest.Render(),
            R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
            R"("config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
                kA +
                R"(","size":7},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":")" +
                kB + R"(","size":10240}],"annotations":{"a":"1","b":"2"}})");
}

TEST(ManifestTest, ParseAndRenderAreInverses) {
  const Manifest manifest = FullManifest();
  const auto parsed = Manifest::Parse(manifest.Render());
  ASSERT_TRUE(parsed) << parsed.error().Render();
  EXPECT_EQ(*parsed, manifest);
  EXPECT_EQ(parsed->Render(), manifest.Render());
}

TEST(ManifestTest, AcceptsDockersSchemaTwo) {
  const auto parsed = Manifest::Parse(
      R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":)"
      R"({"mediaType":"application/vnd.docker.container.image.v1+json","size":1,"digest":")" +
      kA +
      R"("},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":2,"digest":")" +
      kB + R"("}],"unknown":[1]})");
  ASSERT_TRUE(parsed) << parsed.error().Render();
  EXPECT_EQ(LayerCompressionOf(parsed->layers[0].media_type), LayerCompression::kGzip);
}

struct Bad {
  const char* name;
  std::string document;
  Code code;
  std::string message;
};

std::string ManifestWith(const std::string& member) {
  const std::string config = R"("config":{"mediaType":"a/b","size":1,"digest":")" + kA + R"("})";
  return R"({"schemaVersion":2,)" + (member.find("\"config\"") == 0 ? "" : config + ",") +
         (member.find("\"layers\"") == 0 ? "" : std::string(R"("layers":[],)")) + member + "}";
}

TEST(ManifestTest, SaysWhichMemberIsWrong) {
  const std::vector<Bad> documents = {
      {"not json", "{", Code::kInvalid, "not JSON"},
      {"not an object", "[]", Code::kInvalid, "expected a JSON object"},
      {"schema 1", R"({"schemaVersion":1})", Code::kUnsupported, "schemaVersion: 1"},
      {"no version", "{}", Code::kInvalid, "schemaVersion: expected 2"},
      {"version as text", R"({"schemaVersion":"2"})", Code::kInvalid, "schemaVersion: expected an integer"},
      {"an index", ManifestWith(R"("manifests":[])"), Code::kInvalid, "manifests:"},
      {"index type", ManifestWith(R"("mediaType":"application/vnd.oci.image.index.v1+json")"), Code::kInvalid,
       "mediaType: expected"},
      {"no config", R"({"schemaVersion":2,"layers":[]})", Code::kInvalid, "config: missing"},
      {"layers no list", ManifestWith(R"("layers":{})"), Code::kInvalid, "layers: expected a list"},
      {"bad layer", ManifestWith(R"("layers":[{"mediaType":"a/b","size":1,"digest":"sha256:x"}])"),
       Code::kInvalid, "layers[0].digest:"},
      {"negative size", ManifestWith(R"("config":{"mediaType":"a/b","size":-1,"digest":")" + kA + R"("})"),
       Code::kInvalid, "config.size: expected a size"},
      {"size too large",
       ManifestWith(R"("config":{"mediaType":"a/b","size":9223372036854775808,"digest":")" + kA + R"("})"),
       Code::kInvalid, "config.size:"},
      {"media type", ManifestWith(R"("config":{"mediaType":"a b","size":1,"digest":")" + kA + R"("})"),
       Code::kInvalid, "config.mediaType: expected a media type"},
      {"annotation", ManifestWith(R"("annotations":{"a":1})"), Code::kInvalid,
       "annotations: expected an object of strings"},
      {"data",
       ManifestWith(R"("config":{"mediaType":"a/b","size":2,"data":"e30=","digest":")" + kA + R"("})"),
       Code::kInvalid, "config.data: is not the content"},
      {"base64",
       ManifestWith(R"("config":{"mediaType":"a/b","size":2,"data":"e3","digest":")" + kA + R"("})"),
       Code::kInvalid, "config.data: not base64"},
  };
  for (const Bad& bad : documents) {
    const auto parsed = Manifest::Parse(bad.document);
    ASSERT_FALSE(parsed) << bad.name;
    EXPECT_EQ(parsed.error().code(), bad.code) << bad.name;
    EXPECT_THAT(parsed.error().message(), HasSubstr(bad.message)) << bad.name;
  }
}

TEST(ManifestTest, IsBounded) {
  EXPECT_THAT(Manifest::Parse(std::string(kMaxManifestBytes + 1, ' ')).error().message(),
              HasSubstr("at most"));
  EXPECT_FALSE(Manifest::Parse(std::string(100'000, '[')));
}

TEST(ManifestTest, AnyTruncationIsAnErrorNotACrash) {
  const std::string whole = FullManifest().Render();
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(Manifest::Parse(whole.substr(0, size)));
  const std::string config = FullConfig().Render();
  for (size_t size = 0; size < config.size(); ++size)
    EXPECT_FALSE(ImageConfig::Parse(config.substr(0, size)));
}

TEST(IndexTest, ParseAndRenderAreInverses) {
  Index index;
  index.manifests = {FullManifest().config, FullManifest().config};
  index.manifests[0].platform = Platform{"amd64", "linux", "5", {"x"}, "v2"};
  index.annotations = {{"a", "b"}};
  index.subject = FullManifest().config;
  const auto parsed = Index::Parse(index.Render());
  ASSERT_TRUE(parsed) << parsed.error().Render();
  EXPECT_EQ(*parsed, index);
  EXPECT_FALSE(Index::Parse(FullManifest().Render()));
  EXPECT_FALSE(Manifest::Parse(index.Render()));
}

TEST(IndexTest, SelectsByMachine) {
  Index index;
  const auto add = [&](std::optional<Platform> platform) {
    index.manifests.push_back(FullManifest().config);
    index.manifests.back().platform = std::move(platform);
  };
  const Platform amd64{"amd64", "linux", "", {}, ""};
  EXPECT_EQ(index.Select(amd64), nullptr);
  add(Platform{"amd64", "windows", "", {}, ""});
  add(Platform{"arm64", "linux", "", {}, "v8"});
  EXPECT_EQ(index.Select(amd64), nullptr);
  EXPECT_EQ(index.Select({"arm64", "linux", "", {}, ""}), &index.manifests[1]);
  EXPECT_EQ(index.Select({"arm64", "linux", "", {}, "v7"}), nullptr);
  add(std::nullopt);
  EXPECT_EQ(index.Select(amd64), &index.manifests[2]);
  add(amd64);
  EXPECT_EQ(index.Select(amd64), &index.manifests[3]);
  // One for newer machines stands beside the one for all.
  index.manifests.insert(index.manifests.begin(), index.manifests[3]);
  index.manifests[0].platform->variant = "v3";
  EXPECT_EQ(index.Select(amd64), &index.manifests[4]);
}

TEST(ImageConfigTest, ParseAndRenderAreInverses) {
  const ImageConfig config = FullConfig();
  const auto parsed = ImageConfig::Parse(config.Render());
  ASSERT_TRUE(parsed) << parsed.error().Render();
  EXPECT_EQ(*parsed, config);
  EXPECT_EQ(parsed->Render(), config.Render());
}

TEST(ImageConfigTest, TheSmallestIsThis) {
  ImageConfig config;
  config.architecture = "amd64";
  config.os = "linux";
  EXPECT_EQ(config.Render(),
            R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}})");
}

TEST(ImageConfigTest, NullIsAbsentAsDockerWritesIt) {
  const auto parsed = ImageConfig::Parse(
      R"({"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":null,"Entrypoint":null,"Labels":null,)"
      R"("Volumes":null,"OnBuild":null,"Hostname":"x","ArgsEscaped":true},"container":"x",)"
      R"("rootfs":{"type":"layers","diff_ids":null}})");
  ASSERT_TRUE(parsed) << parsed.error().Render();
  EXPECT_EQ(parsed->config, RunConfig());
  EXPECT_EQ(parsed->config.entrypoint, std::nullopt);
}

TEST(ImageConfigTest, SaysWhichMemberIsWrong) {
  const auto with = [](const std::string& members) {
    return R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]})" + members + "}";
  };
  const std::vector<std::pair<std::string, std::string>> documents = {
      {R"({"os":"linux"})", "architecture: missing"},
      {R"({"architecture":"amd64","os":"linux"})", "rootfs: missing"},
      {R"({"architecture":"amd64","os":"linux","rootfs":{"type":"x"}})", "rootfs.type: expected"},
      {R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:1"]}})",
       "rootfs.diff_ids[0]:"},
      {with(R"(,"created":"yesterday")"), "created: expected an RFC 3339 time"},
      {with(R"(,"created":"2024-05-01 12:00:00Z")"), "created: expected an RFC 3339 time"},
      {with(R"(,"config":{"Env":["PATH"]})"), "config.Env: expected NAME=value"},
      {with(R"(,"config":{"Env":["=x"]})"), "config.Env: expected NAME=value"},
      {with(R"(,"config":{"Cmd":"sh"})"), "config.Cmd: expected a list"},
      {with(R"(,"config":{"Labels":{"a":1}})"), "config.Labels: expected an object of strings"},
      {with(R"(,"config":{"ExposedPorts":["80"]})"), "config.ExposedPorts: expected an object"},
      {with(R"(,"config":{"Healthcheck":{"Interval":-1}})"), "config.Healthcheck"},
      {with(R"(,"history":[{"empty_layer":"yes"}])"), "history[0].empty_layer: expected true or false"},
  };
  for (const auto& [document, message] : documents) {
    const auto parsed = ImageConfig::Parse(document);
    ASSERT_FALSE(parsed) << document;
    EXPECT_EQ(parsed.error().code(), Code::kInvalid);
    EXPECT_THAT(parsed.error().message(), HasSubstr(message)) << document;
  }
}

TEST(MediaTypeTest, IsRfc6838) {
  EXPECT_TRUE(IsMediaType("application/vnd.oci.image.layer.v1.tar+gzip"));
  EXPECT_TRUE(IsMediaType("a/" + std::string(127, 'b')));
  for (const std::string& bad :
       {std::string(""), std::string("a"), std::string("/b"), std::string("a/"), std::string("a/b/c"),
        std::string("a/b;q=1"), std::string("+a/b"), "a/" + std::string(128, 'b')}) {
    EXPECT_FALSE(IsMediaType(bad)) << bad;
  }
  EXPECT_EQ(LayerCompressionOf(kLayerTarType), LayerCompression::kNone);
  EXPECT_EQ(LayerCompressionOf(kLayerZstdType), LayerCompression::kZstd);
  EXPECT_EQ(LayerCompressionOf("application/vnd.oci.image.layer.v1.tar+encrypted"), std::nullopt);
}

TEST(Base64Test, FollowsTheVectorsOfRfc4648) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"},
                                                                    {"\xff\xfe\xfd", "//79"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(RenderBase64(bytes), text);
    EXPECT_EQ(*ParseBase64(text), bytes);
  }
  for (const char* bad : {"Z", "Zg=", "Zg", "Zh==", "Z===", "====", "Zg==Zg==", "Zm9\n", "Zm-_"})
    EXPECT_FALSE(ParseBase64(bad)) << bad;
}

// The published JSON schemas, where they and a validator are present.
TEST(SchemaTest, WhatIsRenderedIsValid) {
  const char* source = std::getenv("INGOT_SOURCE_DIR");
  const fs::path schemas = fs::path(source == nullptr ? "." : source) / "../shared/data/image-spec-schema";
  if (!fs::exists(schemas)) GTEST_SKIP() << "SKIP: no schemas of image-spec";
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "schema");
  Index index;
  index.manifests = {FullManifest().config};
  index.manifests[0].platform = HostPlatform();
  const std::vector<std::pair<std::string, std::string>> documents = {
      {"image-manifest-schema.json", FullManifest().Render()},
      {"image-index-schema.json", index.Render()},
      {"config-schema.json", FullConfig().Render()}};
  const std::string script = R"(
import json, os, sys
try:
    import jsonschema
except ImportError:
    sys.exit(77)
folder, schema, document = sys.argv[1:]
store = {}
for name in os.listdir(folder):
    parsed = json.load(open(os.path.join(folder, name)))
    for key in (parsed.get("id"), "https://opencontainers.org/schema/" + name,
                "https://opencontainers.org/schema/image/" + name,
                "https://opencontainers.org/schema/image/descriptor/" + name,
                "https://opencontainers.org/schema/descriptor/" + name,
                "https://opencontainers.org/schema/image/manifest/" + name):
        if key: store[key] = parsed
root = json.load(open(os.path.join(folder, schema)))
# The files refer to each other by name; where an "id" is in between does not matter to that.
def strip(node):
    if isinstance(node, dict):
        node.pop("id", None)
        for value in node.values(): strip(value)
    elif isinstance(node, list):
        for value in node: strip(value)
for parsed in list(store.values()) + [root]: strip(parsed)
base = "file:///schemas/"
for name in os.listdir(folder):
    parsed = json.load(open(os.path.join(folder, name))); strip(parsed); store[base + name] = parsed
resolver = jsonschema.RefResolver(base + schema, root, store=store)
validator = jsonschema.Draft4Validator(root, resolver=resolver)
value = json.load(open(document))
validator.validate(value)
# A validator that accepts anything proves nothing.
for member in root["required"]:
    broken = {k: v for k, v in value.items() if k != member}
    assert not validator.is_valid(broken), member
)";
  for (const auto& [schema, document] : documents) {
    const fs::path file = directory.path() / schema;
    ASSERT_TRUE(WriteFileAtomic(file, document));
    Command command;
    command.argv = {"python3", "-W", "ignore", "-c", script, schemas.string(), schema, file.string()};
    const auto done = ingot::Run(std::move(command), std::chrono::seconds(60));
    if (!done || done->exit_code == 77) GTEST_SKIP() << "SKIP: no python3 with jsonschema";
    EXPECT_TRUE(done->ok()) << schema << "\n" << done->err;
  }
}

}  // namespace
}  // namespace ingot::oci
