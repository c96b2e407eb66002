#include "adapters/made_stream.h"

namespace ingot::adapters {
namespace {

constexpr size_t kMadePieceBytes = size_t{256} << 10;
constexpr size_t kMadePiecesAhead = 4;

}  // namespace

std::shared_ptr<MadeStream> MadeStream::Start(WorkerPool& makers, registry::MadeBody body,
                                              std::function<void()> wake) {
  auto stream = std::make_shared<MadeStream>();
  stream->wake_ = std::move(wake);
  makers.Run([stream, write = std::move(body.write)] {
    auto done = write([&](std::string_view bytes) { return stream->Push(bytes); });
    {
      auto state = stream->state_.lock();
      state->ended = true;
      state->failed = !done;
    }
    stream->wake_();
  });
  return stream;
}

Result<void> MadeStream::Push(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kMadePieceBytes);
    bytes.remove_prefix(piece.size());
    bool first = false;
    {
      auto state = state_.lock();
      while (state->pieces.size() >= kMadePiecesAhead && !state->cancelled) state.Wait(taken_);
      if (state->cancelled) return Error(Code::kCancelled, "The client has gone.");
      first = state->pieces.empty();
      state->pieces.emplace_back(piece);
    }
    if (first) wake_();
  }
  return {};
}

MadeStream::Taken MadeStream::Take(std::string& piece) {
  auto state = state_.lock();
  if (!state->pieces.empty()) {
    piece = std::move(state->pieces.front());
    state->pieces.pop_front();
    taken_.notify_one();
    return Taken::kPiece;
  }
  if (!state->ended) return Taken::kNothingYet;
  return state->failed ? Taken::kFailed : Taken::kEnd;
}

void MadeStream::Cancel() {
  state_.lock()->cancelled = true;
  taken_.notify_all();
}

}  // namespace ingot::adapters
