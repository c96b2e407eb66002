// Where an image is copied from or to, as people write it: a registry, an OCI layout, an archive.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "oci/reference.h"
#include "registry/client.h"
#include "registry/image_source.h"
#include "registry/image_target.h"
#include "store/durable_file.h"

namespace ingot::app {

struct ImagePlace {
  enum class Kind { kRegistry, kLayout, kLayoutArchive, kDockerArchive };
  Kind kind = Kind::kRegistry;
  fs::path path;             // a folder or a file; "-": standard input or output
  std::string name;          // in the layout or archive; may be empty
  oci::Reference reference;  // of a registry, Normalized

  // "docker://REFERENCE" or REFERENCE, "oci:FOLDER[:NAME]", "oci-archive:FILE[:NAME]",
  // "docker-archive:FILE[:NAME]". kInvalid.
  static Result<ImagePlace> Parse(const std::string& text);
  std::string Render() const;
};

// A source, and what the archive itself calls the image.
struct OpenedSource {
  std::unique_ptr<registry::ImageSource> source;
  std::vector<std::string> names;
};
// `spool`: for what has to be unpacked on the way.
Result<OpenedSource> OpenSource(const ImagePlace& place, registry::Client& client, const fs::path& spool);
// A layout or an archive, whichever `path` is ("-": an archive from standard input).
Result<OpenedSource> OpenArchive(const fs::path& path, const std::string& name, const fs::path& spool);

// A target; an archive's file gets its name when Commit says so.
class OpenedTarget {
 public:
  // `from`: the registry that blobs may be mounted from, when it is the same.
  static Result<OpenedTarget> Open(const ImagePlace& place, registry::Client* client, const fs::path& spool,
                                   const std::optional<oci::Reference>& from);
  registry::ImageTarget& target() { return *target_; }
  Result<void> Commit();

 private:
  OpenedTarget() = default;
  fs::path path_;
  std::unique_ptr<store::DurableFile> file_;  // where its sink writes to
  std::unique_ptr<registry::ImageTarget> target_;
};

}  // namespace ingot::app
