#include "adapters/registry_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "registry/errors.h"

namespace ingot::adapters {
namespace {

// Steps before other connections have their turn.
constexpr int kStepsPerTurn = 8;
// Of a file that still grows: it is in memory.
constexpr uint64_t kSendGrowingBytes = uint64_t{2} << 20;
// What a body moves at least between two deadlines.
constexpr uint64_t kLeastMoved = uint64_t{32} << 10;
constexpr auto kLingerTime = std::chrono::seconds(5);
constexpr std::string_view kContinueLine = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

RegistryConnection::RegistryConnection(RegistryLoop& loop, uint64_t id, Fd socket, std::string peer,
                                       std::unique_ptr<TlsStream> tls)
    : loop_(loop),
      id_(id),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      place_(PreparePeer(socket_.get())),
      tls_(std::move(tls)) {
  // A handshake and the first request after it are one head's time.
  SetDeadline(tls_ ? loop_.options().head : loop_.options().idle);
  if (loop_.options().watch != nullptr) loop_.options().watch->Connected();
}

RegistryConnection::~RegistryConnection() {
  NoteVisit(false);
  if (loop_.options().watch != nullptr) loop_.options().watch->Disconnected();
  if (made_) made_->Cancel();
  loop_.GivePiece(std::move(piece_));
}

void RegistryConnection::OnEvent(uint32_t events) {
  if ((events & EPOLLERR) != 0) return Close();
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) readable_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) peer_ended_ = true;
  if ((events & EPOLLOUT) != 0) writable_ = true;
  // TLS may have to write before it can read, and the other way round.
  if (tls_) readable_ = writable_ = true;
  Continue();
}

void RegistryConnection::Continue() {
  for (int step = 0;; ++step) {
    if (step == kStepsPerTurn) return loop_.Again(id_);
    bool goes_on = false;
    switch (phase_) {
      case Phase::kHead:
        goes_on = ReadHead();
        break;
      case Phase::kBody:
        goes_on = ReadBody();
        break;
      case Phase::kSend:
        goes_on = Send();
        break;
      case Phase::kLinger:
        goes_on = Linger();
        break;
      case Phase::kWork:
      case Phase::kClosed:
        break;
    }
    if (!goes_on) return;
  }
}

void RegistryConnection::SetDeadline(Milliseconds from_now) {
  deadline_ = loop_.now() + from_now;
  moved_before_ = moved_bytes_;
}

void RegistryConnection::CheckDeadline() {
  if (phase_ == Phase::kClosed || phase_ == Phase::kWork) return;
  // Idle ones go early while others wait to be accepted.
  if (Idle() && loop_.Full() && loop_.now() - deadline_ + loop_.options().idle >= std::chrono::seconds(1))
    return Close();
  if (loop_.now() < deadline_) return;
  const bool ours =
      working_ || starved_ || (phase_ == Phase::kSend && output_.empty() && (made_ || outgrown_));
  const bool body = phase_ == Phase::kBody || phase_ == Phase::kSend;
  if (body && (ours || moved_bytes_ - moved_before_ >= kLeastMoved))
    return SetDeadline(loop_.options().stall);
  Close();
}

void RegistryConnection::Close() {
  phase_ = Phase::kClosed;
  // A worker may be about to find out who asks; then it is told at the end.
  if (!working_) NoteVisit(false);
  socket_.reset();
  if (made_) made_->Cancel();
  made_.reset();
  file_.reset();
  growing_.reset();
  if (!working_) exchange_.reset();
}

bool RegistryConnection::ReceiveSome(char* buffer, size_t size, size_t& n) {
  n = 0;
  while (readable_) {
    const ssize_t got = tls_ ? tls_->Read(buffer, size) : ::recv(socket_.get(), buffer, size, 0);
    if (got > 0) {
      n = static_cast<size_t>(got);
      moved_bytes_ += n;
      // Nothing is left, and what comes next is a new edge. (TLS may hold more than the socket.)
      if (n < size && !peer_ended_ && !tls_) readable_ = false;
      return true;
    }
    if (got < 0 && errno == EINTR) continue;
    readable_ = false;
    if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) Close();
  }
  return false;
}

