// Says at once when an instance has ended.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

// One thread over pidfds and inotify. conmon's exit file is the sign; an instance whose conmon has died is
// killed (its next write would kill it anyway, in the middle of a request), and its end is told without a
// file.
class ExitWatch {
 public:
  // `on_exit` is called on the watch's thread, once per name.
  static Result<std::unique_ptr<ExitWatch>> Start(const fs::path& exit_dir,
                                                  std::function<void(const std::string&)> on_exit);
  // Ends the thread; a call of `on_exit` that is under way is waited for.
  ~ExitWatch();

  // `process` and `conmon`: pidfds; invalid when it has ended already.
  void Add(const std::string& name, Fd process, Fd conmon);
  // It is not told any more, unless its call is under way.
  void Forget(const std::string& name);

 private:
  class Impl;
  explicit ExitWatch(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
