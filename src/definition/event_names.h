// The names of events that somebody can ask to hear of: those of docs/formats/events.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ingot::definition {

// "rollout.reverted", …; sorted.
const std::vector<std::string>& EventNames();
// One of them, or what several begin with: "rollout".
bool IsEventName(std::string_view text);
// Whether somebody who asked for `asked` wants to hear of an event of this kind.
bool IsAskedFor(std::string_view asked, std::string_view kind);

}  // namespace ingot::definition