ssize_t RegistryConnection::Transmit(const char* bytes, size_t size, int flags) {
  return tls_ ? tls_->Write(bytes, size) : ::send(socket_.get(), bytes, size, MSG_NOSIGNAL | flags);
}

bool RegistryConnection::ReadHead() {
  // What was received with the last request may hold the next one whole.
  std::string_view input = input_;
  HttpHead head;
  auto status = input_.size() > searched_ ? ParseHead(input, searched_, head) : HeadStatus::kIncomplete;
  if (status == HeadStatus::kIncomplete) {
    size_t n = 0;
    auto& scratch = loop_.scratch();
    if (!ReceiveSome(scratch.data(), scratch.size(), n)) return false;
    if (Idle()) SetDeadline(loop_.options().head);
    input = std::string_view(scratch.data(), n);
    // A client that tries TLS first (skopeo does) is told at once, and does not wait for an answer of its own
    // kind.
    constexpr char kTlsHandshake = 0x16;
    if (!tls_ && input_.empty() && input.front() == kTlsHandshake) {
      Refuse(400, "this registry speaks HTTP, not HTTPS");
      return true;
    }
    // Mostly a head comes whole: then nothing is copied.
    if (!input_.empty()) input = input_.append(input);
    status = ParseHead(input, searched_, head);
    if (status == HeadStatus::kIncomplete) {
      if (input_.empty()) input_ = input;
      searched_ = input_.size();
      return true;
    }
  }
  if (status != HeadStatus::kComplete) {
    Refuse(status == HeadStatus::kTooLong ? 431 : 400, "this is no HTTP/1.1 request that is understood here");
    return true;
  }
  const std::string rest(input.substr(head.bytes));
  const std::string chunked_head(head.chunked ? input.substr(0, head.bytes) : std::string_view());
  input_ = rest;
  searched_ = 0;
  BeginRequest(std::move(head), chunked_head);
  return true;
}

void RegistryConnection::BeginRequest(HttpHead head, std::string_view whole_head) {
  head_only_ = head.request.method == "HEAD";
  keep_alive_ = head.keep_alive && !loop_.stopping();
  body_left_ = head.request.content_length.value_or(0);
  if (head.chunked) chunked_ = std::make_unique<ChunkedBody>(whole_head);
  discard_ = false;
  discarded_ = 0;
  head.request.peer = peer_;
  head.request.tls = tls_ != nullptr;
  if (tls_) head.request.certificate = tls_->Certificate();
  if (loop_.options().watch != nullptr) {
    visiting_ = true;
    visit_ = {};
    visit_began_ = std::chrono::steady_clock::now();
    // What came with the head is of the body, too.
    visit_mark_ = moved_bytes_ - input_.size();
    head.request.found_who = &visit_.who;
  }
  exchange_ = loop_.registry().Begin(head.request);
  if (visiting_) {
    visit_.method = std::move(head.request.method);
    visit_.path = std::move(head.request.path);
  }
  if (!head.HasBody()) {
    if (!exchange_->Blocks()) return Answer(exchange_->Finish());
    phase_ = Phase::kWork;
    return Dispatch();
  }
  discard_ = !exchange_->WantsBody();
  if (discard_ && (head.expects_continue || body_left_ > kMostDiscarded)) {
    // Not read at all; the connection ends with the answer.
    keep_alive_ = false;
    if (!exchange_->Blocks()) return Answer(exchange_->Finish());
    phase_ = Phase::kWork;
    return Dispatch();
  }
  // The socket's buffer is empty: it takes these few bytes.
  if (head.expects_continue && input_.empty())
    static_cast<void>(Transmit(kContinueLine.data(), kContinueLine.size(), 0));
  phase_ = Phase::kBody;
  SetDeadline(loop_.options().stall);
}

