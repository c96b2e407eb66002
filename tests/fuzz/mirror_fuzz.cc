// Arbitrary bytes as the answer of a new fleet to a copied request, and as a line that the router writes of a
// request. An answer is the same in whatever pieces it comes; of a line there is a request that ends, or
// none.
#include <cstdlib>
#include <string>

#include "adapters/mirror_answer.h"
#include "adapters/mirror_line.h"

namespace {

using ingot::adapters::MirrorAnswer;
using ingot::adapters::MirrorLine;

void Require(bool condition) {
  if (!condition) std::abort();
}

struct Seen {
  MirrorAnswer::State state = MirrorAnswer::State::kMore;
  int status = 0;
  std::string body;
  bool operator==(const Seen&) const = default;
};

Seen Read(std::string_view bytes, size_t piece, bool has_body) {
  MirrorAnswer answer(has_body);
  Seen seen;
  while (!bytes.empty() && seen.state == MirrorAnswer::State::kMore) {
    seen.state = answer.Feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (seen.state == MirrorAnswer::State::kMore) seen.state = answer.End();
  seen.status = answer.status();
  if (seen.state == MirrorAnswer::State::kDone) seen.body = answer.BodySha256();
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool has_body : {true, false}) {
    const Seen whole = Read(text, text.size() + 1, has_body);
    Require(whole == Read(text, 1, has_body) && whole == Read(text, 7, has_body));
    if (whole.state == MirrorAnswer::State::kDone) Require(whole.status >= 100 && whole.status <= 999);
  }
  if (const auto line = MirrorLine::Parse(text)) {
    for (const char c : line->Name()) Require(c >= ' ' && c < 0x7f);
    if (const auto request = line->Request()) {
      const std::string_view end = "X-Ingot-Shadow: 1\r\nConnection: close\r\n\r\n";
      Require(request->ends_with(std::string(end) + line->body));
      // One head, and one request line in it.
      const std::string head = request->substr(0, request->size() - line->body.size());
      Require(head.find("\r\n\r\n") == head.size() - 4);
      for (size_t at = 0; (at = head.find('\n', at)) != std::string::npos; ++at)
        Require(at > 0 && head[at - 1] == '\r');
    }
  }
  return 0;
}
