// RegistryConnection: one client, request after request. Lives on its loop's thread; while a worker has its
// Exchange it waits. Internal to the registry server.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "adapters/file_sender.h"
#include "adapters/http_head.h"
#include "adapters/made_stream.h"
#include "adapters/piece_pool.h"
#include "adapters/registry_loop.h"
#include "adapters/tls_server.h"
#include "base/fd.h"

namespace ingot::adapters {

class RegistryConnection {
 public:
  // `peer`: Request::peer. `tls`: null, or over `socket`.
  RegistryConnection(RegistryLoop& loop, uint64_t id, Fd socket, std::string peer,
                     std::unique_ptr<TlsStream> tls);
  ~RegistryConnection();

  // Edges of the socket; then goes on as far as it can.
  void OnEvent(uint32_t events);
  void Continue();
  // Closes it when a deadline has passed.
  void CheckDeadline();
  // Between two requests.
  bool Idle() const { return phase_ == Phase::kHead && input_.empty(); }
  void Close();
  // True: to be forgotten. A connection that a worker has in hand is closed first and done later.
  bool Done() const { return phase_ == Phase::kClosed && !working_; }

 private:
  enum class Phase { kHead, kBody, kWork, kSend, kLinger, kClosed };

  // A body that nobody wants is read to its end if it is not longer, so that the connection can stay.
  static constexpr uint64_t kMostDiscarded = uint64_t{8} << 20;

  // Each does one step; false: nothing to do until something happens.
  bool ReadHead();
  bool ReadBody();
  bool Send();
  bool Linger();

  // True: `n` bytes came. False: nothing is there yet, or the client has ended, and this is closed.
  bool ReceiveSome(char* buffer, size_t size, size_t& n);
  // As send(2).
  ssize_t Transmit(const char* bytes, size_t size, int flags);
  void BeginRequest(HttpHead head, std::string_view whole_head);
  bool Discard();
  bool FillPiece();
  bool FillChunked();
  bool BodyComplete() const { return chunked_ ? chunked_->Done() : body_left_ == 0; }
  // Hands what has come, or only the end, to a worker.
  void Dispatch();
  void OnWorked(bool goes_on, std::optional<registry::Response> response);
  void Answer(registry::Response response);
  void Refuse(int status, std::string_view message);
  void EndRequest();
  // Tells the watch of the request, once. `complete`: its answer was sent whole.
  void NoteVisit(bool complete);
  bool SendText();
  bool SendFile();
  void WarmFile();
  bool SendMade();
  bool SendGrowing();
  void SetDeadline(Milliseconds from_now);

  RegistryLoop& loop_;
  uint64_t id_;
  Fd socket_;
  const std::string peer_;
  Peer place_;
  std::unique_ptr<TlsStream> tls_;  // null: plain
  Phase phase_ = Phase::kHead;
  bool readable_ = true;
  bool writable_ = true;
  bool peer_ended_ = false;  // a short read does not mean that nothing is left
  bool working_ = false;
  std::string input_;    // received and not yet used
  size_t searched_ = 0;  // of input_, without the end of a head

  // the request
  std::unique_ptr<registry::Exchange> exchange_;
  std::unique_ptr<ChunkedBody> chunked_;
  uint64_t body_left_ = 0;
  bool discard_ = false;
  uint64_t discarded_ = 0;
  bool head_only_ = false;
  bool keep_alive_ = true;
  bool refused_ = false;  // there may be more that was not read
  bool starved_ = false;  // no piece was free
  Piece piece_;
  RegistryVisit visit_;    // while visiting_
  bool visiting_ = false;  // a request was begun that the watch is to hear of
  SteadyTime visit_began_{};
  uint64_t visit_mark_ = 0;  // of moved_bytes_ when its body, then its answer, began

  // the answer
  std::string output_;
  size_t sent_ = 0;
  std::shared_ptr<FileSender> file_;  // shared with a worker that warms it
  std::unique_ptr<registry::GrowingBody> growing_;
  bool outgrown_ = false;  // all that there is of it was sent
  std::shared_ptr<MadeStream> made_;
  uint64_t made_left_ = 0;

  SteadyTime deadline_{};
  uint64_t moved_bytes_ = 0;
  uint64_t moved_before_ = 0;  // at the last deadline
};

}  // namespace ingot::adapters
