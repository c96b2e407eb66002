// What a build tells while it runs: typed events, for a live view or plain lines. Rendering them is app/'s
// work.
#pragma once

#include <functional>
#include <string>

#include "base/clock.h"

namespace ingot::build {

struct BuildEvent {
  enum class Kind {
    kImageStarted,  // `image`
    kStepStarted,   // a step that has to run: `number` of `total`, `text` is the instruction as written
    kStepCached,    // a step whose result was kept
    kStepDone,      // after kStepStarted, with `took`
    kOutput,        // what a step or test printed: `text` is one line without its newline
    kNote,          // one line for people: a warning, or what a long step is doing
    kTestStarted,   // `text` names the test
    kTestPassed,    // after kTestStarted, with `took`
    kImageDone,     // with `took`; `cached` when no step ran; `text` is the manifest digest
  };
  Kind kind = Kind::kNote;
  std::string image;  // name in the definition; "": of all together (kNote)
  int number = 0;     // of the step, from 1; 0 when the event belongs to no step
  int total = 0;
  std::string text;
  bool cached = false;
  Milliseconds took{0};
};

// Called from several threads, never from two at once.
using BuildProgress = std::function<void(const BuildEvent&)>;

}  // namespace ingot::build
