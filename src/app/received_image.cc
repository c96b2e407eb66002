#include "app/received_image.h"

#include "registry/image_pull.h"

namespace ingot::app {

namespace {

class ParcelSource final : public registry::ImageSource {
 public:
  ParcelSource(const ReceivedImage& image, const std::map<std::string, store::Tree>& trees, std::string who)
      : image_(image), trees_(trees), who_(std::move(who)) {}

  std::string name() const override { return image_.repository + " from " + who_; }
  Result<registry::RemoteManifest> GetManifest(const std::optional<oci::Digest>&,
                                               const std::atomic<bool>*) override {
    return registry::RemoteManifest{oci::Digest::Of(image_.manifest), registry::MediaTypeOf(image_.manifest),
                                    image_.manifest};
  }
  // Only the configuration: the blobs of layers are in the store by now.
  Result<void> GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                       const std::atomic<bool>*) override {
    if (blob.digest == oci::Digest::Of(image_.config))
      return sink(std::string_view(image_.config).substr(offset));
    return Error(Code::kConflict,
                 "the layer " + blob.digest.Render() + " is not here, or no longer; send the image again");
  }
  Result<std::optional<store::Tree>> GetTree(const oci::Digest& diff_id) override {
    const auto found = trees_.find(diff_id.Render());
    return found == trees_.end() ? std::optional<store::Tree>() : std::optional<store::Tree>(found->second);
  }
  Result<std::vector<oci::Descriptor>> ListReferrers(const oci::Digest&) override {
    return std::vector<oci::Descriptor>();
  }

 private:
  const ReceivedImage& image_;
  const std::map<std::string, store::Tree>& trees_;
  const std::string who_;
};

}  // namespace

Result<std::vector<ReceivedImage>> ReceivedImage::Parse(const Json& document, const std::string& project) {
  if (!document.is_object()) return Error(Code::kInvalid, "expected an object");
  std::vector<ReceivedImage> images;
  for (const Json& item : *TRY(GetArray(document.get_object(), "images"))) {
    if (!item.is_object()) return Error(Code::kInvalid, "images: expected objects");
    const JsonObject& object = item.get_object();
    ReceivedImage image;
    const std::string name = TRY(GetString(object, "image"));
    if (name.empty() || name.size() > 40 ||
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos)
      return Error(Code::kInvalid, "image: expected the name of an image of the project");
    image.repository = project + "/" + name;
    image.manifest = TRY(GetString(object, "manifest"));
    image.config = TRY(GetString(object, "config"));
    image.golden = TRY(GetBool(object, "golden"));
    if (const Json* tests = object.if_contains("tests")) image.tests = RenderJson(*tests);
    if (image.tests.size() > (1 << 20)) return Error(Code::kInvalid, "tests: longer than 1 MiB");
    images.push_back(std::move(image));
  }
  return images;
}

Result<oci::Digest> ReceivedImage::Put(store::Store& store, store::Lease& lease,
                                       const std::map<std::string, store::Tree>& trees,
                                       const std::string& who) const {
  ParcelSource source(*this, trees, who);
  const auto before = store.GetImage(oci::Digest::Of(manifest));
  if (!before && before.error().code() != Code::kNotFound) return before.error();
  // What was built here has the same digest, and is not taken apart again.
  oci::Digest digest = oci::Digest::Of(manifest);
  if (before) {
    TRY(lease.KeepImage(digest));
  } else {
    digest = TRY(registry::PullImage(source, std::nullopt, store, lease)).manifest;
  }
  if (golden && !(before && before->golden)) {
    JsonObject record{{"claimed_by", who}};
    if (!tests.empty()) record["tests"] = TRY(ParseJson(tests));
    TRY(store.MarkGolden(digest, RenderJson(record)));
  }
  const auto tagged = store.GetTag(repository, "latest");
  if (!tagged || *tagged != digest) TRY(store.SetTag(repository, "latest", digest));
  return digest;
}

}  // namespace ingot::app
