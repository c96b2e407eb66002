// What the registry reads from clients and from the host's administrator, on any bytes: no crash, and what is
// accepted keeps its promises. The first byte chooses the parser.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "adapters/http_head.h"
#include "definition/host.h"
#include "oci/digest.h"
#include "registry/byte_range.h"
#include "registry/conditional.h"
#include "registry/htpasswd.h"
#include "registry/names.h"
#include "registry/pushed_manifest.h"
#include "registry/route.h"
#include "registry/token.h"

namespace {

void Need(bool held) {
  if (!held) std::abort();
}

void FuzzHead(std::string_view text) {
  using namespace ingot::adapters;
  HttpHead head;
  const HeadStatus whole = ParseHead(text, 0, head);
  // Where the search goes on makes no difference.
  HttpHead again;
  size_t searched = 0;
  HeadStatus status = HeadStatus::kIncomplete;
  for (size_t have = 1; have <= text.size() && status == HeadStatus::kIncomplete; have += 1 + have / 4) {
    status = ParseHead(text.substr(0, have), searched, again);
    searched = have;
  }
  if (status == HeadStatus::kIncomplete) status = ParseHead(text, searched, again);
  if (text.size() <= kMostHeadBytes) Need(status == whole);
  if (whole != HeadStatus::kComplete) return;
  Need(head.bytes <= text.size() && head.bytes <= kMostHeadBytes);
  Need(!(head.chunked && head.request.content_length));
  if (!head.chunked) return;
  ChunkedBody body(text.substr(0, head.bytes));
  std::string rest(text.substr(head.bytes));
  size_t decoded = 0;
  size_t used = 0;
  if (body.Decode(rest.data(), rest.size(), decoded, used)) Need(decoded <= used && used <= rest.size());
}

void FuzzRoute(std::string_view text) {
  using namespace ingot::registry;
  const Route route = Route::Of(text);
  if (IsRepositoryName(route.repository))
    Need(route.repository.find("..") == std::string::npos && route.repository.front() != '/');
  if (IsUploadId(route.reference))
    Need(route.reference.find_first_of("./") == std::string::npos && route.reference.size() == 32);
  if (IsTagName(route.reference)) Need(route.reference.find('/') == std::string::npos);
  if (const auto digest = ingot::oci::Digest::Parse(route.reference))
    Need(digest->Render() == route.reference);
}

void FuzzRange(std::string_view text) {
  using namespace ingot::registry;
  ByteRange part;
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{1} << 40}) {
    if (ParseRange(text, size, part) != RangeKind::kPart) continue;
    Need(part.size_bytes > 0 && part.offset < size && part.size_bytes <= size - part.offset);
  }
  if (const auto chunk = ParseChunkRange(text)) Need(chunk->size_bytes > 0);
}

void FuzzAuthorization(std::string_view text) {
  using namespace ingot::registry;
  if (const auto login = ParseBasic(text)) Need(login->user.find(':') == std::string::npos);
  if (const auto bearer = ParseBearer(text)) Need(!AccessToken::Open(*bearer, "key of nobody"));
  if (const auto scope = Scope::Parse(text); scope && !scope->Empty())
    Need(Scope::Parse(scope->Render()) == scope);
  (void)IsKnown(text, ingot::oci::Digest::Of("x"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 7) {
    case 0:
      FuzzHead(text);
      break;
    case 1:
      FuzzRoute(text);
      break;
    case 2:
      FuzzRange(text);
      break;
    case 3:
      FuzzAuthorization(text);
      break;
    case 4: {
      const auto manifest = ingot::registry::PushedManifest::Parse(text, ingot::oci::Digest::Of(text),
                                                                   data[0] < 128 ? "" : "a/b");
      if (manifest && !manifest->subject) Need(manifest->descriptor.empty());
      break;
    }
    case 5: {
      const auto users = ingot::registry::Htpasswd::Parse(text);
      if (!users) break;
      const auto again = ingot::registry::Htpasswd::Parse(users->Render());
      Need(again && again->users == users->users);
      break;
    }
    case 6: {
      const auto parsed = ingot::definition::ParseHost(text, "host.yaml");
      Need(parsed.host.has_value() == parsed.problems.empty());
      break;
    }
  }
  return 0;
}
