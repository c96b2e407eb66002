#include "build/image_inputs.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>

#include "build/plan.h"

namespace ingot::build {
namespace {

constexpr std::string_view kDebianPrefix = "debian:";

class InputsReader {
 public:
  InputsReader(const definition::Definition& definition, const fs::path& project)
      : definition_(definition), project_(project) {}

  Result<void> Add(const std::string& name) {
    const auto image = definition_.images.find(name);
    if (image == definition_.images.end()) {
      std::vector<std::string> names;
      for (const auto& [known, unused] : definition_.images) names.push_back(known);
      return Error(Code::kNotFound, fmt::format("{} has no image {}; it has {}", definition_.file, name,
                                                fmt::join(names, ", ")));
    }
    const auto begun = std::find(path_.begin(), path_.end(), name);
    if (begun != path_.end()) {
      path_.push_back(name);
      return Error(Code::kInvalid,
                   fmt::format("{}: image {} is built on itself: {}", definition_.Locate("images." + name),
                               name, fmt::join(path_.begin() + (begun - path_.begin()), path_.end(), " → ")));
    }
    if (inputs_.contains(name)) return {};
    path_.push_back(name);
    ImageInputs inputs = TRY(Read(name, image->second));
    for (const std::string& needed : inputs.needs) TRY(Add(needed));
    path_.pop_back();
    inputs_.emplace(name, std::move(inputs));
    return {};
  }

  std::map<std::string, ImageInputs> Take() { return std::move(inputs_); }

 private:
  Error Unsupported(const std::string& path, std::string_view message) const {
    return Error(Code::kUnsupported, fmt::format("{}: {}: {}", definition_.Locate(path), path, message));
  }

  Result<ImageInputs> Read(const std::string& name, const definition::Image& image) {
    const std::string path = "images." + name;
    ImageInputs inputs;
    inputs.image = &image;
    if (!image.configure.empty())
      return Unsupported(path + ".configure", "not yet supported. Do it in a RUN of the Dockerfile.");
    if (image.compression == definition::Compression::kZstd)
      return Unsupported(path + ".compression", "zstd is not yet supported. Leave it out.");
    if (image.build) return ReadBuild(name, *image.build, std::move(inputs));
    if (!image.image.empty()) {
      inputs.references.emplace(image.image, TRY(oci::Reference::Parse(image.image)).Normalized());
      return inputs;
    }
    inputs.debian_suite = DebianSuite(image);
    if (!inputs.debian_suite.empty()) return inputs;
    if (!image.packages.empty()) {
      return Unsupported(path + ".packages",
                         "packages can only be added to `from: debian:SUITE`. Add them to the image that " +
                             image.from + " begins with.");
    }
    inputs.needs.insert(image.from);
    return inputs;
  }

  Result<ImageInputs> ReadBuild(const std::string& name, const definition::Build& build, ImageInputs inputs) {
    const std::string path = "images." + name + ".build";
    if (!build.secrets.empty()) return Unsupported(path + ".secrets", "not yet supported");
    const std::string platform = "linux/" + MachineArchitecture();
    for (const std::string& wanted : build.platforms) {
      if (wanted != platform)
        return Unsupported(path + ".platforms", "this machine can only build " + platform);
    }
    inputs.context = project_ / build.context;
    inputs.dockerfile_path = build.dockerfile;
    std::string shown = (fs::path(build.context) / build.dockerfile).lexically_normal().string();
    auto bytes = ReadFile(inputs.context / build.dockerfile, kMaxDockerfileBytes);
    if (!bytes) {
      if (bytes.error().code() != Code::kNotFound) return std::move(bytes).error();
      return Error(Code::kNotFound, fmt::format("{}: {}: there is no {}", definition_.Locate(path), path,
                                                (project_ / shown).lexically_normal().string()));
    }
    inputs.dockerfile_bytes = std::move(*bytes);
    inputs.dockerfile = TRY(ParseDockerfile(inputs.dockerfile_bytes, shown));
    inputs.inputs.arguments.insert(build.args.begin(), build.args.end());
    inputs.inputs.build_platform = inputs.inputs.target_platform = platform;
    inputs.inputs.target_stage = build.target;
    for (const NamedImage& named : TRY(ImagesNamed(*inputs.dockerfile, inputs.inputs))) {
      if (definition_.images.contains(named.name)) {
        inputs.needs.insert(named.name);
      } else if (!named.name.starts_with(kLayoutPrefix)) {
        auto reference = oci::Reference::Parse(named.name);
        if (!reference) {
          return Error(Code::kInvalid,
                       fmt::format("{}: {} is neither a stage nor an image of {}: {}", named.where,
                                   named.name, definition_.file, reference.error().message()));
        }
        inputs.references.emplace(named.name, reference->Normalized());
      }
    }
    return inputs;
  }

  const definition::Definition& definition_;
  const fs::path& project_;
  std::map<std::string, ImageInputs> inputs_;
  std::vector<std::string> path_;  // of images that need each other, to the one being read
};

}  // namespace

std::string MachineArchitecture() {
  struct utsname machine {};
  ::uname(&machine);
  const std::string name = machine.machine;
  if (name == "x86_64") return "amd64";
  if (name == "aarch64") return "arm64";
  if (name == "i686") return "386";
  return name;
}

std::string DebianSuite(const definition::Image& image) {
  if (!image.from.starts_with(kDebianPrefix)) return "";
  return image.from.substr(kDebianPrefix.size());
}

std::vector<std::string> SortedPackages(const definition::Image& image) {
  const std::set<std::string> sorted(image.packages.begin(), image.packages.end());
  return {sorted.begin(), sorted.end()};
}

Result<std::map<std::string, ImageInputs>> ReadImageInputs(const definition::Definition& definition,
                                                           const fs::path& project,
                                                           const std::vector<std::string>& images) {
  InputsReader reader(definition, project);
  if (images.empty()) {
    for (const auto& [name, image] : definition.images) TRY(reader.Add(name));
  }
  for (const std::string& name : images) TRY(reader.Add(name));
  return reader.Take();
}

}  // namespace ingot::build
