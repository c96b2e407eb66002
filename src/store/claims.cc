#include "store/claims.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/sha256.h"

namespace ingot::store {
namespace {

constexpr size_t kRecordBytes = 33;
constexpr std::string_view kTemporaryMark = ".tmp.";

Result<void> Flock(int fd, int operation, const fs::path& path) {
  while (::flock(fd, operation) != 0) {
    if (errno != EINTR) return ErrnoError(errno, "lock " + path.string());
  }
  return {};
}

Result<Fd> OpenLock(const fs::path& directory) {
  return OpenFile(directory / "lock", O_RDWR | O_CREAT, 0600);
}

}  // namespace

ObjectId::Bytes ClaimBytes(const oci::Digest& digest) {
  const std::string hex =
      digest.algorithm() == "sha256" ? std::string(digest.hex()) : Sha256Hex(digest.Render());
  ObjectId::Bytes bytes{};
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < bytes.size() && 2 * i + 1 < hex.size(); ++i)
    bytes[i] = static_cast<uint8_t>(value(hex[2 * i]) << 4 | value(hex[2 * i + 1]));
  return bytes;
}

Result<void> Claims::OpenSession() {
  if (!lock_.valid()) lock_ = TRY(OpenLock(directory_));
  // A sweeper may take the file between its making and its locking: then another.
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::array<char, 16> random{};
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
      return ErrnoError(errno, "get random bytes");
    const std::string name = Hex(std::string_view(random.data(), random.size()));
    Fd file = TRY(OpenFile(directory_ / name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600));
    struct stat st {};
    if (::flock(file.get(), LOCK_SH | LOCK_NB) != 0) continue;
    if (::fstat(file.get(), &st) != 0 || st.st_nlink == 0) continue;
    file_ = std::move(file);
    session_ = name;
    return {};
  }
  return Error(Code::kConflict, "Cannot make a claims file in " + directory_.string() +
                                    ": it disappears each time. Is another program emptying it?");
}

Result<std::string> Claims::Begin() {
  const std::lock_guard guard(mutex_);
  if (session_.empty()) TRY(OpenSession());
  ++leases_;
  return session_;
}

void Claims::End() {
  const std::lock_guard guard(mutex_);
  if (--leases_ > 0) return;
  ::unlink((directory_ / session_).c_str());
  session_.clear();
  file_.reset();
  claimed_.clear();
}

Result<void> Claims::Claim(const std::vector<ObjectId>& ids, const Look& look) {
  std::vector<ObjectId::Bytes> names;
  names.reserve(ids.size());
  for (const ObjectId& id : ids) names.push_back(id.bytes());
  return Claim(ClaimKind::kObject, names, look);
}

Result<void> Claims::Claim(ClaimKind kind, const std::vector<ObjectId::Bytes>& names, const Look& look) {
  const std::lock_guard guard(mutex_);
  if (session_.empty()) return Error(Code::kInternal, "the store was written to without a lease");
  std::string records;
  for (const ObjectId::Bytes& name : names) {
    if (claimed_.contains({kind, ObjectId(name)})) continue;
    records += static_cast<char>(kind);
    records.append(reinterpret_cast<const char*>(name.data()), name.size());
  }
  // What was claimed before is safe already: no collector that could remove it is on its way.
  if (records.empty()) return look();
  TRY(Flock(lock_.get(), LOCK_SH, directory_ / "lock"));
  auto done = WriteAll(file_.get(), records);
  if (done) {
    for (const ObjectId::Bytes& name : names) claimed_.insert({kind, ObjectId(name)});
    done = look();
  }
  TRY(Flock(lock_.get(), LOCK_UN, directory_ / "lock"));
  return done;
}

Result<fs::path> Claims::TemporaryFor(const fs::path& path) {
  const std::lock_guard guard(mutex_);
  if (session_.empty()) return Error(Code::kInternal, "the store was written to without a lease");
  fs::path temporary = path;
  temporary += std::string(kTemporaryMark) + session_ + "." + std::to_string(next_temporary_++);
  return temporary;
}

std::string_view SessionOfTemporary(std::string_view file_name) {
  const size_t mark = file_name.rfind(kTemporaryMark);
  if (mark == std::string_view::npos) return {};
  const std::string_view rest = file_name.substr(mark + kTemporaryMark.size());
  return rest.substr(0, rest.find('.'));
}

Result<Fd> ClaimReader::LockOut() {
  // Its own open file, so that it also keeps out the importers of this process.
  Fd lock = TRY(OpenLock(directory_));
  TRY(Flock(lock.get(), LOCK_EX, directory_ / "lock"));
  return lock;
}

Result<void> ClaimReader::Update(const std::set<std::string>& sessions) {
  added_.clear();
  for (const std::string& session : sessions) {
    // The name is from the catalog; it must not lead elsewhere.
    if (session.empty() || session.find_first_not_of("0123456789abcdef") != std::string::npos)
      return Error(Code::kCorrupt, "store.db has a lease with the claims file \"" + session + "\"");
    const fs::path path = directory_ / session;
    auto opened = OpenFile(path, O_RDONLY | O_NOFOLLOW);
    if (!opened) {
      return Error(Code::kIo,
                   "A process that holds a lease has no readable claims file, so what it needs is "
                   "unknown and nothing can be collected while it runs: " +
                       opened.error().message());
    }
    uint64_t& offset = offsets_[session];
    std::array<char, kRecordBytes * 1024> buffer;
    while (true) {
      const ssize_t n = ::pread(opened->get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read " + path.string());
      const size_t whole = static_cast<size_t>(n) / kRecordBytes;
      for (size_t i = 0; i < whole; ++i) {
        Found found{static_cast<ClaimKind>(buffer[i * kRecordBytes]), {}};
        std::memcpy(found.name.data(), buffer.data() + i * kRecordBytes + 1, found.name.size());
        added_.push_back(found);
      }
      offset += whole * kRecordBytes;
      if (whole == 0) break;
    }
  }
  return {};
}

}  // namespace ingot::store
