// What the client of a registry reads from strangers, on any bytes: no crash, and what is understood can be
// said again. The first byte chooses the parser.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "registry/auth_challenge.h"
#include "registry/client_url.h"
#include "registry/docker_config.h"
#include "registry/remote_error.h"
#include "store/tar_sparse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::registry;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 7) {
    case 0: {
      const auto url = ClientUrl::Parse(text);
      if (!url) break;
      const auto again = ClientUrl::Parse(url->Render());
      if (!again || !(*again == *url)) std::abort();
      break;
    }
    case 1: {
      const ClientUrl base = *ClientUrl::Parse("https://registry.example/v2/a/blobs/b?c=d");
      const auto url = base.Resolve(text);
      if (url && url->scheme != "https" && url->scheme != "http") std::abort();
      break;
    }
    case 2:
      (void)ParseChallenges(text);
      break;
    case 3: {
      const auto token = ParseAuthToken(text);
      if (token && token->token.find_first_of("\r\n ") != std::string::npos) std::abort();
      break;
    }
    case 4: {
      const auto config = DockerConfig::Parse(text);
      if (!config) break;
      (void)config->Find("docker.io", "library/redis");
      if (config->FindHelper("docker.io").name.find('/') != std::string::npos) std::abort();
      break;
    }
    case 5:
      for (const char c : DescribeRemoteError(text))
        if (c < ' ' || c > '~') std::abort();
      break;
    case 6: {
      ingot::store::SparseMap map;
      if (!ingot::store::ParseSparseList(text, map)) break;
      map.real_size = 1 << 20;
      uint64_t sum = 0;
      for (const auto& segment : map.segments) sum += segment.size;
      if (map.Check(sum) && sum > map.real_size) std::abort();
      break;
    }
  }
  return 0;
}
