#include "app/build_view.h"

namespace ingot::app {

void BuildView::Note(const std::string& text) {
  const std::lock_guard lock(mutex_);
  progress_.Line(Paint(Colour::kYellow, text));
}

void BuildView::On(const build::BuildEvent& event) {
  const std::lock_guard lock(mutex_);
  using Kind = build::BuildEvent::Kind;
  const std::string name = Paint(Colour::kBlue, event.image);
  const std::string step =
      event.number > 0 ? " [" + std::to_string(event.number) + "/" + std::to_string(event.total) + "] " : " ";
  switch (event.kind) {
    case Kind::kImageStarted:
      progress_.Live(event.image + " …");
      break;
    case Kind::kStepStarted:
      progress_.Live(event.image + step + event.text);
      break;
    case Kind::kStepCached:
      break;
    case Kind::kStepDone:
      progress_.Line(name + step + event.text + "  " +
                     Paint(Colour::kDim, RenderElapsed(static_cast<double>(event.took.count()))));
      break;
    case Kind::kOutput:
      progress_.Live(event.image + "   " + event.text);
      break;
    case Kind::kNote:
      progress_.Line(event.image.empty() ? event.text : name + " " + event.text);
      break;
    case Kind::kTestStarted:
      progress_.Live(event.image + " test " + event.text);
      break;
    case Kind::kTestPassed:
      progress_.Line(name + " test passed: " + event.text + "  " +
                     Paint(Colour::kDim, RenderElapsed(static_cast<double>(event.took.count()))));
      break;
    case Kind::kImageDone:
      progress_.Line(name + " " + Paint(Colour::kGreen, "golden") + " " + event.text.substr(0, 19) + "  " +
                     Paint(Colour::kDim, event.cached
                                             ? std::string("unchanged")
                                             : RenderElapsed(static_cast<double>(event.took.count()))));
      break;
  }
}

}  // namespace ingot::app