void RegistryConnection::Dispatch() {
  working_ = true;
  const bool last = BodyComplete() || discard_;
  if (last) phase_ = Phase::kWork;
  // The loop and the connection stay while working_ is set. The piece may be kept a little longer, not longer
  // than the exchange.
  std::shared_ptr<Piece> piece(new Piece(std::move(piece_)), [&loop = loop_](Piece* done) {
    loop.GivePiece(std::move(*done));
    delete done;
  });
  piece_ = {};
  WorkerPool& pool = exchange_->WaitsForOthers() ? loop_.waiters() : loop_.workers();
  pool.Run([this, &loop = loop_, exchange = exchange_.get(), piece = std::move(piece), last]() mutable {
    const bool goes_on =
        piece->size == 0 || exchange->Write(std::string_view(piece->data.get(), piece->size), piece);
    auto response = std::make_shared<std::optional<registry::Response>>();
    if (last || !goes_on) *response = exchange->Finish();
    // Before the loop knows: it may end then.
    piece.reset();
    loop.Post([this, goes_on, response] { OnWorked(goes_on, std::move(*response)); });
  });
}

void RegistryConnection::OnWorked(bool goes_on, std::optional<registry::Response> response) {
  working_ = false;
  if (phase_ == Phase::kClosed) {
    exchange_.reset();
    NoteVisit(false);
    return;
  }
  if (response) {
    // An answer before the end of the body: the rest is not read.
    if (!goes_on && !BodyComplete()) keep_alive_ = false;
    Answer(*std::move(response));
  }
  Continue();
}

void RegistryConnection::Refuse(int status, std::string_view message) {
  keep_alive_ = false;
  head_only_ = false;
  refused_ = true;
  Answer(registry::ErrorAnswer(status, registry::ErrorCode::kUnsupported, message));
}

void RegistryConnection::Answer(registry::Response response) {
  // An upload is free for the next request before the client knows.
  exchange_.reset();
  loop_.GivePiece(std::move(piece_));
  piece_ = {};
  if (loop_.stopping()) keep_alive_ = false;
  output_.clear();
  sent_ = 0;
  const uint64_t body_bytes =
      head_only_ ? response.head_bytes.value_or(response.BodyBytes()) : response.BodyBytes();
  AppendHead(output_, response, body_bytes, keep_alive_, loop_.date());
  if (!head_only_) {
    output_ += response.text;
    if (response.file) file_ = std::make_shared<FileSender>(std::move(*response.file), place_, tls_.get());
    growing_ = std::move(response.growing);
    outgrown_ = false;
    if (response.made) {
      made_left_ = response.made->size_bytes;
      made_ = MadeStream::Start(loop_.makers(), std::move(*response.made),
                                [&loop = loop_, id = id_] { loop.Wake(id); });
    }
  }
  if (visiting_) {
    visit_.status = response.status;
    visit_.received_bytes = moved_bytes_ - input_.size() - visit_mark_;
    visit_mark_ = moved_bytes_;
  }
  phase_ = Phase::kSend;
  SetDeadline(loop_.options().stall);
}

void RegistryConnection::NoteVisit(bool complete) {
  if (!std::exchange(visiting_, false)) return;
  if (visit_.status != 0) visit_.sent_bytes = moved_bytes_ - visit_mark_;
  visit_.complete = complete;
  visit_.peer = peer_;
  visit_.elapsed =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - visit_began_);
  loop_.options().watch->Note(visit_);
}

bool RegistryConnection::Send() {
  if (sent_ < output_.size()) return SendText();
  if (file_) return SendFile();
  if (made_) return SendMade();
  if (growing_) return SendGrowing();
  EndRequest();
  return phase_ != Phase::kClosed;
}

