// Any bytes as what a client sends over one connection: heads are parsed, bodies framed, and each request is
// answered by a registry over an empty store. No crash, and whatever is said:
//
//   - a blob or manifest that is served has the digest that it was asked by;
//   - every refusal is a document of the specification, and no header is broken by what a client wrote;
//   - nothing appears outside of the store's folders, and each blob in it is what its name says;
//   - who has not logged in changes nothing where only a user may.
//
// So that digests and uploads can be hit, `@0`…`@3` in the input are the digests of kBodies, `@M` what the
// last answer called Docker-Content-Digest and `@U` its Location. The first byte says: 'g' for a registry
// with users, anything else for an open one.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "adapters/http_head.h"
#include "base/json.h"
#include "registry/access.h"
#include "registry/registry.h"
#include "store/memory_catalog.h"

namespace {

using namespace ingot;            // NOLINT(google-build-using-namespace): a test program
using namespace ingot::registry;  // NOLINT(google-build-using-namespace)

constexpr std::string_view kBodies[] = {
    "", "{}", "hello",
    R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})"};
// ci:secret, by bcrypt of the least cost
constexpr std::string_view kUsers = "ci:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
constexpr std::string_view kLogin = "Y2k6c2VjcmV0";

void Need(bool held) {
  if (!held) std::abort();
}

