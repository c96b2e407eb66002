// PiecePool: the buffers that bodies of requests pass through. There are only so many: who finds none waits,
// so that a thousand pushes take no more memory than sixteen. One thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace ingot::adapters {

inline constexpr size_t kPieceBytes = size_t{512} << 10;

struct Piece {
  std::unique_ptr<char[]> data;
  size_t size = 0;
};

class PiecePool {
 public:
  // False: all are in use.
  bool Take(Piece& piece) {
    if (!free_.empty()) {
      piece.data = std::move(free_.back());
      free_.pop_back();
    } else if (in_use_ < kMostPieces) {
      // not cleared: it is written before it is read
      piece.data.reset(new char[kPieceBytes]);
    } else {
      return false;
    }
    ++in_use_;
    piece.size = 0;
    return true;
  }
  void Give(Piece piece) {
    if (!piece.data) return;
    --in_use_;
    if (free_.size() < kKeptPieces) free_.push_back(std::move(piece.data));
  }

 private:
  static constexpr size_t kMostPieces = 16;
  static constexpr size_t kKeptPieces = 4;
  std::vector<std::unique_ptr<char[]>> free_;
  size_t in_use_ = 0;
};

}  // namespace ingot::adapters
