// The bodies of requests: from the socket into pieces, or away.
#include <algorithm>
#include <array>
#include <cstring>

#include "adapters/registry_connection.h"

namespace ingot::adapters {

bool RegistryConnection::ReadBody() {
  if (discard_) return Discard();
  if (!BodyComplete()) {
    if (!piece_.data && !loop_.TakePiece(piece_, id_)) {
      starved_ = true;
      return false;
    }
    starved_ = false;
    if (!(chunked_ ? FillChunked() : FillPiece())) return phase_ == Phase::kSend;  // refused, or closed
  }
  if (piece_.size == 0 && !BodyComplete()) {
    // Not to be kept while the client takes its time.
    loop_.GivePiece(std::move(piece_));
    piece_ = {};
    return readable_;
  }
  if (working_) return false;
  // Chunks need some room to be decoded in.
  const bool full = piece_.size + (chunked_ ? kMostHeadBytes : 0) >= kPieceBytes;
  if (BodyComplete() || full || (piece_.size > 0 && !readable_)) {
    Dispatch();
    return phase_ == Phase::kBody && !BodyComplete();
  }
  return readable_;
}

// Receives until the piece is full, the body complete or nothing more is there. False: this request is over.
bool RegistryConnection::FillPiece() {
  if (!input_.empty()) {
    const auto take =
        static_cast<size_t>(std::min<uint64_t>({input_.size(), kPieceBytes - piece_.size, body_left_}));
    std::memcpy(piece_.data.get() + piece_.size, input_.data(), take);
    input_.erase(0, take);
    piece_.size += take;
    body_left_ -= take;
  }
  while (piece_.size < kPieceBytes && body_left_ > 0) {
    size_t n = 0;
    const auto want = static_cast<size_t>(std::min<uint64_t>(kPieceBytes - piece_.size, body_left_));
    if (!ReceiveSome(piece_.data.get() + piece_.size, want, n)) return phase_ != Phase::kClosed;
    piece_.size += n;
    body_left_ -= n;
  }
  return true;
}

bool RegistryConnection::FillChunked() {
  bool needs_more = input_.empty();
  while (!chunked_->Done()) {
    // Full enough; the worker takes it.
    const size_t room = kPieceBytes - piece_.size;
    if (room <= kMostHeadBytes) return true;
    // input_ holds what could not be decoded yet: part of a chunk's size at most, or what came with the head.
    char* const begin = piece_.data.get() + piece_.size;
    size_t have = std::min(input_.size(), room);
    std::memcpy(begin, input_.data(), have);
    if (needs_more) {
      size_t n = 0;
      if (!ReceiveSome(begin + have, room - have, n)) return phase_ != Phase::kClosed;
      have += n;
      input_.clear();
    } else {
      input_.erase(0, have);
    }
    size_t decoded = 0;
    size_t used = 0;
    if (!chunked_->Decode(begin, have, decoded, used) || (used == 0 && have > kMostHeadBytes)) {
      keep_alive_ = false;
      if (working_) {
        Close();
      } else {
        Refuse(400, "the chunks of the body cannot be read");
      }
      return false;
    }
    piece_.size += decoded;
    input_.insert(0, begin + used, have - used);
    needs_more = used == 0 || input_.empty();
  }
  return true;
}

bool RegistryConnection::Discard() {
  while (!BodyComplete()) {
    auto& scratch = loop_.scratch();
    size_t have = std::min(input_.size(), scratch.size());
    std::memcpy(scratch.data(), input_.data(), have);
    input_.erase(0, have);
    if (have == 0 && !ReceiveSome(scratch.data(), scratch.size(), have)) return false;
    size_t used = 0;
    size_t decoded = 0;
    if (chunked_) {
      if (!chunked_->Decode(scratch.data(), have, decoded, used)) {
        Close();
        return false;
      }
    } else {
      used = static_cast<size_t>(std::min<uint64_t>(have, body_left_));
      body_left_ -= used;
    }
    discarded_ += used;
    input_.insert(0, scratch.data() + used, have - used);
    if (discarded_ > kMostDiscarded) {
      keep_alive_ = false;
      break;
    }
    if (chunked_ && used == 0 && !BodyComplete()) {
      // Part of a chunk's size: more must come.
      if (input_.size() > kMostHeadBytes) {
        Close();
        return false;
      }
      size_t n = 0;
      std::array<char, 1024> more;
      if (!ReceiveSome(more.data(), more.size(), n)) return false;
      input_.append(more.data(), n);
    }
  }
  if (exchange_->Blocks()) {
    phase_ = Phase::kWork;
    Dispatch();
    return false;
  }
  Answer(exchange_->Finish());
  return true;
}

}  // namespace ingot::adapters
