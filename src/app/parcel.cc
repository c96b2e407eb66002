#include "app/parcel.h"

#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

#include "store/pulled_stream.h"
#include "store/sealed_layer.h"

namespace ingot::app {

namespace {

constexpr std::string_view kEndLine = "end\n";
constexpr size_t kLongestEntryLine = 512;

Error BadParcel(std::string_view what) {
  return Error(Code::kInvalid, "the files that were sent: " + std::string(what));
}

}  // namespace

void OutgoingParcel::AddObject(const store::ObjectId& id, uint64_t size_bytes,
                               std::function<Result<Fd>()> open) {
  Entry entry;
  entry.line = "object " + id.Render() + " " + std::to_string(size_bytes) + "\n";
  entry.size_bytes = size_bytes;
  entry.open = std::move(open);
  entries_.push_back(std::move(entry));
}

void OutgoingParcel::AddObject(const store::ObjectId& id, uint64_t size_bytes,
                               std::function<Result<void>(const ByteSink&)> write) {
  Entry entry;
  entry.line = "object " + id.Render() + " " + std::to_string(size_bytes) + "\n";
  entry.size_bytes = size_bytes;
  entry.write = std::move(write);
  entries_.push_back(std::move(entry));
}

void OutgoingParcel::AddTree(const std::string& name, std::string sealed) {
  Entry entry;
  entry.line = "tree " + name + " " + std::to_string(sealed.size()) + "\n";
  entry.size_bytes = sealed.size();
  entry.text = std::move(sealed);
  entries_.push_back(std::move(entry));
}

void OutgoingParcel::AddBlob(const oci::Descriptor& blob,
                             std::function<Result<void>(const ByteSink&)> write) {
  Entry entry;
  entry.line = "blob " + blob.digest.Render() + " " + std::to_string(blob.size_bytes) + "\n";
  entry.size_bytes = blob.size_bytes;
  entry.write = std::move(write);
  entries_.push_back(std::move(entry));
}

uint64_t OutgoingParcel::size_bytes() const {
  uint64_t size = head_.size() + kEndLine.size();
  for (const Entry& entry : entries_) size += entry.line.size() + entry.size_bytes;
  return size;
}

namespace {

// What is given next, one piece after the other.
struct ParcelPosition {
  std::string_view text{};  // to be given before anything else
  size_t next = 0;          // the entry that comes then
  bool announced = false;   // its line has been given
  bool ended = false;
  uint64_t left = 0;  // of the bytes of `file` or `stream`
  Fd file{};
  std::unique_ptr<store::PulledStream> stream{};
};

}  // namespace

ByteSource OutgoingParcel::Source(std::function<void(uint64_t)> on_bytes) {
  // shared: a ByteSource is copyable.
  auto position = std::make_shared<ParcelPosition>();
  position->text = head_;
  return [this, position, on_bytes = std::move(on_bytes)](char* to, size_t size) -> Result<size_t> {
    ParcelPosition& at = *position;
    while (at.text.empty() && at.left == 0) {
      at.stream.reset();
      if (at.ended) return size_t{0};
      if (at.next == entries_.size()) {
        at.ended = true;
        at.text = kEndLine;
        break;
      }
      const Entry& entry = entries_[at.next];
      if (!std::exchange(at.announced, !at.announced)) {
        at.text = entry.line;
        continue;
      }
      ++at.next;
      at.text = entry.text;
      if (entry.open) at.file = TRY(entry.open());
      if (entry.write) at.stream = std::make_unique<store::PulledStream>(entry.write);
      if (entry.open || entry.write) at.left = entry.size_bytes;
    }
    size_t n = 0;
    if (!at.text.empty()) {
      n = at.text.copy(to, size);
      at.text.remove_prefix(n);
    } else {
      const size_t want = static_cast<size_t>(std::min<uint64_t>(size, at.left));
      n = TRY(at.stream ? at.stream->Read(to, want) : SourceOf(at.file.get())(to, want));
      if (n == 0) return Error(Code::kConflict, "a file became shorter while it was sent; try again");
      at.left -= n;
    }
    if (on_bytes) on_bytes(n);
    return n;
  };
}

Result<std::string_view> IncomingParcel::Take(uint64_t size) {
  if (begin_ == end_) {
    begin_ = 0;
    end_ = TRY(source_(buffer_.data(), buffer_.size()));
    if (end_ == 0) return BadParcel("they end early");
    received_ += end_;
    if (received_ > limits_.bytes)
      return Error(Code::kRefused, "more files were sent at once than are taken");
  }
  const size_t n = static_cast<size_t>(std::min<uint64_t>(size, end_ - begin_));
  const std::string_view out(buffer_.data() + begin_, n);
  begin_ += n;
  return out;
}

Result<std::string> IncomingParcel::ReadLine(size_t limit) {
  std::string line;
  while (true) {
    const std::string_view piece = TRY(Take(UINT64_MAX));
    const size_t end = piece.find('\n');
    line += piece.substr(0, end);
    if (line.size() > limit) return BadParcel("a line is too long");
    if (end == std::string_view::npos) continue;
    begin_ -= piece.size() - end - 1;
    return line;
  }
}

Result<Json> IncomingParcel::ReadDocument() {
  return ParseJson(TRY(ReadLine(limits_.document_bytes)));
}

Result<void> IncomingParcel::ReadEntries() {
  auto read = ReadToEnd();
  // What came whole before something failed need not come again.
  auto flushed = store_.objects().Flush();
  if (!read) return read;
  return flushed;
}

Result<void> IncomingParcel::ReadToEnd() {
  for (size_t count = 0;; ++count) {
    const std::string line = TRY(ReadLine(kLongestEntryLine));
    if (line == "end") break;
    if (count == limits_.entries) return Error(Code::kRefused, "more files were sent at once than are taken");
    const size_t first = line.find(' ');
    const size_t last = line.rfind(' ');
    uint64_t size = 0;
    const char* const stop = line.data() + line.size();
    if (first == std::string::npos || first == last) return BadParcel("an entry that is none");
    const auto [parsed, failed] = std::from_chars(line.data() + last + 1, stop, size);
    if (failed != std::errc() || parsed != stop) return BadParcel("an entry without a size");
    const std::string kind = line.substr(0, first);
    const std::string name = line.substr(first + 1, last - first - 1);
    if (kind == "object") {
      TRY(ReadObject(name, size));
    } else if (kind == "tree") {
      TRY(ReadTree(name, size));
    } else if (kind == "blob") {
      TRY(ReadBlob(name, size));
    } else {
      return BadParcel("an entry of a kind that is not known");
    }
  }
  if (begin_ != end_ || TRY(source_(buffer_.data(), buffer_.size())) != 0)
    return BadParcel("there is more behind their end");
  return {};
}

Result<void> IncomingParcel::ReadObject(const std::string& name, uint64_t size) {
  const store::ObjectId id = TRY(store::ObjectId::Parse(name));
  uint64_t left = size;
  const store::ObjectId::Measured put =
      TRY(store_.objects().PutStream([&](char* to, size_t room) -> Result<size_t> {
        if (left == 0) return size_t{0};
        const std::string_view piece = TRY(Take(std::min<uint64_t>(room, left)));
        std::memcpy(to, piece.data(), piece.size());
        left -= piece.size();
        return piece.size();
      }));
  if (put.id != id)
    return Error(Code::kConflict,
                 "a file is not what it was said to be: it changed while it was sent; try again");
  return {};
}

Result<void> IncomingParcel::ReadTree(const std::string& name, uint64_t size) {
  tree_bytes_ += static_cast<size_t>(std::min<uint64_t>(size, limits_.tree_bytes + 1));
  if (tree_bytes_ > limits_.tree_bytes)
    return Error(Code::kRefused, "more names of files were sent than are taken");
  std::string sealed;
  while (sealed.size() < size) sealed += TRY(Take(size - sealed.size()));
  auto tree = store::ParseSealed(sealed);
  if (!tree) return BadParcel("the tree " + name + " cannot be read: " + tree.error().Render());
  trees_.insert_or_assign(name, *std::move(tree));
  return {};
}

Result<void> IncomingParcel::ReadBlob(const std::string& name, uint64_t size) {
  store::IncomingBlob blob = TRY(store_.ReceiveBlob(TRY(oci::Digest::Parse(name)), size, lease_));
  for (uint64_t left = size; left > 0;) {
    const std::string_view piece = TRY(Take(left));
    TRY(blob.Write(piece));
    left -= piece.size();
  }
  TRY(blob.Check());
  return blob.Publish();
}

}  // namespace ingot::app
