// Fd: a file descriptor that closes itself. Every descriptor in Ingot is opened with O_CLOEXEC.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/result.h"

namespace ingot {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  // A second descriptor of the same open file.
  Result<Fd> Duplicate() const;

 private:
  int fd_ = -1;
};

}  // namespace ingot
