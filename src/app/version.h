#pragma once

namespace ingot::app {

inline constexpr const char* kVersion = INGOT_VERSION;

}  // namespace ingot::app