class StillClock final : public Clock {
 public:
  WallTime Now() const override { return WallTime(std::chrono::seconds(1'700'000'000)); }
  SteadyTime Steady() const override { return SteadyTime(std::chrono::minutes(minutes)); }
  void Sleep(Milliseconds) override {}
  int64_t minutes = 10;
};

const fs::path& Parent() {
  static const auto directory = TempDirectory::Make(
      fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path(), "ingot-requests-fuzz-");
  return directory->path();
}

// Costs a hash to open: one for all runs. Guesses of one run are forgotten in the next.
Access& Users(StillClock*& clock) {
  static StillClock still;
  static const fs::path file = Parent() / "users";
  static const auto access = [] {
    Need(WriteFileAtomic(file, kUsers, 0600, Durability::kNone).has_value());
    definition::HostRegistry rules;
    rules.htpasswd = file;
    definition::RepositoryRule rule;
    rule.match = "**";
    rule.read = definition::Grant{"anonymous"};
    rule.push = rule.remove = definition::Grant{"ci"};
    rules.repositories.push_back(rule);
    return *Access::Open(rules, file, still);
  }();
  clock = &still;
  return *access;
}

std::string BodyOf(const Response& response) {
  if (response.file) {
    std::string bytes(response.file->size_bytes, '\0');
    Need(::pread(response.file->fd.get(), bytes.data(), bytes.size(),
                 static_cast<off_t>(response.file->offset)) == static_cast<ssize_t>(bytes.size()));
    return bytes;
  }
  if (!response.made) return response.text;
  std::string bytes;
  const auto written = response.made->write([&](std::string_view piece) -> Result<void> {
    bytes += piece;
    return {};
  });
  Need(written && bytes.size() == response.made->size_bytes);
  return bytes;
}

void CheckAnswer(const Request& request, const Response& response) {
  Need(response.status >= 200 && response.status < 600 && response.status != 500);
  for (const auto& [name, value] : response.headers)
    for (const char c : name + value) Need(c >= ' ' && c != 0x7f);
  const std::string body = BodyOf(response);
  Need(body.size() == response.BodyBytes());
  std::string head;
  adapters::AppendHead(head, response, body.size(), true, "");
  if (request.method == "HEAD" && response.status < 400) Need(body.empty());
  if (response.status >= 400) {
    const auto json = ParseJson(body);
    Need(json && json->is_object());
    if (response.status != 401 || json->as_object().contains("errors"))
      Need(json->at("errors").is_array() && !json->at("errors").as_array().empty());
    return;
  }
  const auto digest = oci::Digest::Parse(response.Header("Docker-Content-Digest"));
  if (request.method == "GET" && response.status == 200 && digest)
    Need(*oci::Digest::Of(digest->algorithm(), body) == *digest);
}

class Connection {
 public:
  Connection(Registry& registry, bool guarded) : registry_(registry), guarded_(guarded) {}

  void Run(std::string input) {
    for (int i = 0; i < 20 && !input.empty(); ++i) {
      Replace(input);
      adapters::HttpHead head;
      if (adapters::ParseHead(input, 0, head) != adapters::HeadStatus::kComplete) return;
      const std::string whole_head = input.substr(0, head.bytes);
      input.erase(0, head.bytes);
      if (!Answer(head, whole_head, input)) return;
    }
  }

 private:
  void Replace(std::string& input) const {
    // Only in what is to be parsed next, so that an answer can be quoted by the next request.
    size_t end = input.find("\r\n\r\n");
    for (size_t at = 0; (at = input.find('@', at)) < end && at + 1 < input.size();) {
      const char what = input[at + 1];
      std::string text;
      if (what >= '0' && what < '4') {
        text = oci::Digest::Of(kBodies[what - '0']).Render();
      } else if (what == 'M') {
        text = last_digest_;
      } else if (what == 'U') {
        text = last_location_;
      } else {
        ++at;
        continue;
      }
      input.replace(at, 2, text);
      end += text.size() - 2;
      at += text.size();
    }
  }

  // False: the connection ends.
  bool Answer(adapters::HttpHead& head, const std::string& whole_head, std::string& input) {
    std::string body;
    bool complete = true;
    if (head.chunked) {
      adapters::ChunkedBody chunked(whole_head);
      size_t decoded = 0;
      size_t used = 0;
      if (!chunked.Decode(input.data(), input.size(), decoded, used)) return false;
      Need(decoded <= used && used <= input.size());
      body = input.substr(0, decoded);
      complete = chunked.Done();
      input.erase(0, used);
    } else if (head.request.content_length) {
      const size_t size = std::min<uint64_t>(*head.request.content_length, input.size());
      complete = size == *head.request.content_length;
      body = input.substr(0, size);
      input.erase(0, size);
    }
    head.request.peer = "192.0.2.1";
    const auto exchange = registry_.Begin(head.request);
    bool goes_on = exchange->WantsBody();
    const size_t half = body.size() / 2;
    for (const std::string_view piece :
         {std::string_view(body).substr(0, half), std::string_view(body).substr(half)})
      if (goes_on && !piece.empty()) goes_on = exchange->Write(piece);
    if (exchange->WantsBody() && goes_on && !complete) return false;  // the client has gone
    const Response response = exchange->Finish();
    CheckAnswer(head.request, response);
    if (guarded_ && response.status < 300)
      Need(head.request.method == "GET" || head.request.method == "HEAD");
    const std::string_view digest = response.Header("Docker-Content-Digest");
    if (!digest.empty()) last_digest_ = digest;
    const std::string_view location = response.Header("Location");
    if (!location.empty()) last_location_ = location;
    return complete;
  }

  Registry& registry_;
  const bool guarded_;  // and nobody has logged in
  std::string last_digest_ = "sha256:x";
  std::string last_location_ = "/v2/";
};

// Everything is where it belongs, and what it is called.
void CheckStore(const fs::path& root) {
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename();
    Need(name == "blobs" || name == "claims" || name == "layers" || name == "objects" ||
         name == "objects.staging" || name == "tmp");
  }
  for (const auto& entry : fs::recursive_directory_iterator(root / "blobs")) {
    if (!entry.is_regular_file()) continue;
    const auto bytes = ReadFile(entry.path());
    Need(bytes.has_value());
    if (entry.path().parent_path().filename() == "sha256")
      Need(oci::Digest::Of(*bytes).hex() == entry.path().filename().string());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool guarded = data[0] == 'g';
  const bool logs_in = input.find(kLogin) != std::string::npos;
  StillClock* clock = nullptr;
  Access& access = Users(clock);
  clock->minutes += 10;
  const fs::path root = Parent() / "root";
  {
    store::MemoryCatalog catalog;
    auto store = store::Store::Open(store::StorePaths::Below(root), catalog, *clock);
    Need(store.has_value());
    Registry::Options options;
    options.uploads = root / "tmp" / "uploads";
    options.access = guarded ? &access : nullptr;
    auto registry = Registry::Open(**store, *clock, options);
    Need(registry.has_value());
    Connection(**registry, guarded && !logs_in).Run(input);
    (*registry)->Housekeep();
    CheckStore(root);
  }
  Need(RemoveTree(root).has_value());
  return 0;
}
