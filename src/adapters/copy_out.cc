#include "adapters/copy_out.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace ingot::adapters {

namespace {

constexpr uint64_t kMostEntries = 100'000;
constexpr int kMostLevels = 64;
constexpr size_t kNamed = 100;

// Names go into JSON, and are shown.
bool IsPlainText(std::string_view name) {
  for (size_t i = 0; i < name.size();) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    const size_t more = byte < 0x80                   ? 0
                        : byte >= 0xc2 && byte < 0xe0 ? 1
                        : byte >= 0xe0 && byte < 0xf0 ? 2
                        : byte >= 0xf0 && byte < 0xf5 ? 3
                                                      : 9;
    if (more == 9 || i + more >= name.size() + (more == 0 ? 1 : 0)) return false;
    for (size_t k = 1; k <= more; ++k)
      if ((static_cast<unsigned char>(name[i + k]) & 0xc0) != 0x80) return false;
    i += more + 1;
  }
  return true;
}

class Copier {
 public:
  Copier(uint64_t limit_bytes, platform::CopiedOut& out) : left_bytes_(limit_bytes), out_(out) {}

  // `path` names both for messages.
  Result<void> Directory(int from, int to, const std::string& path, int level) {
    const int copy = ::openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0) return ErrnoError(errno, "read " + path);
    DIR* listing = ::fdopendir(copy);
    if (listing == nullptr) {
      ::close(copy);
      return ErrnoError(ENOMEM, "read " + path);
    }
    Result<void> done;
    while (done) {
      errno = 0;
      const dirent* entry = ::readdir(listing);
      if (entry == nullptr) {
        if (errno != 0) done = ErrnoError(errno, "read " + path);
        break;
      }
      const std::string name = entry->d_name;
      if (name != "." && name != "..") done = Entry(from, to, name, path + "/" + name, level);
    }
    ::closedir(listing);
    return done;
  }

 private:
  void LeaveOut(const std::string& path, const char* why) {
    ++out_.left_out_count;
    if (out_.left_out.size() < kNamed) out_.left_out.push_back(path + ": " + why);
  }

  Result<void> Entry(int from, int to, const std::string& name, const std::string& path, int level) {
    if (!IsPlainText(name)) {
      LeaveOut("a file", "its name is not plain text");
      return {};
    }
    if (++entries_ > kMostEntries) {
      if (entries_ == kMostEntries + 1) LeaveOut(path, "and all after it: more than 100000 files");
      return {};
    }
    // Nothing is followed, and nothing that would block is opened for good.
    Fd source(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    struct stat st {};
    if (!source.valid() || ::fstat(source.get(), &st) < 0) {
      LeaveOut(path, errno == ELOOP ? "a symbolic link" : "cannot be opened");
      return {};
    }
    if (S_ISDIR(st.st_mode)) {
      if (level >= kMostLevels) {
        LeaveOut(path, "more than 64 levels deep");
        return {};
      }
      if (::mkdirat(to, name.c_str(), 0755) < 0)
        return ErrnoError(errno, "make " + path + " of the artifacts");
      Fd target(::openat(to, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!target.valid()) return ErrnoError(errno, "open " + path + " of the artifacts");
      return Directory(source.get(), target.get(), path, level + 1);
    }
    if (!S_ISREG(st.st_mode)) {
      LeaveOut(path, "not a plain file");
      return {};
    }
    // A file may say that it is larger than all that holds it.
    if (static_cast<uint64_t>(st.st_size) > left_bytes_) {
      LeaveOut(path, "larger than what its scratch holds");
      return {};
    }
    return File(source.get(), to, name, path);
  }

  Result<void> File(int source, int to, const std::string& name, const std::string& path) {
    Fd target(::openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!target.valid()) return ErrnoError(errno, "make " + path + " of the artifacts");
    std::array<char, 1 << 16> buffer;
    while (true) {
      const ssize_t n = ::read(source, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read " + path);
      if (n == 0) break;
      if (static_cast<uint64_t>(n) > left_bytes_)
        return Error(Code::kConflict, path + " grew while it was copied");
      left_bytes_ -= static_cast<uint64_t>(n);
      out_.bytes += static_cast<uint64_t>(n);
      TRY(WriteAll(target.get(), std::string_view(buffer.data(), static_cast<size_t>(n))));
    }
    ++out_.files;
    return {};
  }

  uint64_t left_bytes_;
  uint64_t entries_ = 0;
  platform::CopiedOut& out_;
};

}  // namespace

Result<void> CopyTreeOut(int from, const fs::path& target, const std::string& path, uint64_t limit_bytes,
                         platform::CopiedOut& out) {
  const fs::path place = target / fs::path(path).relative_path();
  TRY(MakeDirectories(place, 0755));
  Fd to = TRY(OpenFile(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(Copier(limit_bytes, out).Directory(from, to.get(), path, 0));
  if (::syncfs(to.get()) < 0) return ErrnoError(errno, "make the artifacts durable");
  return {};
}

}  // namespace ingot::adapters
