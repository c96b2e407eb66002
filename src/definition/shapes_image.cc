// images: and what is in them.
#include <algorithm>

#include "definition/scalars.h"
#include "definition/shapes.h"

namespace ingot::definition {

namespace {

bool IsPackage(std::string_view text) {  // Debian policy, 5.6.1
  return text.size() >= 2 && text.size() <= 128 && text[0] != '+' && text[0] != '-' && text[0] != '.' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
         });
}

bool IsPlatformName(std::string_view text) {
  const auto part = [](std::string_view p) {
    return !p.empty() && std::all_of(p.begin(), p.end(),
                                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  };
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos || !part(text.substr(0, slash))) return false;
  std::string_view rest = text.substr(slash + 1);
  const size_t variant = rest.find('/');
  return part(rest.substr(0, variant)) &&
         (variant == std::string_view::npos || part(rest.substr(variant + 1)));
}

// "debian:SUITE", or an image of this definition.
bool IsBase(std::string_view text) {
  if (!text.starts_with("debian:")) return IsName(text);
  const std::string_view suite = text.substr(7);
  return !suite.empty() && suite.size() <= 40 && std::all_of(suite.begin(), suite.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  }) && suite.front() != '-';
}

Shape<Build> BuildShape() {
  Fields<Build> fields("build", "How an image is built from a Dockerfile.");
  fields
      .Required("context", &Build::context, FilePath("a directory"),
                "The directory that COPY and ADD read from, relative to this file.")
      .Optional("dockerfile", &Build::dockerfile, FilePath("a file"),
                "The Dockerfile, relative to the context.", "\"Dockerfile\"")
      .Optional("target", &Build::target, Text("the name of a stage"),
                "The stage to build; the last one if not given.")
      .Optional("args", &Build::args, MapOf(VariableNames(), AnyText()), "Values of the Dockerfile's ARGs.")
      .Optional("secrets", &Build::secrets,
                ListOf(TextThat("the name of a secret", SecretNames().pattern, IsSecretName)),
                "Names of `secrets` that RUN --mount=type=secret may read.")
      .Optional("platforms", &Build::platforms,
                ListOf(TextThat("a platform such as linux/amd64", "^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$",
                                IsPlatformName)),
                "Platforms to build for; this machine's if not given.");
  return Either(fields.ToShape(), As<Build, std::string>(FilePath("the directory to build"),
                                                         [](std::string context, Build& build) {
                                                           build.context = std::move(context);
                                                         }));
}

Shape<Configure> ConfigureShape() {
  Fields<Configure> fields("configure",
                           "One step of configuration management, run while the image is built.");
  fields
      .Optional("ansible", &Configure::ansible, FilePath("a playbook"),
                "An Ansible playbook, relative to this file.")
      .Optional("run", &Configure::run, CommandLine(), "A command.")
      .ExactlyOneOf({"ansible", "run"});
  return fields.ToShape();
}

Shape<ImageTest> TestShape() {
  Fields<ImageTest::Http> http("image_test_http", "A request to the image's own command.");
  http.Required("port", &ImageTest::Http::port, PortNumber(), "The port it listens on.")
      .Optional("path", &ImageTest::Http::path, HttpPath(), "The path that is asked for.", "\"/\"")
      .Optional("status", &ImageTest::Http::status, Integer(100, 599), "The status it has to answer.", "200");
  Fields<ImageTest> fields("image_test", "A test of the built image, in a throw-away instance.");
  fields.Optional("run", &ImageTest::run, CommandLine(), "A command that has to exit with 0.")
      .Optional("http", &ImageTest::http, http.ToShape(),
                "A request that the image's own command has to answer.")
      .Optional("timeout", &ImageTest::timeout, Duration(), "After it, the test has failed.", "\"30s\"")
      .ExactlyOneOf({"run", "http"});
  return fields.ToShape();
}

}  // namespace

Shape<Image> ImageShape() {
  Fields<Image> fields(
      "image", "An image: assembled from Debian packages, built from a Dockerfile, or somebody else's.");
  fields
      .Optional("from", &Image::from,
                TextThat("debian:SUITE or an image of this definition",
                         "^(debian:[a-z0-9][a-z0-9-]*|[a-z][a-z0-9-]*)$", IsBase),
                "The base to assemble on: debian:SUITE, or another image of this definition.")
      .Optional("packages", &Image::packages,
                ListOf(TextThat("the name of a Debian package", "^[a-z0-9][a-z0-9+.-]+$", IsPackage)),
                "Debian packages to install; ingot.lock pins their versions.")
      .Optional("build", &Image::build, BuildShape(),
                "Build it from a Dockerfile; a text alone is the context.")
      .Optional("image", &Image::image, ImageReference(),
                "Somebody else's image, pinned by digest in ingot.lock.")
      .Optional("configure", &Image::configure, ListOf(ConfigureShape()),
                "Configuration management, at build time only.")
      .Optional("test", &Image::test, ListOf(TestShape()),
                "Tests; an image that fails one is never golden, so never deployed.")
      .Optional("compression", &Image::compression,
                Choice<Compression>({{"none", Compression::kNone}, {"zstd", Compression::kZstd}}),
                "How its layers are stored for registries.", "\"none\"")
      .ExactlyOneOf({"from", "build", "image"})
      .Check([](Reader& reader, const Node&, Image& image) {
        if (!image.packages.empty() && image.from.empty())
          return reader.Fail("packages are installed on a base; expected from: debian:SUITE beside them");
        if (!image.configure.empty() && !image.image.empty())
          return reader.Fail("somebody else's image is used as it is; expected no configure beside image");
        return true;
      });
  return fields.ToShape();
}

}  // namespace ingot::definition