bool RegistryConnection::SendText() {
  if (!writable_) return false;
  const int more = file_ && !file_->Empty() ? MSG_MORE : 0;
  const ssize_t n = Transmit(output_.data() + sent_, output_.size() - sent_, more);
  if (n < 0) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK) Close();
    writable_ = false;
    return false;
  }
  sent_ += static_cast<size_t>(n);
  moved_bytes_ += static_cast<uint64_t>(n);
  if (sent_ == output_.size()) {
    sent_ = 0;
    output_.clear();
    if (output_.capacity() > 16 << 10) output_.shrink_to_fit();
  }
  return true;
}

bool RegistryConnection::SendFile() {
  if (!writable_ || working_) return false;
  uint64_t sent_bytes = 0;
  switch (file_->Send(socket_.get(), loop_.window(), sent_bytes)) {
    case FileSender::Step::kSent:
      moved_bytes_ += sent_bytes;
      return true;
    case FileSender::Step::kFull:
      writable_ = false;
      return false;
    case FileSender::Step::kCold:
      WarmFile();
      return false;
    case FileSender::Step::kDone:
      file_.reset();
      return true;
    case FileSender::Step::kFailed:
      break;
  }
  // The answer cannot be completed.
  Close();
  return false;
}

// The disk is waited for elsewhere: other connections of this loop go on.
void RegistryConnection::WarmFile() {
  working_ = true;
  loop_.workers().Run([this, &loop = loop_, file = file_] {
    file->Warm();
    loop.Post([this] {
      working_ = false;
      Continue();
    });
  });
}

bool RegistryConnection::SendMade() {
  switch (made_->Take(output_)) {
    case MadeStream::Taken::kNothingYet:
      return false;
    case MadeStream::Taken::kPiece:
      sent_ = 0;
      // Never more than was announced.
      if (output_.size() <= made_left_) {
        made_left_ -= output_.size();
        return true;
      }
      break;
    case MadeStream::Taken::kEnd:
      if (made_left_ == 0) {
        made_.reset();
        return true;
      }
      break;
    case MadeStream::Taken::kFailed:
      break;
  }
  // A length was promised that cannot be kept; the client sees that it got less.
  Close();
  return false;
}

bool RegistryConnection::SendGrowing() {
  if (growing_->size_bytes == 0) {
    growing_.reset();
    return true;
  }
  if (!writable_) return false;
  const auto grown = growing_->file->Look(growing_->offset, [&loop = loop_, id = id_] { loop.Wake(id); });
  outgrown_ = grown.size_bytes <= growing_->offset;
  if (outgrown_) {
    // A length was promised that cannot be kept; the client sees that it got less.
    if (grown.failed) Close();
    return false;
  }
  const uint64_t count =
      std::min({growing_->size_bytes, grown.size_bytes - growing_->offset, kSendGrowingBytes});
  const ssize_t n =
      SendGrown(socket_.get(), tls_.get(), loop_.window(), growing_->file->fd(), growing_->offset, count);
  if (n < 0 && errno == EINTR) return true;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    writable_ = false;
    return false;
  }
  if (n <= 0) {
    Close();
    return false;
  }
  growing_->offset += static_cast<uint64_t>(n);
  growing_->size_bytes -= static_cast<uint64_t>(n);
  moved_bytes_ += static_cast<uint64_t>(n);
  return true;
}

void RegistryConnection::EndRequest() {
  NoteVisit(true);
  const bool unread = !BodyComplete();
  chunked_.reset();
  body_left_ = 0;
  if (keep_alive_) {
    phase_ = Phase::kHead;
    SetDeadline(input_.empty() ? loop_.options().idle : loop_.options().head);
    return;
  }
  if (tls_) tls_->Shutdown();
  if (!unread && !refused_ && input_.empty()) return Close();
  // Closed with bytes unread, the kernel would reset the connection and the client might not see the answer.
  ::shutdown(socket_.get(), SHUT_WR);
  input_.clear();
  phase_ = Phase::kLinger;
  SetDeadline(kLingerTime);
}

bool RegistryConnection::Linger() {
  size_t n = 0;
  auto& scratch = loop_.scratch();
  if (!ReceiveSome(scratch.data(), scratch.size(), n)) return false;
  return true;
}

}  // namespace ingot::adapters
