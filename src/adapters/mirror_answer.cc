#include "adapters/mirror_answer.h"

#include <algorithm>
#include <charconv>

#include "adapters/mirror_rules.h"

namespace ingot::adapters {

namespace {

constexpr size_t kAnswerHeadBytes = size_t{64} << 10;
constexpr size_t kAnswerLineBytes = 8192;
// A body is read for as long as an instance might mind that nobody does; what is more is cut.
constexpr uint64_t kAnswerBodyBytes = uint64_t{1} << 20;

std::string_view TrimmedField(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

bool SameWord(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
         });
}

bool ReadWhole(std::string_view text, uint64_t& value, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

void MirrorAnswer::Head(std::string_view head) {
  const bool shaped = head.size() > 12 && head.starts_with("HTTP/1.") && head[8] == ' ';
  uint64_t status = 0;
  if (!shaped || !ReadWhole(head.substr(9, 3), status, 10) || status < 100) {
    part_ = Part::kMalformed;
    return;
  }
  // An interim answer; the real one follows.
  if (status < 200 && status != 101) return;
  status_ = static_cast<int>(status);
  if (!has_body_ || status == 204 || status == 304) {
    part_ = Part::kDone;
    return;
  }
  part_ = Part::kUntilEnd;
  bool chunked = false;
  while (!head.empty()) {
    const size_t end = head.find('\n');
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end == std::string_view::npos ? head.size() : end + 1);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = TrimmedField(line.substr(0, colon));
    const std::string_view value = TrimmedField(line.substr(colon + 1));
    if (SameWord(name, "transfer-encoding")) chunked = true;
    if (!SameWord(name, "content-length") || chunked) continue;
    if (!ReadWhole(value, left_, 10)) {
      part_ = Part::kMalformed;
      return;
    }
    part_ = left_ == 0 ? Part::kDone : Part::kLength;
  }
  if (chunked) part_ = Part::kChunkSize;
}

void MirrorAnswer::Body(std::string_view bytes) {
  body_bytes_ += bytes.size();
  if (body_bytes_ <= kMirrorBodyBytes) body_.Update(bytes);
  if (body_bytes_ > kAnswerBodyBytes) part_ = Part::kDone;
}

bool MirrorAnswer::TakeLine(std::string_view& input, std::string& line) {
  const size_t end = input.find('\n');
  text_.append(input.substr(0, end));
  input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
  if (text_.size() > kAnswerLineBytes) part_ = Part::kMalformed;
  if (end == std::string_view::npos) return false;
  line = std::string(TrimmedField(text_));
  text_.clear();
  return true;
}

MirrorAnswer::State MirrorAnswer::Feed(std::string_view bytes) {
  std::string line;
  while (!bytes.empty() && part_ != Part::kDone && part_ != Part::kMalformed) {
    switch (part_) {
      case Part::kHead: {
        text_.append(bytes);
        const size_t end = text_.find("\r\n\r\n");
        bytes = {};
        if (end == std::string::npos) {
          if (text_.size() > kAnswerHeadBytes) part_ = Part::kMalformed;
          break;
        }
        const std::string head = text_.substr(0, end);
        const std::string rest = text_.substr(end + 4);
        text_.clear();
        Head(head);
        return Feed(rest);
      }
      case Part::kLength:
      case Part::kChunk: {
        const std::string_view part = bytes.substr(0, left_);
        left_ -= part.size();
        bytes.remove_prefix(part.size());
        if (left_ == 0) part_ = part_ == Part::kChunk ? Part::kChunkEnd : Part::kDone;
        Body(part);
        break;
      }
      case Part::kUntilEnd:
        Body(bytes);
        bytes = {};
        break;
      case Part::kChunkSize:
        if (!TakeLine(bytes, line)) break;
        line = line.substr(0, line.find(';'));
        if (!ReadWhole(TrimmedField(line), left_, 16))
          part_ = Part::kMalformed;
        else
          part_ = left_ == 0 ? Part::kTrailer : Part::kChunk;
        break;
      case Part::kChunkEnd:
        if (TakeLine(bytes, line)) part_ = line.empty() ? Part::kChunkSize : Part::kMalformed;
        break;
      case Part::kTrailer:
        if (TakeLine(bytes, line) && line.empty()) part_ = Part::kDone;
        break;
      case Part::kDone:
      case Part::kMalformed:
        break;
    }
  }
  if (part_ == Part::kMalformed) return State::kMalformed;
  return part_ == Part::kDone ? State::kDone : State::kMore;
}

MirrorAnswer::State MirrorAnswer::End() const {
  return part_ == Part::kUntilEnd || part_ == Part::kDone ? State::kDone : State::kMalformed;
}

std::string MirrorAnswer::BodySha256() {
  if (body_bytes_ > kMirrorBodyBytes) return "";
  std::string out = Hex(body_.Finish());
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c; });
  return out;
}

}  // namespace ingot::adapters
