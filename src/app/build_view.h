// What a build shows while it goes on.
#pragma once

#include <mutex>
#include <string>

#include "app/terminal.h"
#include "build/progress.h"

namespace ingot::app {

// One line per thing done; what is going on now on the live line. Any thread.
class BuildView {
 public:
  explicit BuildView(bool quiet) : progress_(quiet) {}
  // Of what takes its time at a registry.
  void Note(const std::string& text);
  void On(const build::BuildEvent& event);

 private:
  std::mutex mutex_;
  Progress progress_;
};

}  // namespace ingot::app
